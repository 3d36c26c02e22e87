"""A vendor's tie to a tier, the intents to change it, its history, and the trials that were given."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.catalog.models import SubscriptionTier, TierPrice
from portal.kit.db import BigId, Currency, Id, JsonB, Model, StripeId, TenantMixin, one_of
from portal.subscriptions.rules import ChangeState, Provider, Status, When


class VendorSubscription(TenantMixin, Model):
    """The one live subscription of a vendor. ``tier_code`` is kept beside ``tier_id`` (SUB-13).

    ``anchor_at`` is what periods paid by transfer are counted from: 31 January, 28 February, 31 March. ``cancel_at`` is
    a day that Stripe ends it on where that is not the period's end (add-ons of another cycle, or set in Stripe itself).
    ``stripe_credit_minor`` stands at Stripe and is used by the next invoices; below zero it is added to them.
    """

    __tablename__ = "vendor_subscriptions"
    id: Mapped[Id]
    tier_code: Mapped[str] = mapped_column(String(20))
    tier_id: Mapped[int | None] = mapped_column(ForeignKey("subscription_tiers.id"), index=True)
    price_id: Mapped[int | None] = mapped_column(ForeignKey("tier_prices.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    provider: Mapped[str] = mapped_column(String(10), default=Provider.NONE)
    trial_ends_at: Mapped[datetime | None]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)
    cancel_at: Mapped[datetime | None]
    payment_method: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    stripe_subscription_id: Mapped[StripeId | None] = mapped_column(unique=True)
    stripe_item_id: Mapped[StripeId | None]
    stripe_schedule_id: Mapped[StripeId | None]
    stripe_credit_minor: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    version: Mapped[int] = mapped_column(default=1)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    cancel_feedback: Mapped[str | None] = mapped_column(String(20))
    cancel_comment: Mapped[str | None] = mapped_column(Text)
    cancelled_at: Mapped[datetime | None]
    anchor_at: Mapped[datetime | None]
    tier: Mapped[SubscriptionTier | None] = relationship()
    price: Mapped[TierPrice | None] = relationship()
    __table_args__ = (
        one_of("status", Status),
        one_of("provider", Provider),
        CheckConstraint("period_start < period_end", name="period"),
        Index(
            "uq_vendor_subscriptions_one_live",
            "vendor_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(None, "status", "trial_ends_at"),
        Index(None, "status", "past_due_since"),
        Index(None, "provider", "status", "period_end"),
    )


class TierChange(TenantMixin, Model):
    """An intent to change the tier: written before Stripe is asked, so that nothing happens twice.

    ``when_to_apply`` now: requested → applied, awaiting_payment or refused. At next cycle: requested → scheduled →
    applied or undone. ``base_version`` is the subscription's version that the person saw. ``invoice_id`` is the
    proforma of a change that is paid by transfer; ``choices`` says what becomes of add-ons that the old tier included;
    until ``expires_at`` a change that waits for its payment can be paid. ``error`` says why it was given up.
    """

    __tablename__ = "tier_changes"
    id: Mapped[Id]
    subscription_id: Mapped[int] = mapped_column(ForeignKey("vendor_subscriptions.id"), index=True)
    from_price_id: Mapped[int | None] = mapped_column(ForeignKey("tier_prices.id"))
    to_price_id: Mapped[int] = mapped_column(ForeignKey("tier_prices.id"))
    when_to_apply: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(16))
    base_version: Mapped[int]
    proration_at: Mapped[datetime | None]
    effective_at: Mapped[datetime]
    due_minor: Mapped[int | None]
    currency: Mapped[Currency]
    notify: Mapped[bool] = mapped_column(default=True)
    stripe_schedule_id: Mapped[StripeId | None]
    stripe_invoice_id: Mapped[StripeId | None]
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    choices: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    expires_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    to_price: Mapped[TierPrice] = relationship(foreign_keys=[to_price_id])
    __table_args__ = (
        one_of("when_to_apply", When),
        one_of("state", ChangeState),
        Index(
            "uq_tier_changes_one_under_way",
            "subscription_id",
            unique=True,
            sqlite_where=text("state IN ('requested', 'scheduled', 'awaiting_payment')"),
            postgresql_where=text("state IN ('requested', 'scheduled', 'awaiting_payment')"),
        ),
    )


class SubscriptionEvent(TenantMixin, Model):
    """History: every change of tier, status, limits and price, with who, when and why (SUB-12). Append-only."""

    __tablename__ = "subscription_events"
    id: Mapped[Id]
    subscription_id: Mapped[int] = mapped_column(ForeignKey("vendor_subscriptions.id"), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime]
    __table_args__ = (Index(None, "vendor_id", "at", "id"),)


class Trial(TenantMixin, Model):
    """A trial that was given: one per vendor, person and card (SUB-1)."""

    __tablename__ = "trials"
    id: Mapped[Id]
    email_hash: Mapped[str] = mapped_column(String(64), unique=True)
    card_fingerprint: Mapped[str | None] = mapped_column(String(64), index=True)
    started_at: Mapped[datetime]
    __table_args__ = (Index("uq_trials_vendor", "vendor_id", unique=True),)

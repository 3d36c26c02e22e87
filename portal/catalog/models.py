"""Tiers, limits, features, versioned prices, add-on products and what tiers include of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.catalog.rules import CreditPolicy, Cycle
from portal.kit.db import BigId, Currency, Id, Model, StripeId, one_of


class SubscriptionTier(Model):
    """A plan. Retired, never deleted."""

    __tablename__ = "subscription_tiers"
    id: Mapped[Id]
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    pitch: Mapped[str] = mapped_column(Text, default="")
    position: Mapped[int] = mapped_column(default=0)
    trial_days: Mapped[int] = mapped_column(default=14)
    included_credits: Mapped[int] = mapped_column(default=0)
    credit_policy: Mapped[str] = mapped_column(String(10), default=CreditPolicy.RESET)
    rollover_cap: Mapped[int | None]
    is_public: Mapped[bool] = mapped_column(default=True)
    self_service: Mapped[bool] = mapped_column(default=True)
    highlighted: Mapped[bool] = mapped_column(default=False)
    retired_at: Mapped[datetime | None]
    stripe_product_id: Mapped[StripeId | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    limits: Mapped[list["TierLimit"]] = relationship(order_by="TierLimit.id")
    features: Mapped[list["TierFeature"]] = relationship(order_by="TierFeature.id")
    __table_args__ = (
        one_of("credit_policy", CreditPolicy),
        CheckConstraint("trial_days >= 0", name="trial_days"),
        CheckConstraint("included_credits >= 0", name="included_credits"),
        CheckConstraint("rollover_cap IS NULL OR rollover_cap >= 0", name="rollover_cap"),
    )


class TierLimit(Model):
    """How much of a metric a tier allows; an empty value is unlimited."""

    __tablename__ = "tier_limits"
    id: Mapped[Id]
    tier_id: Mapped[int] = mapped_column(ForeignKey("subscription_tiers.id"))
    metric: Mapped[str] = mapped_column(String(40))
    value: Mapped[int | None]
    __table_args__ = (
        UniqueConstraint("tier_id", "metric"),
        CheckConstraint("value IS NULL OR value >= 0", name="value"),
    )


class TierFeature(Model):
    """A feature flag with its level, such as analytics = advanced."""

    __tablename__ = "tier_features"
    id: Mapped[Id]
    tier_id: Mapped[int] = mapped_column(ForeignKey("subscription_tiers.id"))
    feature: Mapped[str] = mapped_column(String(40))
    value: Mapped[str] = mapped_column(String(40))
    __table_args__ = (UniqueConstraint("tier_id", "feature"),)


class TierPrice(Model):
    """A price, never changed: a new one is a new row. ``vendor_id`` is set for an agreed price."""

    __tablename__ = "tier_prices"
    id: Mapped[Id]
    tier_id: Mapped[int] = mapped_column(ForeignKey("subscription_tiers.id"), index=True)
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)
    cycle: Mapped[str] = mapped_column(String(10))
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    stripe_price_id: Mapped[StripeId | None] = mapped_column(unique=True)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    tier: Mapped[SubscriptionTier] = relationship()
    __table_args__ = (
        one_of("cycle", Cycle),
        CheckConstraint("amount_minor >= 0", name="amount"),
        Index(
            "uq_tier_prices_one_public",
            "tier_id",
            "cycle",
            "currency",
            unique=True,
            sqlite_where=text("valid_until IS NULL AND vendor_id IS NULL"),
            postgresql_where=text("valid_until IS NULL AND vendor_id IS NULL"),
        ),
        Index(
            "uq_tier_prices_one_agreed",
            "vendor_id",
            unique=True,
            sqlite_where=text("valid_until IS NULL AND vendor_id IS NOT NULL"),
            postgresql_where=text("valid_until IS NULL AND vendor_id IS NOT NULL"),
        ),
    )


class AddonProduct(Model):
    """Something that can be bought on top: what it grants and how it is set up.

    ``max_quantity`` is the most that one vendor may have of it; it is to be ready within ``promised_hours``. What staff
    changed stands in ``edited``, by column: loading a preset leaves that alone.
    """

    __tablename__ = "addon_products"
    id: Mapped[Id]
    code: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    pitch: Mapped[str] = mapped_column(Text, default="")
    position: Mapped[int] = mapped_column(default=0)
    provisioning: Mapped[str] = mapped_column(String(20))
    grants: Mapped[dict[str, Any]]
    max_quantity: Mapped[int] = mapped_column(default=1, server_default="1")
    promised_hours: Mapped[int] = mapped_column(default=48, server_default="48")
    edited: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    retired_at: Mapped[datetime | None]
    stripe_product_id: Mapped[StripeId | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    __table_args__ = (
        one_of("provisioning", ("domain", "mailboxes", "certificate", "storage", "manual")),
        CheckConstraint("max_quantity >= 1", name="max_quantity"),
        CheckConstraint("promised_hours >= 0", name="promised_hours"),
    )


class AddonPrice(Model):
    """A price of an add-on in one size (``variant``); versioned like tier prices."""

    __tablename__ = "addon_prices"
    id: Mapped[Id]
    addon_id: Mapped[int] = mapped_column(ForeignKey("addon_products.id"), index=True)
    variant: Mapped[str] = mapped_column(String(20), default="")
    cycle: Mapped[str] = mapped_column(String(10))
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    stripe_price_id: Mapped[StripeId | None] = mapped_column(unique=True)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    __table_args__ = (
        one_of("cycle", Cycle),
        CheckConstraint("amount_minor >= 0", name="amount"),
        Index(
            "uq_addon_prices_one_live",
            "addon_id",
            "variant",
            "cycle",
            "currency",
            unique=True,
            sqlite_where=text("valid_until IS NULL"),
            postgresql_where=text("valid_until IS NULL"),
        ),
    )


class TierAddon(Model):
    """What a tier may buy of the add-ons (``included`` = 0) or brings along (how many)."""

    __tablename__ = "tier_addons"
    id: Mapped[Id]
    tier_id: Mapped[int] = mapped_column(ForeignKey("subscription_tiers.id"))
    addon_id: Mapped[int] = mapped_column(ForeignKey("addon_products.id"))
    variant: Mapped[str] = mapped_column(String(20), default="")
    included: Mapped[int] = mapped_column(default=0)
    addon: Mapped[AddonProduct] = relationship()
    __table_args__ = (
        UniqueConstraint("tier_id", "addon_id", "variant"),
        CheckConstraint("included >= 0", name="included"),
    )

"""What a vendor has on top, the runs and steps that set it up, and what came of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.addons.rules import (
    AddonStatus,
    DomainKind,
    DomainState,
    MailboxState,
    Origin,
    RunKind,
    RunState,
    StepState,
)
from portal.catalog.models import AddonPrice, AddonProduct
from portal.kit.db import BigId, Id, JsonB, Model, StripeId, TenantMixin, one_of


def _unique_where(name: str, columns: tuple[str, ...], condition: str) -> Index:
    return Index(name, *columns, unique=True, sqlite_where=text(condition), postgresql_where=text(condition))


class VendorAddon(TenantMixin, Model):
    """One add-on of a vendor (ADD-3). ``config`` is what it is set up with, such as the domain's name.

    ``provider`` says who takes money for it (none: included or given). Through Stripe it is an item of the tier's
    subscription, or has a subscription of its own (``stripe_subscription_id``). ``next_*`` is what it becomes with the
    next period. ``promised_at`` is when it was to be ready.
    """

    __tablename__ = "vendor_addons"
    id: Mapped[Id]
    addon_id: Mapped[int] = mapped_column(ForeignKey("addon_products.id"), index=True)
    variant: Mapped[str] = mapped_column(String(20), default="")
    price_id: Mapped[int | None] = mapped_column(ForeignKey("addon_prices.id"))
    origin: Mapped[str] = mapped_column(String(10))
    provider: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(14))
    quantity: Mapped[int] = mapped_column(default=1)
    config: Mapped[dict[str, Any]]
    next_price_id: Mapped[int | None] = mapped_column(ForeignKey("addon_prices.id"))
    next_quantity: Mapped[int | None]
    order_item_id: Mapped[int | None] = mapped_column(ForeignKey("order_items.id"), unique=True)
    stripe_subscription_id: Mapped[StripeId | None] = mapped_column(unique=True)
    stripe_item_id: Mapped[StripeId | None] = mapped_column(unique=True)
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    anchor_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)
    ends_at: Mapped[datetime | None]
    promised_at: Mapped[datetime | None]
    provisioned_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    addon: Mapped[AddonProduct] = relationship()
    price: Mapped[AddonPrice | None] = relationship(foreign_keys=[price_id])
    __table_args__ = (
        one_of("origin", Origin),
        one_of("provider", ("none", "stripe", "transfer")),
        one_of("status", AddonStatus),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled"),
        _unique_where(
            "uq_vendor_addons_one_included",
            ("vendor_id", "addon_id"),
            "origin = 'included' AND status <> 'cancelled'",
        ),
        Index(None, "provider", "status", "period_end"),
    )


class ProvisioningRun(TenantMixin, Model):
    """A sequence of steps that sets an add-on up, changes it or takes it down; one at a time for each add-on."""

    __tablename__ = "provisioning_runs"
    id: Mapped[Id]
    vendor_addon_id: Mapped[int] = mapped_column(ForeignKey("vendor_addons.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    recipe: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(10))
    input: Mapped[dict[str, Any]]
    promised_at: Mapped[datetime | None]
    late_told_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    vendor_addon: Mapped[VendorAddon] = relationship()
    steps: Mapped[list["ProvisioningStep"]] = relationship(order_by="ProvisioningStep.position", viewonly=True)
    __table_args__ = (
        one_of("kind", RunKind),
        one_of("state", RunState),
        _unique_where(
            "uq_provisioning_runs_one_open", ("vendor_addon_id",), "state IN ('running', 'waiting', 'failed')"
        ),
        Index(None, "state", "created_at", "id"),
    )


class ProvisioningStep(TenantMixin, Model):
    """One step. ``reference`` is what the provider calls the thing: it is written before the provider is asked to act,
    where we may choose it, and as soon as it is known otherwise, so that a lost answer is found again by asking first.

    ``due_at`` is for what staff do by hand; ``error`` is the last one, in words.
    """

    __tablename__ = "provisioning_steps"
    id: Mapped[Id]
    run_id: Mapped[int] = mapped_column(ForeignKey("provisioning_runs.id"))
    position: Mapped[int]
    code: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    reference: Mapped[str | None] = mapped_column(String(255))
    result: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", StepState),
        UniqueConstraint("run_id", "position"),
        Index(None, "state", "next_try_at"),
    )


class ProvisioningLog(TenantMixin, Model):
    """What happened in a run, for people: ``message`` is a text to translate with ``data`` in it; never a secret."""

    __tablename__ = "provisioning_log"
    id: Mapped[Id]
    run_id: Mapped[int] = mapped_column(ForeignKey("provisioning_runs.id"))
    step_id: Mapped[int | None] = mapped_column(ForeignKey("provisioning_steps.id"))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    is_error: Mapped[bool] = mapped_column(default=False)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime]
    __table_args__ = (Index(None, "run_id", "at", "id"),)


class Domain(TenantMixin, Model):
    """A vendor's domain (ADD-7). ``name`` as DNS writes it (lower case, IDNA, no last dot), ``shown`` as people do.

    Several vendors may claim a name while nothing is proven; only one holds it (registering, active or failing).
    ``token`` is what the vendor puts into a TXT record; ``checks`` keeps what the last look at DNS found.
    """

    __tablename__ = "domains"
    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(253))
    shown: Mapped[str] = mapped_column(String(253))
    kind: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12))
    is_primary: Mapped[bool] = mapped_column(default=False)
    token: Mapped[str] = mapped_column(String(64))
    vendor_addon_id: Mapped[int | None] = mapped_column(ForeignKey("vendor_addons.id"), index=True)
    checks: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    checked_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    registered_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("kind", DomainKind),
        one_of("state", DomainState),
        _unique_where("uq_domains_one_holder", ("name",), "state IN ('registering', 'active', 'failing')"),
        _unique_where("uq_domains_once_per_vendor", ("vendor_id", "name"), "removed_at IS NULL"),
        _unique_where("uq_domains_one_primary", ("vendor_id",), "is_primary AND removed_at IS NULL"),
        CheckConstraint("(state = 'removed') = (removed_at IS NOT NULL)", name="removed"),
        Index(None, "state", "next_check_at"),
    )


class Mailbox(TenantMixin, Model):
    """An address of an email package. ``password`` is sealed and kept only until the mailbox was made."""

    __tablename__ = "mailboxes"
    id: Mapped[Id]
    vendor_addon_id: Mapped[int] = mapped_column(ForeignKey("vendor_addons.id"), index=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    address: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(120), default="")
    password: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", MailboxState),
        CheckConstraint("(state = 'removed') = (removed_at IS NOT NULL)", name="removed"),
        _unique_where("uq_mailboxes_one_address", ("address",), "removed_at IS NULL"),
    )


class Certificate(TenantMixin, Model):
    """A certificate that staff obtained: request, chain and (sealed) private key, for one name."""

    __tablename__ = "certificates"
    id: Mapped[Id]
    vendor_addon_id: Mapped[int] = mapped_column(ForeignKey("vendor_addons.id"), index=True)
    name: Mapped[str] = mapped_column(String(253))
    request_pem: Mapped[str] = mapped_column(Text)
    private_key: Mapped[str | None] = mapped_column(Text)
    chain_pem: Mapped[str | None] = mapped_column(Text)
    serial: Mapped[str | None] = mapped_column(String(64))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]

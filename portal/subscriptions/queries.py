"""Reads of subscriptions; values, so that they stay readable while Stripe is asked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from portal.billing import coming_tax
from portal.billing.coming_tax import ComingTax
from portal.catalog import queries as catalog
from portal.catalog.models import SubscriptionTier, TierPrice
from portal.catalog.rules import Cycle, Price
from portal.identity.models import Vendor
from portal.kit.db import db
from portal.kit.direct import Direct
from portal.kit.errors import NotFound
from portal.kit.money import Money
from portal.subscriptions import plan_card, rules
from portal.subscriptions.changes import under_way
from portal.subscriptions.models import SubscriptionEvent, TierChange, VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import ChangeState, Provider, Restriction, Status, When, effective_status


@dataclass(frozen=True, slots=True)
class Held:
    """The ids and state that flows work with."""

    id: int
    vendor_id: int
    tier_id: int | None
    price_id: int | None
    status: Status
    provider: Provider
    trial_ends_at: datetime | None
    period_start: datetime
    period_end: datetime
    cancel_at_period_end: bool
    version: int
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    stripe_item_id: str | None
    stripe_schedule_id: str | None
    has_card: bool = False
    cancel_at: datetime | None = None
    stripe_credit_minor: int = 0


def held(vendor_id: int) -> Held:
    """The vendor's live subscription; NotFound when there is none."""
    row = db.session.execute(_HELD, {"vendor": vendor_id}).first()
    if row is None:
        raise NotFound
    s: VendorSubscription = row[0]
    return Held(
        s.id, vendor_id, s.tier_id, s.price_id, Status(s.status), Provider(s.provider), s.trial_ends_at,
        s.period_start, s.period_end, s.cancel_at_period_end, s.version, row[1], s.stripe_subscription_id,
        s.stripe_item_id, s.stripe_schedule_id, bool(s.payment_method), s.cancel_at, s.stripe_credit_minor,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """A cancellation, asked for (``asked_at``) or in effect. Being in effect without having been asked for means that
    it is just being taken back.
    """

    id: int
    vendor_id: int
    status: Status
    provider: Provider
    asked_at: datetime | None
    at_period_end: bool
    feedback: str | None
    comment: str | None
    ends_at: datetime
    version: int
    stripe_subscription_id: str | None


def ending(vendor_id: int) -> Ending:
    """How the vendor's subscription ends or is about to, as committed now; NotFound when there is none."""
    found = db.session.scalar(
        select(VendorSubscription)
        .where(VendorSubscription.vendor_id == vendor_id, VendorSubscription.ended_at.is_(None))
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return Ending(
        found.id, vendor_id, Status(found.status), Provider(found.provider), found.cancelled_at,
        found.cancel_at_period_end, found.cancel_feedback, found.cancel_comment, found.cancel_at or found.period_end,
        found.version,
        found.stripe_subscription_id,
    )  # fmt: skip


def restrictions(vendor_id: int, now: datetime) -> frozenset[Restriction]:
    """What is closed to this vendor because of money, by ``rules.restrictions``; everything where no tier is chosen."""
    row = db.session.execute(
        select(VendorSubscription.status, VendorSubscription.past_due_since).where(
            VendorSubscription.vendor_id == vendor_id, VendorSubscription.ended_at.is_(None)
        )
    ).first()
    return rules.restrictions(row.status, row.past_due_since, now) if row else rules.restrictions(None, None, now)


def in_step(vendor_id: int, remote: Remote) -> bool:
    """Do we hold exactly what Stripe's list of subscriptions says (which leaves the card out)?

    Never while a change is under way: its settling is what mirroring is for.
    """
    if version(vendor_id) is None:
        return False
    ours = held(vendor_id)
    price = catalog.price(ours.price_id) if ours.price_id else None
    here = (ours.stripe_subscription_id, ours.status, price.stripe_price_id if price else None, ours.period_start,
            ours.period_end, ours.trial_ends_at, ours.cancel_at_period_end, ours.cancel_at, ours.stripe_schedule_id,
            ours.stripe_item_id)  # fmt: skip
    there = (remote.id, effective_status(remote.status, ours.status), remote.stripe_price_id, remote.period_start,
             remote.period_end, remote.trial_end, remote.leaving, remote.ends_elsewhere, remote.schedule_id,
             remote.item_id)  # fmt: skip
    return here == there and not remote.pending_update and under_way(ours.id) is None


def version(vendor_id: int) -> int | None:
    """The live subscription's version as committed now."""
    row = next(iter(_VERSION({"vendor": vendor_id})), None)
    return row.version if row else None


def vendor_of(stripe_subscription_id: str) -> int | None:
    """Whose Stripe subscription this is, as far as we hold it."""
    return owner(stripe_subscription_id)[0]


def owner(stripe_subscription_id: str) -> tuple[int | None, str | None]:
    """Whose Stripe subscription this is, as far as we hold it, and which of its items is the tier's."""
    row = next(iter(_OWNER({"ident": stripe_subscription_id})), None)
    return (row.vendor_id, row.stripe_item_id) if row else (None, None)


_HELD = (
    select(VendorSubscription, Vendor.stripe_customer_id)
    .join(Vendor, Vendor.id == VendorSubscription.vendor_id)
    .where(VendorSubscription.vendor_id == bindparam("vendor"), VendorSubscription.ended_at.is_(None))
    .execution_options(populate_existing=True)
)
_VERSION = Direct(
    select(VendorSubscription.version).where(
        VendorSubscription.vendor_id == bindparam("vendor"), VendorSubscription.ended_at.is_(None)
    )
)
_OWNER = Direct(
    select(VendorSubscription.vendor_id, VendorSubscription.stripe_item_id).where(
        VendorSubscription.stripe_subscription_id == bindparam("ident")
    )
)


@dataclass(frozen=True, slots=True)
class Change:
    """An intent to change the tier."""

    id: int
    vendor_id: int
    state: ChangeState
    when_to_apply: When
    price: Price
    proration_at: datetime | None
    effective_at: datetime
    stripe_invoice_id: str | None


def _change(change: TierChange) -> Change:
    p = change.to_price
    price = Price(p.id, p.tier_id, Cycle(p.cycle), Money(p.amount_minor, p.currency), p.stripe_price_id)
    return Change(
        change.id, change.vendor_id, ChangeState(change.state), When(change.when_to_apply), price,
        change.proration_at, change.effective_at, change.stripe_invoice_id,
    )  # fmt: skip


def change(change_id: int) -> Change:
    """An intent by id, as committed now; NotFound when there is none."""
    found = db.session.scalar(
        select(TierChange).where(TierChange.id == change_id).execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return _change(found)


def scheduled_change(vendor_id: int) -> Change | None:
    """The change that waits for the next cycle, if any."""
    found = db.session.scalar(
        select(TierChange).where(TierChange.vendor_id == vendor_id, TierChange.state == ChangeState.SCHEDULED)
    )
    return _change(found) if found else None


def awaited_change(vendor_id: int) -> Change | None:
    """The change that waits for its payment, if any."""
    found = db.session.scalar(
        select(TierChange).where(TierChange.vendor_id == vendor_id, TierChange.state == ChangeState.AWAITING_PAYMENT)
    )
    return _change(found) if found else None


def unsold_changes(until: datetime) -> list[tuple[int, int]]:
    """(change, vendor) of what is scheduled to happen until then, to a tier that is not sold any more."""
    statement = (
        select(TierChange.id, TierChange.vendor_id)
        .join(TierPrice, TierPrice.id == TierChange.to_price_id)
        .join(SubscriptionTier, SubscriptionTier.id == TierPrice.tier_id)
        .where(TierChange.state == ChangeState.SCHEDULED, TierChange.effective_at <= until)
        .where(SubscriptionTier.retired_at.is_not(None))
    )
    return [(row.id, row.vendor_id) for row in db.session.execute(statement)]


@dataclass(frozen=True, slots=True)
class DecidedAddon:
    """What becomes of an add-on that the coming tier does not include: kept for ``amount``, or ended (None)."""

    name: str
    variant: str
    amount: Money | None
    cycle: Cycle | None


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that is not finished, as cards show it. ``pay_url`` leads to Stripe's page of the invoice that it waits
    for, ``expires_at`` says until when; ``choices`` is what becomes of add-ons.
    """

    state: ChangeState
    tier_name: str
    amount: Money
    cycle: Cycle
    effective_at: datetime
    by: str
    due: Money | None = None
    pay_url: str | None = None
    expires_at: datetime | None = None
    choices: dict[str, Any] | None = None

    @property
    def addons(self) -> list[DecidedAddon]:
        """What was decided about add-ons when the change was confirmed (SUB-5)."""
        return [
            DecidedAddon(a["name"], a["variant"], Money(a["minor"], a["currency"]), Cycle(a["cycle"]))
            if a["keep"]
            else DecidedAddon(a["name"], a["variant"], None, None)
            for a in (self.choices or {}).get("addons", [])
        ]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the plan card shows."""

    id: int
    version: int
    status: Status
    provider: Provider
    tier_id: int | None
    tier_code: str
    tier_name: str
    amount: Money | None
    cycle: Cycle | None
    price_id: int | None
    started_at: datetime
    trial_ends_at: datetime | None
    period_start: datetime
    period_end: datetime
    cancel_at_period_end: bool
    payment_method: dict[str, Any] | None
    balance: int | None
    pending: PendingChange | None
    past_due_since: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_at: datetime | None = None
    #: Paid ahead by transfer: until when, although that period has not begun.
    paid_until: datetime | None = None
    #: The first renewal of add-ons that are charged with the plan, where it was asked for.
    beside_at: datetime | None = None
    beside_minor: int | None = None
    #: Money that the next invoices use first, at Stripe or (by transfer) with us; below zero they ask for it, too.
    on_balance: Money | None = None
    #: What stands at Stripe for who pays by transfer now: only a charge of a card uses it, or (below zero) asks for it.
    left_at_stripe: Money | None = None
    #: The tax on what comes next.
    tax: ComingTax = coming_tax.NONE

    @property
    def ends_at(self) -> datetime:
        """When it ends where an end is planned (``cancel_at_period_end``): with its period, or on another day."""
        return self.cancel_at or self.period_end

    @property
    def owed(self) -> Money | None:
        """What the balance owes: the next invoice asks for it. None where it owes nothing."""
        return _below_zero(self.on_balance)

    @property
    def owed_at_stripe(self) -> Money | None:
        """What was owed there when the vendor went over to transfers: a card that pays again is asked for it."""
        return _below_zero(self.left_at_stripe)

    def free_until(self, now: datetime) -> datetime | None:
        """The end of a trial that still runs."""
        return self.trial_ends_at if self.trial_ends_at and self.trial_ends_at > now else None


def _below_zero(kept: Money | None) -> Money | None:
    return Money(-kept.minor, kept.currency) if kept and kept.minor < 0 else None


def overview(vendor_id: int, *beside: ColumnElement[Any]) -> Overview | None:
    """The plan card of a vendor, its pending change and credit balance in one query; None before any tier.

    ``beside``: what a room above adds about add-ons (``addons.queries.beside_plan``), told the vendor as ``vendor``.
    """
    row = next(iter(plan_card.statement(beside)({"vendor": vendor_id})), None)
    return _overview(row) if row else None


def _overview(row: Any) -> Overview:
    by_transfer, pending = row.provider == Provider.TRANSFER, None
    if row.change_state:
        pending = PendingChange(
            ChangeState(row.change_state), row.to_name, Money(row.to_minor, row.to_currency), Cycle(row.to_cycle),
            row.effective_at, row.actor_label, Money(row.due_minor, row.due_currency) if row.due_currency else None,
            row.hosted_url, row.expires_at, row.choices,
        )  # fmt: skip
    return Overview(
        id=row.id,
        version=row.version,
        status=Status(row.status),
        provider=Provider(row.provider),
        tier_id=row.tier_id,
        tier_code=row.tier_code,
        tier_name=row.tier_name or row.tier_code,
        amount=Money(row.amount_minor, row.currency) if row.amount_minor is not None else None,
        cycle=Cycle(row.cycle) if row.cycle else None,
        price_id=row.price_id,
        started_at=row.started_at,
        trial_ends_at=row.trial_ends_at,
        period_start=row.period_start,
        period_end=row.period_end,
        cancel_at_period_end=row.cancel_at_period_end,
        payment_method=row.payment_method,
        balance=row.balance,
        pending=pending,
        past_due_since=row.past_due_since,
        cancelled_at=row.cancelled_at,
        cancel_at=row.cancel_at,
        paid_until=row.paid_until,
        beside_at=getattr(row, "beside_at", None),
        beside_minor=getattr(row, "beside_minor", None),
        on_balance=Money(row.on_balance or 0, row.currency) if row.currency else None,
        left_at_stripe=Money(row.stripe_credit_minor, row.currency)
        if by_transfer and row.currency and row.stripe_credit_minor
        else None,
        tax=coming_tax.of(row, by_transfer=by_transfer),
    )


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of the event log."""

    kind: str
    data: dict[str, Any]
    reason: str | None
    by: str
    at: datetime


def history(vendor_id: int, limit: int = 50) -> list[HistoryLine]:
    """A vendor's newest events."""
    rows = db.session.execute(
        select(
            SubscriptionEvent.kind, SubscriptionEvent.data, SubscriptionEvent.reason, SubscriptionEvent.actor_label,
            SubscriptionEvent.at,
        )
        .where(SubscriptionEvent.vendor_id == vendor_id)
        .order_by(SubscriptionEvent.at.desc(), SubscriptionEvent.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [HistoryLine(r.kind, r.data, r.reason, r.actor_label, r.at) for r in rows]

"""Intents to change the tier: written before Stripe is asked, settled by what Stripe then says."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select

from portal.billing.models import Invoice
from portal.billing.rules import InvoiceStatus
from portal.catalog import queries as catalog
from portal.catalog.rules import Price
from portal.kit import outbox
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions import mails
from portal.subscriptions.history import expect_version, lock, note
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import UNASKED, ChangeState, Ended, Provider, Status, When, preview_holds

UNDER_WAY = (ChangeState.REQUESTED, ChangeState.SCHEDULED, ChangeState.AWAITING_PAYMENT)


def under_way(subscription_id: int) -> TierChange | None:
    """The one change that is not finished yet."""
    found: TierChange | None = db.session.scalar(_UNDER_WAY, {"subscription": subscription_id})
    return found


_UNDER_WAY = select(TierChange).where(
    TierChange.subscription_id == bindparam("subscription"), TierChange.state.in_(UNDER_WAY)
)


def request(
    vendor_id: int,
    price: Price,
    when: When,
    *,
    actor: Actor,
    now: datetime,
    base_version: int,
    notify: bool = True,
    proration_at: datetime | None = None,
    shown: Money | None = None,
    choices: dict[str, Any] | None = None,
) -> TierChange:
    """Write the intent and count it as a change, so that of two people who saw the same state one wins.

    A change that is scheduled for the next cycle gives way to a new one. Conflict when the subscription changed
    since ``base_version``, when another change is still with Stripe, or while an invoice is unpaid; Invalid when the
    tier would not change. The unfinished intent of the same wish is given back, to be carried on. ``shown`` is the
    amount that was confirmed, ``choices`` what becomes of add-ons that the present tier includes (SUB-5).
    """
    subscription = lock(vendor_id)
    _refuse(subscription, price)
    open_change = under_way(subscription.id)
    if open_change is not None and _same_wish(open_change, price, when, base_version):
        return open_change
    expect_version(subscription, base_version)
    if open_change is not None:
        _give_way(open_change, subscription, actor, now)
    change = TierChange(
        vendor_id=vendor_id,
        subscription_id=subscription.id,
        from_price_id=subscription.price_id,
        to_price_id=price.id,
        when_to_apply=when,
        state=ChangeState.REQUESTED,
        base_version=base_version,
        proration_at=_second(proration_at, subscription, now) if when == When.NOW else None,
        effective_at=now if when == When.NOW else subscription.period_end,
        due_minor=shown.minor if shown else None,
        currency=price.amount.currency,
        choices=choices,
        notify=notify,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label,
        created_at=now,
    )
    db.session.add(change)
    db.session.flush()
    note(subscription, "change_requested", actor=actor, now=now, price=price.id, when=str(when))
    return change


def _second(shown: datetime | None, subscription: VendorSubscription, now: datetime) -> datetime:
    """The second that the proration counts from: the one whose figures the person saw, so that they are charged."""
    if shown is None:
        return now.replace(microsecond=0)
    if not preview_holds(shown, subscription.period_start, now):
        raise Conflict(N_("These figures are out of date. Look at them again, then confirm."), code="preview_expired")
    return shown


def _refuse(subscription: VendorSubscription, price: Price) -> None:
    by_transfer = subscription.provider == Provider.TRANSFER
    if not by_transfer and (subscription.provider != Provider.STRIPE or subscription.stripe_subscription_id is None):
        raise Conflict(N_("Nothing is paid for this subscription yet."))
    if subscription.status == Status.PAST_DUE or owes(subscription.vendor_id):
        raise Conflict(N_("An invoice is unpaid. It must be paid before the tier can change."), code="invoice_unpaid")
    if subscription.status != Status.ACTIVE:
        raise Conflict(N_("The subscription is not active."))
    if subscription.cancel_at_period_end or subscription.cancelled_at is not None:
        raise Conflict(
            N_("This subscription is cancelled. Take the cancellation back first, then change the tier."),
            code="already_cancelled",
        )
    if subscription.price_id == price.id:
        raise Invalid(fields={"price": N_("That is the tier the vendor has now.")})
    if price.stripe_price_id is None and not by_transfer:
        raise Invalid(fields={"price": N_("This price is not known to Stripe yet: push the catalog.")})


def owes(vendor_id: int) -> bool:
    """Is an invoice of a plan's at Stripe open? That of a change which waits for its payment does not count: it stands
    itself.

    Nor does what an add-on with a subscription of its own owes: that has a dunning of its own. One of our own invoices
    is asked for ahead of time, so it is owed only once the subscription is behind.
    """
    waiting = select(TierChange.stripe_invoice_id).where(
        TierChange.vendor_id == vendor_id, TierChange.state.in_(UNDER_WAY), TierChange.stripe_invoice_id.is_not(None)
    )
    owed = select(Invoice.id).where(
        _of_plans(vendor_id),
        Invoice.due_minor > Invoice.paid_minor,
        Invoice.stripe_invoice_id.not_in(waiting),
    )
    return db.session.scalar(owed.limit(1)) is not None


def pay_url(vendor_id: int) -> str | None:
    """Stripe's page to pay the oldest open invoice of a plan."""
    return db.session.scalar(
        select(Invoice.hosted_url)
        .where(_of_plans(vendor_id), Invoice.hosted_url.is_not(None))
        .order_by(Invoice.id)
        .limit(1)
    )


def _of_plans(vendor_id: int) -> ColumnElement[bool]:
    """The open invoices of the Stripe subscriptions that the vendor's plans have or had."""
    plans = select(VendorSubscription.stripe_subscription_id).where(
        VendorSubscription.vendor_id == vendor_id, VendorSubscription.stripe_subscription_id.is_not(None)
    )
    return and_(
        Invoice.vendor_id == vendor_id,
        Invoice.provider == Provider.STRIPE,
        Invoice.status == InvoiceStatus.OPEN,
        Invoice.stripe_subscription_id.in_(plans),
    )


def _same_wish(change: TierChange, price: Price, when: When, base_version: int) -> bool:
    return (
        change.state == ChangeState.REQUESTED
        and change.to_price_id == price.id
        and change.when_to_apply == when
        and change.base_version == base_version
    )


def _give_way(change: TierChange, subscription: VendorSubscription, actor: Actor, now: datetime) -> None:
    if change.state != ChangeState.SCHEDULED:
        raise Conflict(N_("Another change of the tier is still under way."), code="change_under_way")
    finish(change, ChangeState.UNDONE, now)
    note(subscription, "change_undone", actor=actor, now=now, change=change.id)
    db.session.flush()


def attempt(vendor_id: int) -> int:
    """Count one more try to tell Stripe what is planned; gives the number that its idempotency key is made of."""
    subscription = lock(vendor_id)
    subscription.version += 1
    return subscription.version


def finish(change: TierChange, state: ChangeState, now: datetime, error: str | None = None) -> None:
    """Close an intent."""
    change.state, change.finished_at, change.error = state, now, error


def refuse(change_id: int, reason: str, *, unseen: bool = False, now: datetime) -> None:
    """Stripe said no: the old tier stays, and history says why. ``unseen``: nobody waits for the answer, so mail it."""
    change = _locked(change_id)
    if change.state == ChangeState.REQUESTED:
        subscription = lock(change.vendor_id)
        finish(change, ChangeState.REFUSED, now, reason)
        note(subscription, "change_refused", actor=STRIPE, now=now, reason=reason, change=change.id)
        if unseen:
            mails.change_failed(change, _tier_name(change.to_price_id), Ended.REFUSED, now)


def mark(change_id: int, why: Ended) -> None:
    """Write down why a change is about to be taken back, before Stripe is told: its event may come first."""
    change = _locked(change_id)
    if change.state in UNDER_WAY:
        change.error = why


def end(change: TierChange, subscription: VendorSubscription, why: Ended, *, actor: Actor, now: datetime) -> None:
    """The change does not happen and the tier stays; the vendor is told where nobody here asked for that.

    The caller holds the lock. Where the target is not sold any more, the operator is told too.
    """
    refused = why in (Ended.NOT_PAID, Ended.RETIRED)
    finish(change, ChangeState.REFUSED if refused else ChangeState.UNDONE, now, why)
    note(subscription, "change_refused" if refused else "change_undone", actor=actor, now=now,
         reason=why if why in UNASKED else None, change=change.id)  # fmt: skip
    if why in UNASKED:
        mails.change_failed(change, _tier_name(change.to_price_id), why, now)
    if why == Ended.RETIRED:
        mails.change_failed_for_staff(change, _tier_name(change.to_price_id), now)


def scheduled(change_id: int, schedule_id: str, *, now: datetime) -> None:
    """Stripe holds the schedule: the change will happen by itself, and can be undone until then."""
    change = _locked(change_id)
    if change.state != ChangeState.REQUESTED:
        return
    subscription = lock(change.vendor_id)
    change.state, change.stripe_schedule_id = ChangeState.SCHEDULED, schedule_id
    subscription.stripe_schedule_id = schedule_id
    price = catalog.price(change.to_price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    name = tier.name if tier else ""
    note(subscription, "change_scheduled", actor=_actor_of(change), now=now, after=name,
         at=change.effective_at.isoformat())  # fmt: skip
    if change.notify:
        mails.change_scheduled(change, name, now)


def undone(change_id: int, *, actor: Actor, now: datetime) -> None:
    """The schedule was released: the tier stays as it is."""
    change = _locked(change_id)
    if change.state == ChangeState.SCHEDULED:
        subscription = lock(change.vendor_id)
        subscription.stripe_schedule_id = None
        end(change, subscription, Ended.TAKEN_BACK, actor=actor, now=now)


def dropped(change_id: int, *, now: datetime) -> None:
    """A scheduled change that no provider knows of ends for the reason that was marked."""
    change = _locked(change_id)
    if change.state == ChangeState.SCHEDULED:
        end(change, lock(change.vendor_id), Ended(change.error or Ended.RETIRED), actor=SYSTEM, now=now)


def settle(subscription: VendorSubscription, remote: Remote, now: datetime) -> None:
    """Close the open intent when Stripe's present state decides it: the new price is there, or the plan for it gone."""
    change = under_way(subscription.id)
    if change is None:
        return
    target = catalog.price(change.to_price_id)
    if target is not None and target.stripe_price_id == remote.stripe_price_id:
        _applied(change, subscription, remote, now)
    elif change.state == ChangeState.REQUESTED and change.when_to_apply == When.NOW and remote.pending_update:
        change.state, change.stripe_invoice_id = ChangeState.AWAITING_PAYMENT, remote.latest_invoice_id
        change.expires_at = remote.pending_until
        note(subscription, "change_awaits_payment", actor=STRIPE, now=now, change=change.id)
    elif change.state == ChangeState.AWAITING_PAYMENT and not remote.pending_update:
        end(change, subscription, Ended(change.error or Ended.NOT_PAID), actor=STRIPE, now=now)
    elif change.state == ChangeState.SCHEDULED and remote.schedule_id is None:
        end(change, subscription, Ended(change.error or Ended.RELEASED), actor=STRIPE, now=now)


def _applied(change: TierChange, subscription: VendorSubscription, remote: Remote, now: datetime) -> None:
    if change.when_to_apply == When.NOW and change.stripe_invoice_id is None:
        change.stripe_invoice_id = remote.latest_invoice_id
    invoice = None
    if change.stripe_invoice_id:
        invoice = db.session.scalar(select(Invoice).where(Invoice.stripe_invoice_id == change.stripe_invoice_id))
    applied(change, subscription, Money(invoice.due_minor if invoice else 0, change.currency), now=now)


def applied(change: TierChange, subscription: VendorSubscription, due: Money, *, now: datetime) -> None:
    """The tier is the other one now, for ``due``: the intent is finished, told, and whoever listens is woken."""
    finish(change, ChangeState.APPLIED, now)
    told: dict[str, Any] = {"change": change.id, "due": due.minor}
    if change.due_minor not in (None, due.minor):
        told["confirmed"] = change.due_minor
    change.due_minor, change.expires_at, change.error = due.minor, None, None
    note(subscription, "change_applied", actor=_actor_of(change), now=now, **told)
    outbox.emit("subscription.tier_changed", dedupe_key=str(change.id), vendor_id=change.vendor_id, change_id=change.id)
    if change.notify:
        mails.tier_changed(change, _tier_name(change.from_price_id), _tier_name(change.to_price_id), due, now)


def _tier_name(price_id: int | None) -> str:
    price = catalog.price(price_id) if price_id else None
    tier = catalog.tier_by_id(price.tier_id) if price else None
    return tier.name if tier else ""


def _actor_of(change: TierChange) -> Actor:
    return Actor(change.actor_kind, change.actor_label, change.actor_id)  # type: ignore[arg-type]


def _locked(change_id: int) -> TierChange:
    vendor_id = db.session.scalar(select(TierChange.vendor_id).where(TierChange.id == change_id))
    if vendor_id is not None:
        lock(vendor_id)
    return db.session.scalars(
        select(TierChange).where(TierChange.id == change_id).with_for_update().execution_options(populate_existing=True)
    ).one()

"""Intents to change the tier: written before Stripe is asked, settled by what Stripe then says."""

from datetime import datetime

from sqlalchemy import select

from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Price
from portal.kit.actor import STRIPE, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions import mails
from portal.subscriptions.history import expect_version, lock, note
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import ChangeState, Provider, Status, When, preview_holds

UNDER_WAY = (ChangeState.REQUESTED, ChangeState.SCHEDULED, ChangeState.AWAITING_PAYMENT)


def under_way(subscription_id: int) -> TierChange | None:
    """The one change that is not finished yet."""
    return db.session.scalar(
        select(TierChange).where(TierChange.subscription_id == subscription_id, TierChange.state.in_(UNDER_WAY))
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
) -> TierChange:
    """Write the intent and count it as a change, so that of two people who saw the same state one wins.

    A change that is scheduled for the next cycle gives way to a new one. Conflict when the subscription changed
    since ``base_version``, when another change is still with Stripe, or while an invoice is unpaid; Invalid when the
    tier would not change. The unfinished intent of the same wish is given back, to be carried on.
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
        currency=price.amount.currency,
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
    if subscription.provider != Provider.STRIPE or subscription.stripe_subscription_id is None:
        raise Conflict(N_("This subscription is not paid through Stripe."))
    if subscription.status == Status.PAST_DUE:
        raise Conflict(N_("An invoice is unpaid. It must be paid before the tier can change."), code="invoice_unpaid")
    if subscription.status != Status.ACTIVE:
        raise Conflict(N_("The subscription is not active."))
    if subscription.price_id == price.id:
        raise Invalid(fields={"price": N_("That is the tier the vendor has now.")})
    if price.stripe_price_id is None:
        raise Invalid(fields={"price": N_("This price is not known to Stripe yet: push the catalog.")})


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


def finish(change: TierChange, state: ChangeState, now: datetime, error: str | None = None) -> None:
    """Close an intent."""
    change.state, change.finished_at, change.error = state, now, error


def refuse(change_id: int, reason: str, *, now: datetime) -> None:
    """Stripe said no: the old tier stays, and history says why."""
    change = _locked(change_id)
    if change.state == ChangeState.REQUESTED:
        subscription = lock(change.vendor_id)
        finish(change, ChangeState.REFUSED, now, reason)
        note(subscription, "change_refused", actor=STRIPE, now=now, reason=reason, change=change.id)


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
        finish(change, ChangeState.UNDONE, now)
        subscription.stripe_schedule_id = None
        note(subscription, "change_undone", actor=actor, now=now, change=change.id)


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
        note(subscription, "change_awaits_payment", actor=STRIPE, now=now, change=change.id)
    elif change.state == ChangeState.AWAITING_PAYMENT and not remote.pending_update:
        finish(change, ChangeState.REFUSED, now, "not paid in time")
        note(subscription, "change_refused", actor=STRIPE, now=now, reason="not paid in time", change=change.id)
    elif change.state == ChangeState.SCHEDULED and remote.schedule_id is None:
        finish(change, ChangeState.UNDONE, now)
        note(subscription, "change_undone", actor=STRIPE, now=now, reason="released in Stripe", change=change.id)


def _applied(change: TierChange, subscription: VendorSubscription, remote: Remote, now: datetime) -> None:
    finish(change, ChangeState.APPLIED, now)
    if change.when_to_apply == When.NOW:
        change.stripe_invoice_id = remote.latest_invoice_id
    invoice = None
    if change.stripe_invoice_id:
        invoice = db.session.scalar(select(Invoice).where(Invoice.stripe_invoice_id == change.stripe_invoice_id))
    due = Money(invoice.due_minor if invoice else 0, change.currency)
    change.due_minor = due.minor
    note(subscription, "change_applied", actor=_actor_of(change), now=now, change=change.id, due=due.minor)
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

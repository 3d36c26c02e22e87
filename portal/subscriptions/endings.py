"""Cancelling, taking it back, and the end (SUB-7): the verbs, whoever takes the money.

They flush inside the caller's unit of work. Where Stripe takes the money they only write down what was asked for
(``cancelled_at``); ``ending_flows`` brings it to Stripe, and the mirror says when it is in effect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from portal.audit import service as audit
from portal.catalog import queries as catalog
from portal.credits import service as credits
from portal.kit import outbox
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions import changes, dunning, mails, transfer_endings
from portal.subscriptions.history import expect_version, lock, note, refuse_unless
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import ChangeState, Feedback, Provider, Status
from portal.subscriptions.states import Event

COMMENT_MAX = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to leave, and what they say about it. ``notify`` False: staff does not want a mail written."""

    at_once: bool
    feedback: str | None = None
    comment: str | None = None
    notify: bool = True


def check(wish: Wish) -> None:
    """Invalid at the field: a reason that Stripe does not know, a comment over 500 characters."""
    fields = {}
    if wish.feedback is not None and wish.feedback not in list(Feedback):
        fields["feedback"] = N_("Choose one of the reasons, or none.")
    if wish.comment is not None and len(wish.comment) > COMMENT_MAX:
        fields["comment"] = N_("Use at most 500 characters.")
    if fields:
        raise Invalid(fields=fields)


def request(vendor_id: int, wish: Wish, *, actor: Actor, now: datetime, base_version: int) -> VendorSubscription:
    """Write down that the subscription is to end; without Stripe that is all there is to do.

    By transfer it ends with what is paid for: the coming period is lived through where its money has come in. A change
    of the tier that was planned is taken back. Conflict when the subscription changed since
    ``base_version``, when the state does not allow it, when it is cancelled already, or while a change of the tier is
    still with Stripe.
    """
    check(wish)
    subscription = lock(vendor_id)
    expect_version(subscription, base_version)
    refuse_unless(subscription, Event.CANCEL_NOW if wish.at_once else Event.CANCEL_AT_END, actor)
    if subscription.cancel_at_period_end and not wish.at_once:
        raise Conflict(N_("This subscription is cancelled already."), code="already_cancelled")
    _give_up_change(subscription, wish, actor, now)
    subscription.cancelled_at, subscription.cancel_feedback = now, wish.feedback
    subscription.cancel_comment = wish.comment or None
    if subscription.provider == Provider.TRANSFER and not wish.at_once:
        subscription.cancel_at = transfer_endings.paid_until(subscription)
    _note_request(subscription, wish, actor, now)
    if subscription.provider != Provider.STRIPE:
        _carry_out(subscription, wish, actor, now)
    db.session.flush()
    return subscription


def _give_up_change(subscription: VendorSubscription, wish: Wish, actor: Actor, now: datetime) -> None:
    """Nothing changes any more on the day of the end. One that waits for its payment lapses with the subscription."""
    change = changes.under_way(subscription.id)
    if change is None or (wish.at_once and change.state == ChangeState.AWAITING_PAYMENT):
        return
    if change.state != ChangeState.SCHEDULED:
        raise Conflict(
            N_("A change of the tier is still under way. Finish it or give it up first."), code="change_under_way"
        )
    changes.finish(change, ChangeState.UNDONE, now)
    note(subscription, "change_undone", actor=actor, now=now, change=change.id)


def _note_request(subscription: VendorSubscription, wish: Wish, actor: Actor, now: datetime) -> None:
    ends = now if wish.at_once else subscription.cancel_at or subscription.period_end
    data = {"at_once": wish.at_once, "ends": ends.isoformat(), "feedback": wish.feedback}
    note(subscription, "cancel_requested", actor=actor, now=now, reason=wish.comment or None, **data)
    audit.record(actor, "subscription.cancel_requested", vendor_id=subscription.vendor_id, data=data, now=now)


def _carry_out(subscription: VendorSubscription, wish: Wish, actor: Actor, now: datetime) -> None:
    if wish.at_once:
        end(subscription, actor=actor, now=now)
        credit = _credit_rest(subscription, actor, now)
        if wish.notify:
            mails.cancelled(subscription, actor.label, "asked", now, credit=credit)
    else:
        subscription.cancel_at_period_end = True
        if wish.notify:
            mails.cancel_scheduled(subscription, actor.label, now)


def _credit_rest(subscription: VendorSubscription, actor: Actor, now: datetime) -> Money | None:
    """What is unused of a period paid by transfer becomes the vendor's credit, as Stripe does it for cards."""
    if subscription.provider != Provider.TRANSFER or subscription.price_id is None:
        return None
    price, tier = catalog.price(subscription.price_id), catalog.tier_by_id(subscription.tier_id or 0)
    name = tier.name if tier else subscription.tier_code
    minor = transfer_endings.credit_rest(subscription, name, actor=actor, now=now)
    return Money(minor, price.amount.currency) if minor and price else None


def attempt(vendor_id: int, asked_at: datetime | None) -> int | None:
    """Count one more try to bring it to Stripe; gives the number that its idempotency key is made of.

    ``asked_at`` names what is tried: the cancellation of that moment, or (None) taking one back. None when that was
    overtaken. A key per try, since Stripe repeats a 500 for its key; the calls themselves can be repeated.
    """
    subscription = lock(vendor_id)
    if subscription.cancelled_at != asked_at:
        return None
    subscription.version += 1
    return subscription.version


def confirmed(vendor_id: int, asked_at: datetime, *, at_once: bool, notify: bool, by: str, now: datetime) -> bool:
    """Tell the vendor once the cancellation of ``asked_at`` is in effect; False while it is not."""
    subscription = lock(vendor_id)
    if subscription.cancelled_at != asked_at:
        return True
    if not _in_effect(subscription, at_once):
        return False
    if notify and at_once:
        mails.cancelled(subscription, by, "asked", now, credit=mails.credit_at_stripe(subscription))
    elif notify and subscription.status != Status.CANCELLED:
        mails.cancel_scheduled(subscription, by, now)
    return True


def _in_effect(subscription: VendorSubscription, at_once: bool) -> bool:
    return subscription.status == Status.CANCELLED or (subscription.cancel_at_period_end and not at_once)


def refused(vendor_id: int, asked_at: datetime, why: str, *, now: datetime) -> None:
    """Stripe does not take it: the subscription goes on, and history says why."""
    subscription = lock(vendor_id)
    if subscription.cancelled_at == asked_at and not _in_effect(subscription, at_once=False):
        forget(subscription)
        note(subscription, "cancel_refused", actor=SYSTEM, now=now, reason=why[:500])


def take_back(vendor_id: int, *, actor: Actor, now: datetime, base_version: int) -> str | None:
    """Go on after all, before the end has come; gives a name for this act. None when nothing is cancelled (a second
    click): nothing happens.

    Where Stripe takes the money it is still to be told (``ending_flows.carry_on_resume``). Conflict when the
    subscription changed since ``base_version`` or has ended.
    """
    subscription = lock(vendor_id)
    asked_at = subscription.cancelled_at
    if subscription.status != Status.CANCELLED and not subscription.cancel_at_period_end and asked_at is None:
        return None
    refuse_unless(subscription, Event.RESUME, actor)
    expect_version(subscription, base_version)
    forget(subscription)
    note(subscription, "resumed", actor=actor, now=now, continues=subscription.period_end.isoformat())
    audit.record(actor, "subscription.resumed", vendor_id=vendor_id, data={}, now=now)
    if subscription.provider != Provider.STRIPE:
        subscription.cancel_at_period_end, subscription.cancel_at = False, None
        mails.resumed(subscription, actor.label, _cause(subscription), now)
    return _cause(subscription)


def taken_back(vendor_id: int, cause: str, *, by: str, now: datetime) -> bool:
    """Tell the vendor once Stripe goes on; False while it does not, True also when somebody cancelled anew."""
    subscription = lock(vendor_id)
    if subscription.cancelled_at is not None or subscription.status == Status.CANCELLED:
        return True
    if subscription.cancel_at_period_end:
        return False
    mails.resumed(subscription, by, cause, now)
    return True


def _cause(subscription: VendorSubscription) -> str:
    return f"{subscription.id}:{subscription.version}"


def forget(subscription: VendorSubscription) -> None:
    """What was said about leaving does not count any more: it was taken back, or the vendor came again."""
    subscription.cancelled_at = subscription.cancel_feedback = subscription.cancel_comment = None


def end(
    subscription: VendorSubscription, *, actor: Actor, now: datetime, source: str | None = None, why: str | None = None
) -> bool:
    """The end: rights and included credits go, bought credits and all data stay. False when it had ended before.

    ``source`` names the end for the credits, so that they go once. The caller holds the lock and writes the mail.
    """
    if subscription.status == Status.CANCELLED:
        return False
    refuse_unless(subscription, Event.CANCEL_NOW if actor.kind in ("user", "staff") else Event.END, actor)
    before = subscription.status
    subscription.status, subscription.past_due_since = Status.CANCELLED, None
    subscription.cancelled_at = subscription.cancelled_at or now
    dunning.grant(subscription, now)
    credits.end_grants(
        subscription.vendor_id, source=source or f"ended:{subscription.id}:{now.isoformat()}", actor=actor, now=now
    )
    note(subscription, "status_changed", actor=actor, now=now, reason=why, before=str(before), after="cancelled")
    outbox.emit(
        "subscription.ended",
        dedupe_key=f"{subscription.id}:{subscription.version}",
        vendor_id=subscription.vendor_id,
        vendor=subscription.vendor_id,
    )
    return True


def due(now: datetime) -> Iterator[tuple[int, str]]:
    """(vendor, cause) of subscriptions without Stripe whose announced end has come; Stripe ends its own."""
    ends = func.coalesce(VendorSubscription.cancel_at, VendorSubscription.period_end)
    rows = db.session.execute(
        select(VendorSubscription.id, VendorSubscription.vendor_id, ends.label("ends")).where(
            VendorSubscription.provider == Provider.TRANSFER,
            VendorSubscription.status.in_((Status.ACTIVE, Status.PAST_DUE, Status.SUSPENDED)),
            VendorSubscription.cancel_at_period_end,
            ends <= now,
            VendorSubscription.ended_at.is_(None),
        )
    )
    for row in rows:
        yield row.vendor_id, f"{row.id}:{row.ends.isoformat()}"


def end_due(vendor_id: int, *, now: datetime) -> None:
    """End one whose announced end has come; again changes nothing."""
    subscription = lock(vendor_id)
    over = subscription.cancel_at_period_end and (subscription.cancel_at or subscription.period_end) <= now
    if subscription.provider == Provider.TRANSFER and over and end(subscription, actor=SYSTEM, now=now):
        mails.cancelled(subscription, "", "asked", now)

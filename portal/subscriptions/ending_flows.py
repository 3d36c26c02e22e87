"""Cancelling and taking it back where Stripe takes the money (SUB-7): written down, asked for, confirmed."""

from datetime import datetime, timedelta
from typing import Any

from portal.gateways import stripe
from portal.gateways.stripe import StripeMismatch
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, NotFound, Unavailable
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import endings, queries, remote
from portal.subscriptions.endings import Wish
from portal.subscriptions.flows import sync
from portal.subscriptions.queries import Ending
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import Provider, Status

#: Stripe's states in which there is nothing left to cancel.
OVER = ("canceled", "incomplete_expired")


def cancel(vendor_id: int, wish: Wish, *, actor: Actor, base_version: int) -> Ending:
    """Cancel for the end of the period or at once; gives how it stands afterwards.

    At once, Stripe credits what is unused of the period to the customer's balance. Raises what ``endings.request``
    raises. When Stripe does not answer (Unavailable) the wish stays written down, and a job brings it there.
    """
    now = clock.business()
    with unit_of_work():
        subscription = endings.request(vendor_id, wish, actor=actor, now=now, base_version=base_version)
        at_stripe = subscription.provider == Provider.STRIPE
        if at_stripe:
            outbox.enqueue(
                "subscriptions.carry_on_cancel",
                dedupe_key=f"carry-on-cancel:{subscription.id}:{now.isoformat()}",
                delay=timedelta(seconds=30),
                vendor_id=vendor_id,
                vendor=vendor_id,
                asked_at=now.isoformat(),
                at_once=int(wish.at_once),
                notify=int(wish.notify),
                by=actor.label,
            )
    if at_stripe:
        carry_on_cancel(vendor_id, now.isoformat(), at_once=wish.at_once, notify=wish.notify, by=actor.label)
    return queries.ending(vendor_id)


def carry_on_cancel(vendor_id: int, asked_at: str, *, at_once: bool, notify: bool, by: str) -> None:
    """Bring the cancellation of ``asked_at`` to Stripe and its answer back; safe to repeat after a crash at any point.

    Does nothing when it was taken back or overtaken. StripeMismatch when Stripe does not allow it: then nothing ends.
    """
    asked = datetime.fromisoformat(asked_at)
    held = queries.ending(vendor_id)
    if held.asked_at != asked or held.stripe_subscription_id is None:
        return
    if held.status != Status.CANCELLED and (at_once or not held.at_period_end):
        with unit_of_work():
            number = endings.attempt(vendor_id, asked)
        if number is None:
            return
        _tell_stripe(held, asked, at_once, number)
    with unit_of_work():
        known = endings.confirmed(vendor_id, asked, at_once=at_once, notify=notify, by=by, now=clock.business())
    if not known:
        raise Unavailable


def _tell_stripe(held: Ending, asked: datetime, at_once: bool, number: int) -> None:
    stripe_id, vendor_id = str(held.stripe_subscription_id), held.vendor_id
    try:
        _cancel(held, stripe_id, at_once, f"cancel-{held.id}-{number}")
    except StripeMismatch as error:
        with unit_of_work():
            endings.refused(vendor_id, asked, str(error.params.get("detail", error)), now=clock.business())
        raise
    except NotFound:
        pass  # ended meanwhile: the present state tells
    except Unavailable:
        if not _came_through(vendor_id, stripe_id, at_once):
            raise
    sync(vendor_id, stripe_id)


def _cancel(held: Ending, stripe_id: str, at_once: bool, key: str) -> None:
    """A schedule would refuse it, so it is let go first; what is in effect already is left alone."""
    gateway = stripe.current()
    present = remote.read(gateway.subscription(stripe_id))
    if present.status in OVER or (present.leaving and not at_once):
        return
    if present.schedule_id:
        gateway.schedule_release(present.schedule_id, f"release-{present.schedule_id}")
    details = {name: said for name, said in (("feedback", held.feedback), ("comment", held.comment)) if said}
    if at_once:
        params = {"invoice_now": True, "prorate": True, "cancellation_details": details}
        gateway.subscription_cancel(stripe_id, params, key)
    else:
        gateway.subscription_update(stripe_id, {**_end_of(present), "cancellation_details": details}, key)


def _end_of(present: Remote) -> dict[str, Any]:
    """The end of the tier's period. Stripe takes ``cancel_at_period_end`` for that of whichever item ends first, so an
    add-on of another cycle needs the date said; what is paid for it beyond that day is credited.
    """
    if all(item.period_end == present.period_end for item in present.addon_items):
        return {"cancel_at_period_end": True}
    return {"cancel_at": int(present.period_end.timestamp())}


def _came_through(vendor_id: int, stripe_id: str, at_once: bool) -> bool:
    """Was a call without an answer carried out? Only Stripe's present state can tell."""
    sync(vendor_id, stripe_id)
    now = queries.ending(vendor_id)
    return now.status == Status.CANCELLED or (now.at_period_end and not at_once)


def resume(vendor_id: int, *, actor: Actor, base_version: int) -> bool:
    """Take a cancellation back before its end has come; False when there was none (a second click).

    Conflict when the subscription changed since ``base_version`` or has ended.
    """
    with unit_of_work():
        cause = endings.take_back(vendor_id, actor=actor, now=clock.business(), base_version=base_version)
        if cause is not None:
            outbox.enqueue(
                "subscriptions.carry_on_resume",
                dedupe_key=f"carry-on-resume:{cause}",
                delay=timedelta(seconds=30),
                vendor_id=vendor_id,
                vendor=vendor_id,
                cause=cause,
                by=actor.label,
            )
    if cause is not None:
        carry_on_resume(vendor_id, cause, by=actor.label)
    return cause is not None


def carry_on_resume(vendor_id: int, cause: str, *, by: str) -> None:
    """Let Stripe go on with the subscription; safe to repeat, and nothing when somebody cancelled anew."""
    held = queries.ending(vendor_id)
    if held.asked_at is not None or held.provider != Provider.STRIPE or held.stripe_subscription_id is None:
        return
    if held.at_period_end and held.status != Status.CANCELLED:
        with unit_of_work():
            number = endings.attempt(vendor_id, None)
        if number is None:
            return
        _go_on(held.stripe_subscription_id, f"resume-{held.id}-{number}")
    end_reading()
    sync(vendor_id, held.stripe_subscription_id)
    with unit_of_work():
        known = endings.taken_back(vendor_id, cause, by=by, now=clock.business())
    if not known:
        raise Conflict


def _go_on(stripe_id: str, key: str) -> None:
    """Take back the end of the period or the date, whichever Stripe holds."""
    present = remote.read(stripe.current().subscription(stripe_id))
    if present.leaving:
        params = {"cancel_at_period_end": False} if present.cancel_at_period_end else {"cancel_at": ""}
        stripe.current().subscription_update(stripe_id, params, key)

"""Failing (SUB-8): an invoice stays unpaid, the vendor is written to, the product closes, and paying opens it again.

The same for both ways to pay. The verbs flush inside the caller's unit of work; the caller holds the vendor's and the
subscription's lock. Each can be repeated: what was done, or mailed for the same cause, is not done again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select

from portal.billing import queries as billing
from portal.catalog import queries as catalog
from portal.catalog.rules import Tier
from portal.entitlements import service as entitlements
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.db import db
from portal.settings import queries as settings
from portal.subscriptions import mails
from portal.subscriptions.history import lock, note, refuse_unless
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status, dunning_day, is_open, suspends_at
from portal.subscriptions.states import Event, after

BEHIND = (Status.PAST_DUE, Status.SUSPENDED)


def fall_behind(subscription: VendorSubscription, *, since: datetime, now: datetime, actor: Actor = SYSTEM) -> bool:
    """The first attempt to collect an invoice failed at ``since``, or it was due then: the grace counts from there.

    True when that is news. Whoever is behind already keeps the older date; what its day asks for (a mail, or the
    suspension where no grace is left) is done either way. Conflict when the state does not allow it.
    """
    if subscription.status in BEHIND:
        tend(subscription, now=now)
        return False
    refuse_unless(subscription, Event.FALL_BEHIND, actor)
    subscription.past_due_since = since
    _stand(subscription, Event.FALL_BEHIND, actor, now)
    tend(subscription, now=now)
    return True


def tend(subscription: VendorSubscription, *, now: datetime) -> None:
    """What the day asks for while an invoice is unpaid: the mail of day 0, 3, 5 or 7, or closing the product."""
    if subscription.status != Status.PAST_DUE:
        return
    if subscription.past_due_since is None:
        subscription.past_due_since = now
    since, grace = subscription.past_due_since, settings.current().grace_days
    day = dunning_day(since, now, grace)
    if day is not None:
        invoice = billing.unpaid(subscription.vendor_id)
        mails.overdue(subscription, invoice, day, suspends_at(since, grace), now)
    elif now >= suspends_at(since, grace):
        suspend(subscription, now=now)


def suspend(subscription: VendorSubscription, *, now: datetime, actor: Actor = SYSTEM) -> bool:
    """Close the product; Billing, export and support stay open, nothing is deleted. False when it was closed before."""
    if subscription.status == Status.SUSPENDED:
        return False
    refuse_unless(subscription, Event.SUSPEND, actor)
    _stand(subscription, Event.SUSPEND, actor, now)
    mails.suspended(subscription, billing.unpaid(subscription.vendor_id), now)
    return True


def recover(subscription: VendorSubscription, *, now: datetime, actor: Actor = STRIPE) -> bool:
    """What was owed is paid, so everything opens at once; False when nothing was owed."""
    if subscription.status not in BEHIND:
        return False
    refuse_unless(subscription, Event.RECOVER, actor)
    was_closed, since = subscription.status == Status.SUSPENDED, subscription.past_due_since
    subscription.past_due_since = None
    _stand(subscription, Event.RECOVER, actor, now)
    if was_closed:
        mails.reactivated(subscription, since, now)
    return True


def _stand(subscription: VendorSubscription, event: Event, actor: Actor, now: datetime) -> None:
    """Take the state that the event leads to, with the rights that belong to it."""
    before, status = subscription.status, after(subscription.status, event)
    subscription.status = status
    grant(subscription, now)
    note(subscription, "status_changed", actor=actor, now=now, before=str(before), after=str(status))


def grant(subscription: VendorSubscription, now: datetime, tier: Tier | None = None) -> None:
    """Give the rights of the tier (read where it is not at hand) where the state is open, else take them back."""
    if not is_open(Status(subscription.status)):
        entitlements.end_tier_grants(subscription.vendor_id, now=now)
        return
    tier = tier or (catalog.tier_by_id(subscription.tier_id) if subscription.tier_id else None)
    if tier is not None:
        entitlements.replace_tier_grants(subscription.vendor_id, tier, now=now)


@dataclass(frozen=True, slots=True)
class DuePayment:
    """A vendor that owes and wants something; ``cause`` names what, once for each date that it began to owe."""

    vendor_id: int
    cause: str


def due(now: datetime) -> Iterator[DuePayment]:
    """Vendors whose unpaid invoice asks for a mail or for closing the product at ``now``."""
    grace = settings.current().grace_days
    rows = db.session.execute(
        select(VendorSubscription.id, VendorSubscription.vendor_id, VendorSubscription.past_due_since).where(
            VendorSubscription.status == Status.PAST_DUE,
            VendorSubscription.ended_at.is_(None),
            or_(VendorSubscription.past_due_since.is_(None), VendorSubscription.past_due_since <= now),
        )
    )
    for row in rows:
        since = row.past_due_since
        day = dunning_day(since, now, grace) if since else 0
        what = f"day {day}" if day is not None else f"end of {grace}"
        yield DuePayment(row.vendor_id, f"{row.id}:{since.isoformat() if since else 'unknown'}:{what}")


def tend_vendor(vendor_id: int, *, now: datetime) -> None:
    """``tend`` for one vendor, under its lock."""
    tend(lock(vendor_id), now=now)

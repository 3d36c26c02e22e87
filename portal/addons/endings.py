"""Add-ons that end with the plan, or because the vendor has been closed for long (SUB-7, SUB-8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.addons import flows, mails, purchase, queries, service, transfers
from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries as settings
from portal.subscriptions.models import SubscriptionEvent, VendorSubscription
from portal.subscriptions.rules import Provider, Status, suspends_at

#: Days after the suspension on which add-ons end, and on which the vendor is warned of it (SUB-8).
END_AFTER, WARN_ON = 30, (16, 27)


def with_plan(vendor_id: int) -> None:
    """The subscription has ended: what is paid for longer ends with that, everything else at once. Repeatable."""
    subscription = purchase.subscription_of(vendor_id)
    if subscription is None or subscription.status != Status.CANCELLED:
        return
    for row in purchase.had(vendor_id):
        if row.stripe_subscription_id and stripe.is_configured():
            flows.end_with_period(row.id, vendor_id)
        else:
            _end_here(row.id, vendor_id)


def _end_here(addon_id: int, vendor_id: int) -> None:
    now = clock.business()
    with unit_of_work():
        addon = service.locked(addon_id, vendor_id)
        paid_on = addon.provider == Provider.TRANSFER and addon.period_end is not None and addon.period_end > now
        if paid_on:
            service.ends_with(addon, addon.period_end, actor=SYSTEM, now=now)
            transfers.withdraw_next(addon, now=now)
        else:
            service.end(addon, "plan", actor=SYSTEM, now=now)


@dataclass(frozen=True, slots=True)
class DueClosing:
    """A vendor that was closed for so long that its add-ons are spoken of; ``day`` is 16, 27 or 30."""

    vendor_id: int
    since: datetime
    day: int


def due(now: datetime) -> Iterator[DueClosing]:
    """Suspended vendors with add-ons whose warning or end has come."""
    rows = db.session.execute(
        select(VendorSubscription.vendor_id, VendorSubscription.past_due_since)
        .where(VendorSubscription.status == Status.SUSPENDED, VendorSubscription.ended_at.is_(None))
        .where(
            select(VendorAddon.id)
            .where(VendorAddon.vendor_id == VendorSubscription.vendor_id, VendorAddon.status != AddonStatus.CANCELLED)
            .exists()
        )
    )
    for row in list(rows):
        since = suspended_since(row.vendor_id, row.past_due_since)
        day = _day(since, now) if since else None
        if since and day:
            yield DueClosing(row.vendor_id, since, day)


def suspended_since(vendor_id: int, past_due_since: datetime | None) -> datetime | None:
    """Since when the product is closed: by the grace of what is owed, else by the history."""
    if past_due_since is not None:
        return suspends_at(past_due_since, settings.current().grace_days)
    event = db.session.execute(
        select(SubscriptionEvent.at, SubscriptionEvent.data)
        .where(SubscriptionEvent.vendor_id == vendor_id, SubscriptionEvent.kind == "status_changed")
        .order_by(SubscriptionEvent.at.desc(), SubscriptionEvent.id.desc())
        .limit(1)
    ).first()
    return event.at if event and event.data.get("after") == Status.SUSPENDED else None


def _day(since: datetime, now: datetime) -> int | None:
    passed = (now - since).days
    return max((day for day in (*WARN_ON, END_AFTER) if day <= passed), default=None)


def tend(vendor_id: int, day: int) -> None:
    """Warn of the end of a closed vendor's add-ons, or end them; paying in between stops it. Repeatable."""
    now = clock.business()
    subscription = purchase.subscription_of(vendor_id)
    if subscription is None or subscription.status != Status.SUSPENDED:
        return
    since = suspended_since(vendor_id, subscription.past_due_since)
    if since is None or _day(since, now) != day:
        return
    rows = purchase.had(vendor_id)
    if day < END_AFTER:
        with unit_of_work():
            ends = since + timedelta(days=END_AFTER)
            mails.closing(vendor_id, rows, ends, f"{since.isoformat()}:{day}", now)
        return
    for row in rows:
        flows.end_now(row.id, vendor_id, "suspended", actor=SYSTEM)


def due_unpaid(now: datetime) -> Iterator[tuple[int, int, datetime]]:
    """(vendor, add-on, since) of subscriptions of their own that were not paid within the grace."""
    grace = timedelta(days=settings.current().grace_days)
    rows = db.session.execute(
        select(VendorAddon.vendor_id, VendorAddon.id, VendorAddon.past_due_since).where(
            VendorAddon.provider == Provider.STRIPE,
            VendorAddon.status != AddonStatus.CANCELLED,
            VendorAddon.past_due_since <= now - grace,
        )
    )
    for row in list(rows):
        yield row.vendor_id, row.id, row.past_due_since


def end_unpaid(vendor_id: int, addon_id: int) -> None:
    """End one that was not paid within the grace; what was paid a moment ago is seen first."""
    had = queries.one(vendor_id, addon_id)
    if had.stripe_subscription_id:
        flows.sync(vendor_id, had.stripe_subscription_id)
        had = queries.one(vendor_id, addon_id)
    if not had.is_over and had.past_due_since is not None:
        flows.end_now(addon_id, vendor_id, "unpaid", actor=SYSTEM)

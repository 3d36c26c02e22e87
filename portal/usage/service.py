"""Recording usage."""

from datetime import datetime

from sqlalchemy import delete, select

from portal.catalog.rules import Metric
from portal.kit.db import db, insert_once
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_
from portal.usage import counters
from portal.usage.models import UsageEvent
from portal.usage.rules import counter_start, sound_quantity


def record(
    vendor_id: int,
    metric: Metric,
    quantity: int,
    *,
    key: str,
    at: datetime,
    period_start: datetime,
    subject: str | None = None,
) -> bool:
    """Count ``quantity`` of a metric at a moment; False, and nothing changes, when this key was recorded before.

    Event, counter and day change in one transaction. What is counted per period goes to the period that begins at
    ``period_start``; levels ignore it and may go down, never below zero. Asks no limit and raises no alert: that is
    for the rooms above. Raises Invalid (fields ``quantity``, ``key``, ``subject``): the caller's unit of work must
    then roll back.
    """
    if not note(vendor_id, metric, quantity, key=key, at=at, subject=subject):
        return False
    if count(vendor_id, metric, quantity, at=at, start=counter_start(metric, period_start)) is None:
        raise Invalid(fields={"quantity": N_("There is less than that to take away.")})
    return True


def note(vendor_id: int, metric: Metric, quantity: int, *, key: str, at: datetime, subject: str | None) -> bool:
    """Write the event alone, the first step of counting it; False when this key was written before.

    Raises Invalid (fields ``quantity``, ``key``, ``subject``).
    """
    _check(metric, quantity, key, subject)
    values = {"vendor_id": vendor_id, "key": key, "metric": metric, "quantity": quantity, "subject": subject, "at": at}
    return insert_once(UsageEvent, values, ["vendor_id", "key"])


def count(
    vendor_id: int, metric: Metric, quantity: int, *, at: datetime, start: datetime, most: int | None = None
) -> int | None:
    """Move counter and day for an event that was noted; gives the new sum. None, and nothing changes, where it would
    pass ``most`` or fall below zero.
    """
    used = counters.move(vendor_id, metric, quantity, start, most=most)
    if used is not None:
        counters.count_days(vendor_id, [(metric, counters.day_of(at), quantity)])
    return used


def forget(vendor_id: int, key: str) -> None:
    """Take back an event that was noted in this same transaction and then not counted."""
    db.session.execute(
        delete(UsageEvent)
        .where(UsageEvent.vendor_id == vendor_id, UsageEvent.key == key)
        .execution_options(synchronize_session=False)
    )


def expect_same(vendor_id: int, key: str, metric: Metric, quantity: int, subject: str | None) -> None:
    """Conflict (``key_reused``) when the key stands for another event than this one."""
    row = db.session.execute(
        select(UsageEvent.metric, UsageEvent.quantity, UsageEvent.subject).where(
            UsageEvent.vendor_id == vendor_id, UsageEvent.key == key
        )
    ).one()
    if tuple(row) != (metric, quantity, subject):
        raise Conflict(N_("This key stands for another event."), code="key_reused")


def _check(metric: Metric, quantity: int, key: str, subject: str | None) -> None:
    fields: dict[str, str] = {}
    if not sound_quantity(metric, quantity):
        fields["quantity"] = N_("Please give a whole number that can be counted here.")
    if not 1 <= len(key) <= 120:
        fields["key"] = N_("Please give a key of 1 to 120 characters.")
    if subject is not None and not 1 <= len(subject) <= 120:
        fields["subject"] = N_("Please give a subject of 1 to 120 characters.")
    if fields:
        raise Invalid(fields=fields)

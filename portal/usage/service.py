"""Recording usage."""

from datetime import UTC, datetime

from sqlalchemy import update

from portal.catalog.rules import PER_PERIOD, Metric
from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.usage.models import UsageCounter, UsageDaily, UsageEvent
from portal.usage.rules import MOST_QUANTITY, counter_start


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
    ``period_start``; levels ignore it and may go down, never below zero. Raises Invalid (fields ``quantity``,
    ``key``, ``subject``): the caller's unit of work must then roll back.
    """
    _check(metric, quantity, key, subject)
    values = {"vendor_id": vendor_id, "key": key, "metric": metric, "quantity": quantity, "subject": subject, "at": at}
    if not insert_once(UsageEvent, values, ["vendor_id", "key"]):
        return False
    _count(vendor_id, metric, quantity, counter_start(metric, period_start))
    _count_day(vendor_id, metric, quantity, at)
    return True


def _check(metric: Metric, quantity: int, key: str, subject: str | None) -> None:
    fields: dict[str, str] = {}
    least = 1 if metric in PER_PERIOD else -MOST_QUANTITY
    if quantity == 0 or not least <= quantity <= MOST_QUANTITY:
        fields["quantity"] = N_("Please give a whole number that can be counted here.")
    if not 1 <= len(key) <= 120:
        fields["key"] = N_("Please give a key of 1 to 120 characters.")
    if subject is not None and not 1 <= len(subject) <= 120:
        fields["subject"] = N_("Please give a subject of 1 to 120 characters.")
    if fields:
        raise Invalid(fields=fields)


def _count(vendor_id: int, metric: Metric, quantity: int, start: datetime) -> None:
    """Add to the counter in the database itself, so that nobody's count is lost; below zero nothing matches."""
    this = {"vendor_id": vendor_id, "metric": metric, "period_start": start}
    insert_once(UsageCounter, {**this, "used": 0}, list(this))
    statement = (
        update(UsageCounter)
        .where(UsageCounter.vendor_id == vendor_id, UsageCounter.metric == metric, UsageCounter.period_start == start)
        .where(UsageCounter.used + quantity >= 0)
        .values(used=UsageCounter.used + quantity)
        .returning(UsageCounter.id)
        .execution_options(synchronize_session=False)
    )
    if db.session.execute(statement).first() is None:
        raise Invalid(fields={"quantity": N_("There is less than that to take away.")})


def _count_day(vendor_id: int, metric: Metric, quantity: int, at: datetime) -> None:
    day = at.astimezone(UTC).date()
    this = {"vendor_id": vendor_id, "metric": metric, "day": day}
    insert_once(UsageDaily, {**this, "quantity": 0}, list(this))
    db.session.execute(
        update(UsageDaily)
        .where(UsageDaily.vendor_id == vendor_id, UsageDaily.metric == metric, UsageDaily.day == day)
        .values(quantity=UsageDaily.quantity + quantity)
        .execution_options(synchronize_session=False)
    )

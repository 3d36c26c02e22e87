"""Setting a level to what it is: somebody measured it, and the newest measurement counts."""

from datetime import datetime

from sqlalchemy import select, update

from portal.catalog.rules import PER_PERIOD, Metric
from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.usage import counters
from portal.usage.batch import Moved
from portal.usage.models import UsageCounter, UsageEvent
from portal.usage.rules import CLOCKS_DIFFER, EPOCH, most


def set_level(
    vendor_id: int, metric: Metric, value: int, *, at: datetime, now: datetime, subject: str | None = None
) -> Moved | None:
    """Let a level be ``value`` as it was measured at ``at``; None where a newer measurement (or this one) is there.

    The difference is written as an event of that moment, so that a counter stays the sum of its events. The counter's
    row is locked. Raises Invalid (``metric``, ``value``, ``at``).
    """
    _check(metric, value, at, now)
    this = {"vendor_id": vendor_id, "metric": metric, "period_start": EPOCH}
    insert_once(UsageCounter, {**this, "used": 0}, list(this))
    row = db.session.execute(
        select(UsageCounter.id, UsageCounter.used, UsageCounter.as_of).filter_by(**this).with_for_update()
    ).one()
    if row.as_of is not None and at <= row.as_of:
        return None
    db.session.execute(
        update(UsageCounter)
        .where(UsageCounter.id == row.id, UsageCounter.vendor_id == vendor_id)
        .values(used=value, as_of=at)
        .execution_options(synchronize_session=False)
    )
    _write(vendor_id, metric, value - row.used, at, subject)
    return Moved(metric, row.used, value)


def _check(metric: Metric, value: int, at: datetime, now: datetime) -> None:
    fields = {}
    if metric in PER_PERIOD:
        fields["metric"] = N_("This is counted by events; it cannot be set.")
    if not 0 <= value <= most(metric):
        fields["value"] = N_("Please give a whole number that can be counted here.")
    if at > now + CLOCKS_DIFFER:
        fields["at"] = N_("This lies in the future.")
    if fields:
        raise Invalid(fields=fields)


def _write(vendor_id: int, metric: Metric, difference: int, at: datetime, subject: str | None) -> None:
    if difference == 0:
        return
    key = f"level:{metric}:{at.isoformat()}"
    values = {
        "vendor_id": vendor_id,
        "key": key,
        "metric": metric,
        "quantity": difference,
        "subject": subject,
        "at": at,
    }
    insert_once(UsageEvent, values, ["vendor_id", "key"])
    counters.count_days(vendor_id, [(metric, counters.day_of(at), difference)])

"""One event in one statement: it, its counter and its day, or nothing of them (PostgreSQL).

The event is inserted first and everything else springs from that row, so a key that is known moves nothing. Event,
counter, day: the order that every writer keeps.
"""

from datetime import datetime
from functools import cache

from sqlalchemy import text

from portal.catalog.rules import Metric
from portal.kit import changes
from portal.kit.db import BigId, db
from portal.kit.direct import Condition, Direct
from portal.usage import counters
from portal.usage.rules import Event, counter_start


def fits(event: Event) -> bool:
    """Can the statement take this event? SQLite cannot write inside a WITH; what takes away may fall below zero."""
    return event.quantity > 0 and db.engine.dialect.name == "postgresql"


def record(vendor_id: int, event: Event, *, window: datetime, only_if: Condition | None = None) -> int | None:
    """Count a sound event that ``fits``; gives the new sum. None, and nothing changes, for a key that is known, or
    where the condition does not hold.

    ``window`` is the start of the month of usage. A transaction by itself unless a unit of work is open.
    """
    told = {
        "vendor_id": vendor_id,
        "key": event.key,
        "metric": event.metric,
        "quantity": event.quantity,
        "subject": event.subject,
        "at": event.at,
        "start": counter_start(Metric(event.metric), window),
        "day": counters.day_of(event.at),
    }
    rows = _recording(only_if.query)(told | only_if.told) if only_if else _recording("SELECT 1")(told)
    if not rows:
        return None
    changes.moved(vendor_id)
    return int(rows[0].used)


@cache
def _recording(condition: str) -> Direct:
    return Direct(text(_RECORD.replace("CONDITION", condition)).columns(used=BigId))


_RECORD = (
    "WITH noted AS ("
    "INSERT INTO usage_events (vendor_id, key, metric, quantity, subject, at)"
    " SELECT CAST(:vendor_id AS bigint), CAST(:key AS text), CAST(:metric AS text), CAST(:quantity AS bigint),"
    " CAST(:subject AS text), CAST(:at AS timestamptz) WHERE EXISTS (CONDITION)"
    " ON CONFLICT (vendor_id, key) DO NOTHING RETURNING vendor_id, metric, quantity"
    "), counted AS ("
    "INSERT INTO usage_counters AS had (vendor_id, metric, period_start, used)"
    " SELECT vendor_id, metric, CAST(:start AS timestamptz), quantity FROM noted"
    " ON CONFLICT (vendor_id, metric, period_start) DO UPDATE SET used = had.used + excluded.used"
    " RETURNING vendor_id, metric, used"
    "), summed AS ("
    "INSERT INTO usage_daily AS had (vendor_id, metric, day, quantity)"
    " SELECT vendor_id, metric, CAST(:day AS date), CAST(:quantity AS bigint) FROM counted"
    " ON CONFLICT (vendor_id, metric, day) DO UPDATE SET quantity = had.quantity + excluded.quantity"
    ") SELECT used FROM counted"
)

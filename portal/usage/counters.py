"""Moving counters and days: one statement each, in the database itself, so that nobody's count is lost.

An insert that becomes an update when the row is there; its WHERE holds the bound, so that of any number of
transactions at once exactly those pass that fit. On PostgreSQL the row's lock puts them into a line, and the condition
is looked at again behind it; on SQLite the write lock did so before.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from portal.catalog.rules import Metric
from portal.kit import changes
from portal.kit.db import db
from portal.usage.models import UsageCounter, UsageDaily

#: As much as a counter holds where nothing limits it; half of what its column takes, so that a sum never overflows.
FULL = 2**62


def move(vendor_id: int, metric: Metric, quantity: int, start: datetime, *, most: int | None = None) -> int | None:
    """Add ``quantity`` (negative: take away) to the counter that begins at ``start``; gives the new sum.

    None, and nothing changes, where it would pass ``most`` or fall below zero.
    """
    connection = db.session.connection()
    values = {"vendor_id": vendor_id, "metric": metric, "period_start": start}
    if quantity < 0:
        statement, values = _TAKE_AWAY, {f"b_{name}": value for name, value in values.items()}
        values["by"] = quantity
    else:
        most = FULL if most is None else min(most, FULL)
        if quantity > most:
            return None
        statement, values = _add(connection.dialect.name), {**values, "used": quantity, "most": most}
    row = connection.execute(statement, values).first()
    return int(row[0]) if row else None


def count_days(vendor_id: int, sums: Sequence[tuple[Metric, date, int]]) -> None:
    """Add to the days, in the order that every writer keeps."""
    connection = db.session.connection()
    rows = [{"vendor_id": vendor_id, "metric": m, "day": day, "quantity": n} for m, day, n in sorted(sums) if n]
    changes.moved(vendor_id)
    if rows:
        connection.execute(_day(connection.dialect.name), rows if len(rows) > 1 else rows[0])


def day_of(moment: datetime) -> date:
    """A day is a day in UTC."""
    return moment.astimezone(UTC).date()


_counters, _days = UsageCounter.__table__, UsageDaily.__table__

_TAKE_AWAY = (
    update(_counters)
    .where(
        _counters.c.vendor_id == bindparam("b_vendor_id"),
        _counters.c.metric == bindparam("b_metric"),
        _counters.c.period_start == bindparam("b_period_start"),
        _counters.c.used + bindparam("by") >= 0,
    )
    .values(used=_counters.c.used + bindparam("by"))
    .returning(_counters.c.used)
)


@cache
def _add(dialect: str) -> Any:
    statement: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(_counters)
    added = _counters.c.used + statement.excluded.used
    return statement.on_conflict_do_update(
        index_elements=["vendor_id", "metric", "period_start"], set_={"used": added}, where=added <= bindparam("most")
    ).returning(_counters.c.used)


@cache
def _day(dialect: str) -> Any:
    statement: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(_days)
    return statement.on_conflict_do_update(
        index_elements=["vendor_id", "metric", "day"],
        set_={"quantity": _days.c.quantity + statement.excluded.quantity},
    ).inline()

"""Days of usage page by page, for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import and_, or_, select

from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.usage.models import UsageDaily


@dataclass(frozen=True, slots=True)
class Day:
    """The sum of a metric's events on a day (UTC); a level's is by how much it moved."""

    day: date
    metric: str
    quantity: int


def page(
    vendor_id: int,
    *,
    metric: str | None,
    first: date | None,
    last: date | None,
    cursor: str | None,
    size: int,
) -> tuple[list[Day], str | None]:
    """Days from the newest back, both ends included, and the cursor of the next page; one query, however deep.

    NotFound for a cursor that leads nowhere.
    """
    statement = select(UsageDaily.day, UsageDaily.metric, UsageDaily.quantity).where(UsageDaily.vendor_id == vendor_id)
    if metric is not None:
        statement = statement.where(UsageDaily.metric == metric)
    if first is not None:
        statement = statement.where(UsageDaily.day >= first)
    if last is not None:
        statement = statement.where(UsageDaily.day <= last)
    if cursor is not None:
        day, name = _edge(cursor)
        statement = statement.where(or_(UsageDaily.day < day, and_(UsageDaily.day == day, UsageDaily.metric > name)))
    rows = db.session.execute(statement.order_by(UsageDaily.day.desc(), UsageDaily.metric).limit(size + 1)).all()
    return [Day(row.day, row.metric, row.quantity) for row in rows[:size]], _next(rows, size)


def _edge(cursor: str) -> tuple[date, str]:
    paging.check(cursor, [str, str])
    _, values = paging.decode(cursor, 2)
    try:
        return date.fromisoformat(values[0]), values[1]
    except ValueError as error:
        raise NotFound from error


def _next(rows: Sequence[Any], size: int) -> str | None:
    if len(rows) <= size:
        return None
    return paging.encode(False, [rows[size - 1].day.isoformat(), rows[size - 1].metric])

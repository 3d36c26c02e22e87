"""Usage and credits by day, by source and by month, for the usage page. Callers have set the tenancy scope.

A day is a day of UTC, a month is a month of usage (it begins with the subscription's period, not on the first). Amounts
are in the unit that is counted: bytes for storage.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import CompoundSelect, Date, Select, String, cast, func, literal, null, select, union_all

from portal.catalog.rules import PER_PERIOD, Metric
from portal.credits.models import CreditTransaction
from portal.credits.rules import EntryKind
from portal.kit.db import BigId, db
from portal.subscriptions.rules import add_months, usage_window
from portal.usage.models import UsageCounter, UsageDaily, UsageEvent
from portal.usage.rules import EPOCH

#: Beside the metrics: what was spent of the credits.
CREDITS = "credits"
#: How far back a month can be picked.
MONTHS = 13
#: Sources that are named; the rest is one line.
SOURCES = 12


@dataclass(frozen=True, slots=True)
class Span:
    """A month of usage as days: half-open, as periods are."""

    start: date
    end: date

    def days(self) -> list[date]:
        """Every day of it."""
        return [self.start + timedelta(days=i) for i in range((self.end - self.start).days)]


@dataclass(frozen=True, slots=True)
class Series:
    """Amounts of a month beside those of the one before; None where nothing is known (yet). ``first``: of all data."""

    days: list[date]
    now: list[int | None]
    before: list[int | None]
    first: date | None


def spans(anchor: datetime, now: datetime, count: int = MONTHS) -> list[Span]:
    """The months of usage up to the one that ``now`` lies in, newest first, counted from a period's start."""
    window = usage_window(anchor, now)
    months = (window.year - anchor.year) * 12 + window.month - anchor.month
    starts = [add_months(anchor, months - i).astimezone(UTC).date() for i in range(-1, count)]
    return [Span(start, end) for end, start in pairwise(starts)]


def series(vendor_id: int, what: str, span: Span, last: Span, today: date) -> Series:
    """A metric or the credits by day, in one query.

    What is counted per period (and spent credits) is the sum of each day; a level is how high it stood when the day
    ended, reckoned back from where it stands now.
    """
    changes: dict[date, int] = {}
    level: int | None = None
    first: date | None = None
    for row in db.session.execute(_statement(vendor_id, what, last.start)):
        if row.what == "day":
            changes[_as_date(row.day)] = int(row.amount)
        elif row.what == "level":
            level = row.amount
        else:
            first = _as_date(row.day) if row.day else None
    is_level = what != CREDITS and what not in PER_PERIOD
    find = _levels(changes, level, last.start, today) if is_level else _sums(changes, first)
    return Series(
        span.days(), [find(day, today) for day in span.days()], [find(day, today) for day in last.days()], first
    )


def _sums(changes: dict[date, int], first: date | None) -> Any:
    def find(day: date, today: date) -> int | None:
        known = first is not None and first <= day <= today
        return changes.get(day, 0) if known else None

    return find


def _levels(changes: dict[date, int], level: int | None, since: date, today: date) -> Any:
    stood: dict[date, int] = {}
    at, day = level or 0, max([today, *changes])
    while day >= since:
        stood[day] = at
        at -= changes.get(day, 0)
        day -= timedelta(days=1)

    def find(day: date, today: date) -> int | None:
        return stood.get(day) if level is not None and day <= today else None

    return find


def _statement(vendor_id: int, what: str, since: date) -> CompoundSelect[Any]:
    none = cast(null(), BigId)
    if what == CREDITS:
        spent = (CreditTransaction.vendor_id == vendor_id, CreditTransaction.kind == EntryKind.USAGE)
        day = _day(CreditTransaction.at)
        days = (
            select(
                literal("day", String()).label("what"),
                day.label("day"),
                -func.sum(CreditTransaction.amount).label("amount"),
            )
            .where(*spent, CreditTransaction.at >= datetime(since.year, since.month, since.day, tzinfo=UTC))
            .group_by(day)
        )
        oldest = select(literal("first", String()), func.min(_day(CreditTransaction.at)), none)
        return union_all(days, oldest.where(CreditTransaction.vendor_id == vendor_id))
    mine = (UsageDaily.vendor_id == vendor_id, UsageDaily.metric == what)
    parts: list[Select[*tuple[Any, ...]]] = [
        select(literal("day", String()).label("what"), UsageDaily.day.label("day"), UsageDaily.quantity.label("amount"))
        .where(*mine, UsageDaily.day >= since),
        select(literal("first", String()), func.min(UsageDaily.day), none).where(UsageDaily.vendor_id == vendor_id),
        select(literal("level", String()), cast(null(), Date), UsageCounter.used).where(
            UsageCounter.vendor_id == vendor_id, UsageCounter.metric == what, UsageCounter.period_start == EPOCH
        ),
    ]  # fmt: skip
    return union_all(*parts)


def _day(moment: Any) -> Any:
    """The UTC day of a moment in the database: SQLite keeps UTC as text, PostgreSQL must be told the zone."""
    if db.engine.dialect.name == "sqlite":
        return func.date(moment)
    return cast(func.timezone("UTC", moment), Date)


def _as_date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


@dataclass(frozen=True, slots=True)
class Source:
    """How much came from one source (a chatbot, a shop); ``name`` None: nothing was said, "" the rest together."""

    name: str | None
    amount: int


def sources(vendor_id: int, metric: Metric, span: Span) -> list[Source]:
    """What a metric's events of a month were about, the most first, the many small ones as one; one query."""
    start, end = _moments(span)
    total = func.sum(UsageEvent.quantity)
    rows = db.session.execute(
        select(UsageEvent.subject, total.label("amount"))
        .where(UsageEvent.vendor_id == vendor_id, UsageEvent.metric == metric)
        .where(UsageEvent.at >= start, UsageEvent.at < end)
        .group_by(UsageEvent.subject)
        .order_by(total.desc(), UsageEvent.subject)
    ).all()
    named = [Source(row.subject, int(row.amount)) for row in rows[:SOURCES]]
    rest = sum(int(row.amount) for row in rows[SOURCES:])
    return [*named, Source("", rest)] if rest else named


def months(vendor_id: int) -> dict[datetime, dict[str, int]]:
    """What was counted in each month of usage, newest first: start → metric → amount; one query."""
    rows = db.session.execute(
        select(UsageCounter.period_start, UsageCounter.metric, UsageCounter.used)
        .where(UsageCounter.vendor_id == vendor_id, UsageCounter.metric.in_(PER_PERIOD))
        .order_by(UsageCounter.period_start.desc(), UsageCounter.metric)
        .limit(MONTHS * len(PER_PERIOD))
    )
    found: dict[datetime, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.period_start, {})[row.metric] = row.used
    return found


def export_days(vendor_id: int, span: Span) -> Iterator[tuple[str, str, int]]:
    """Day, metric and change of every day of a month, then the spent credits; read in pieces."""
    rows = db.session.execute(
        select(UsageDaily.day, UsageDaily.metric, UsageDaily.quantity)
        .where(UsageDaily.vendor_id == vendor_id, UsageDaily.day >= span.start, UsageDaily.day < span.end)
        .order_by(UsageDaily.day, UsageDaily.metric)
        .execution_options(yield_per=500)
    )
    yield from ((row.day.isoformat(), row.metric, row.quantity) for row in rows)
    for row in db.session.execute(_statement(vendor_id, CREDITS, span.start)):
        if row.what == "day" and _as_date(row.day) < span.end:
            yield _as_date(row.day).isoformat(), CREDITS, int(row.amount)


def export_sources(vendor_id: int, span: Span) -> Iterator[tuple[str, str, int]]:
    """Metric, source and amount of a month; read in pieces, so that many sources cost no memory."""
    start, end = _moments(span)
    rows = db.session.execute(
        select(UsageEvent.metric, UsageEvent.subject, func.sum(UsageEvent.quantity).label("amount"))
        .where(UsageEvent.vendor_id == vendor_id, UsageEvent.at >= start, UsageEvent.at < end)
        .group_by(UsageEvent.metric, UsageEvent.subject)
        .order_by(UsageEvent.metric, UsageEvent.subject)
        .execution_options(yield_per=500)
    )
    yield from ((row.metric, row.subject or "", int(row.amount)) for row in rows)


def _moments(span: Span) -> tuple[datetime, datetime]:
    return tuple(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (span.start, span.end))  # type: ignore[return-value]

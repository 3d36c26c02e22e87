"""Many events in one go: one statement for the events, one for each counter that moves, one for the days.

Events and counters are written in sorted order, so that two batches that share keys or metrics wait for each other and
never both.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import delete, select, text

from portal.catalog.rules import Metric
from portal.kit.db import db
from portal.usage import counters
from portal.usage.models import UsageEvent
from portal.usage.rules import Event, Outcome, Result, Wrong, counter_start, fault

#: As many as one call takes.
MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Moved:
    """A counter that a batch moved, by the sum of its events."""

    metric: Metric
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result for each event, in their order, and the counters that moved."""

    results: list[Result]
    moved: list[Moved]


def record_batch(vendor_id: int, events: Sequence[Event], *, window: datetime, now: datetime) -> Recorded:
    """Count what is new among these events; the good ones count whatever the others are.

    ``window`` is the start of the month of usage that ``now`` lies in. No limit is asked: what has happened has
    happened. Repeatable: a key counts once. At most MOST_EVENTS. Inside the caller's unit of work.
    """
    if len(events) > MOST_EVENTS:
        raise ValueError("split it")
    results, fresh = _sift(events, window, now)
    new = _insert(vendor_id, fresh)
    wrong = _compare(vendor_id, [e for key, e in fresh.items() if key not in new])
    moved = _count(vendor_id, [fresh[key] for key in new], window, wrong)
    for place, event in enumerate(events):
        if results[place] is None:
            results[place] = _result(event, fresh[event.key], new, wrong)
            new.discard(event.key)
    return Recorded([result for result in results if result is not None], moved)


def _sift(events: Sequence[Event], window: datetime, now: datetime) -> tuple[list[Result | None], dict[str, Event]]:
    """Refuse what is wrong by itself; of several with one key the first sound one stands for it."""
    results: list[Result | None] = [None] * len(events)
    fresh: dict[str, Event] = {}
    for place, event in enumerate(events):
        if code := fault(event, window, now):
            results[place] = Result(Outcome.REFUSED, code)
        else:
            fresh.setdefault(event.key, event)
    return results, dict(sorted(fresh.items()))


def _result(event: Event, first: Event, new: set[str], wrong: dict[str, Wrong]) -> Result:
    if event.content != first.content:
        return Result(Outcome.REFUSED, Wrong.KEY_REUSED)
    if code := wrong.get(event.key):
        return Result(Outcome.REFUSED, code)
    return Result(Outcome.COUNTED if event.key in new else Outcome.KNOWN)


def _insert(vendor_id: int, fresh: dict[str, Event]) -> set[str]:
    """Write those whose key is new; gives their keys."""
    if not fresh:
        return set()
    connection = db.session.connection()
    if connection.dialect.name == "sqlite":
        rows = [[e.key, e.metric, e.quantity, e.subject, _sqlite_text(e.at)] for e in fresh.values()]
        return set(connection.scalars(_TO_SQLITE, {"vendor_id": vendor_id, "events": json.dumps(rows)}))
    columns = zip(*((e.key, e.metric, e.quantity, e.subject, e.at) for e in fresh.values()), strict=True)
    names = ("keys", "metrics", "quantities", "subjects", "moments")
    told = {name: list(column) for name, column in zip(names, columns, strict=True)}
    return set(connection.scalars(_TO_POSTGRESQL, {"vendor_id": vendor_id, **told}))


def _sqlite_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


#: A few parameters instead of six thousand: naming each of them took twice as long as all the rest.
_TO_POSTGRESQL = text(
    "INSERT INTO usage_events (vendor_id, key, metric, quantity, subject, at)"
    " SELECT :vendor_id, sent.key, sent.metric, sent.quantity, sent.subject, sent.at"
    " FROM unnest(CAST(:keys AS text[]), CAST(:metrics AS text[]), CAST(:quantities AS bigint[]),"
    " CAST(:subjects AS text[]), CAST(:moments AS timestamptz[])) AS sent (key, metric, quantity, subject, at)"
    " ON CONFLICT (vendor_id, key) DO NOTHING RETURNING key"
)
_TO_SQLITE = text(
    "INSERT INTO usage_events (vendor_id, key, metric, quantity, subject, at)"
    " SELECT :vendor_id, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),"
    " json_extract(value, '$[3]'), json_extract(value, '$[4]')"
    " FROM json_each(:events) WHERE true"
    " ON CONFLICT (vendor_id, key) DO NOTHING RETURNING key"
)


def _compare(vendor_id: int, old: list[Event]) -> dict[str, Wrong]:
    """A key that was used before for something else is a mistake of the sender, who should hear of it."""
    if not old:
        return {}
    rows = db.session.execute(
        select(UsageEvent.key, UsageEvent.metric, UsageEvent.quantity, UsageEvent.subject).where(
            UsageEvent.vendor_id == vendor_id, UsageEvent.key.in_([event.key for event in old])
        )
    )
    stood = {row.key: (row.metric, row.quantity, row.subject) for row in rows}
    return {event.key: Wrong.KEY_REUSED for event in old if stood[event.key] != event.content}


def _count(vendor_id: int, new: list[Event], window: datetime, wrong: dict[str, Wrong]) -> list[Moved]:
    by_metric: dict[Metric, list[Event]] = defaultdict(list)
    for event in new:
        by_metric[Metric(event.metric)].append(event)
    moved: list[Moved] = []
    days: dict[tuple[Metric, date], int] = defaultdict(int)
    for metric, mine in sorted(by_metric.items()):
        counted, after = _move(vendor_id, metric, mine, window, wrong)
        moved.append(Moved(metric, after - sum(e.quantity for e in counted), after))
        for event in counted:
            days[metric, counters.day_of(event.at)] += event.quantity
    counters.count_days(vendor_id, [(metric, day, quantity) for (metric, day), quantity in days.items()])
    return moved


def _move(
    vendor_id: int, metric: Metric, mine: list[Event], window: datetime, wrong: dict[str, Wrong]
) -> tuple[list[Event], int]:
    """Move a counter by all of them. Where it would fall below zero, those that take away are refused instead."""
    start = counter_start(metric, window)
    after = counters.move(vendor_id, metric, sum(event.quantity for event in mine), start)
    if after is None:
        away = [event.key for event in mine if event.quantity < 0]
        wrong.update(dict.fromkeys(away, Wrong.BELOW_ZERO))
        _forget(vendor_id, away)
        mine = [event for event in mine if event.quantity > 0]
        after = counters.move(vendor_id, metric, sum(event.quantity for event in mine), start)
        assert after is not None, "only what takes away is refused"
    return mine, after


def _forget(vendor_id: int, keys: list[str]) -> None:
    db.session.execute(
        delete(UsageEvent)
        .where(UsageEvent.vendor_id == vendor_id, UsageEvent.key.in_(keys))
        .execution_options(synchronize_session=False)
    )

"""Counting what has happened, and telling the vendor when it comes near a limit.

Nothing here is refused because of a limit or a debt: an order that was taken has been taken, and a counter that looked
away would be wrong from then on. Whoever wants to ask beforehand asks the gate. This stands above the usage room,
since windows and limits are rights.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from portal.catalog.rules import Metric
from portal.entitlements import alerts
from portal.entitlements.rules import State
from portal.entitlements.state import state
from portal.kit.db import db
from portal.kit.direct import Condition
from portal.usage import batch, levels, many, single
from portal.usage.batch import Moved
from portal.usage.counters import FULL
from portal.usage.many import Columns
from portal.usage.rules import Event, Outcome, Result, crossed, fault

_METRICS = frozenset(Metric)


def record_batch(vendor_id: int, events: Sequence[Event], *, now: datetime) -> list[Result]:
    """Count up to 1,000 events; a result for each, in their order (counted, known, or refused with its code).

    The good ones count whatever the others are, each key once, however often it is sent. An event must lie in the
    month of usage that runs (late within it is fine) and at most five minutes ahead. Alerts go out in the same
    transaction. Inside the caller's unit of work.
    """
    named = {event.metric for event in events}
    held = state(vendor_id, now, metrics=[metric for metric in Metric if metric in named])
    window = held.frame.window(now)
    done = batch.record_batch(vendor_id, events, window=window, now=now)
    for moved in done.moved:
        _watch(vendor_id, moved, held.limit(moved.metric), window, now)
    return done.results


def record_one(
    vendor_id: int, event: Event, held: State, *, now: datetime, only_if: Condition | None = None
) -> Result | None:
    """Count one event in one statement with rights that were read for this request (or hold ``only_if`` nothing
    changed since they were read, which the statement looks at); nothing moves for a refused one.

    None where that is not possible, and nothing changed: the key is known, the condition does not hold, or the event
    needs more than a statement. Then record_batch does it. Without a unit of work the statement commits by itself:
    only if not ``may_alert``.
    """
    window = held.frame.window(now)
    if code := fault(event, window, now):
        return Result(Outcome.REFUSED, code)
    if not single.fits(event):
        return None
    metric = Metric(event.metric)
    after = single.record(vendor_id, event, window=window, only_if=only_if)
    if after is None:
        return None
    _watch(vendor_id, Moved(metric, after - event.quantity, after), held.limit(metric), window, now)
    return Result(Outcome.COUNTED)


def record_plain(vendor_id: int, sent: Columns, held: State, *, now: datetime) -> None:
    """Count events that are all ``plain`` in one statement, with rights that were read for this request.

    IntegrityError where a key is known: then nothing has changed, the unit of work is to be undone, and record_batch
    does it. Without a unit of work the statement commits by itself: only if no metric ``may_alert``. PostgreSQL alone.
    """
    window = held.frame.window(now)
    for moved in many.record(vendor_id, sent, window=window, now=now):
        _watch(vendor_id, moved, held.limit(moved.metric), window, now)


def plain(sent: Columns, held: State, now: datetime) -> bool:
    """Can ``record_plain`` take these?"""
    return db.engine.dialect.name == "postgresql" and many.plain(sent, held.frame.window(now), now)


def may_alert(metrics: Iterable[str], held: State) -> bool:
    """Could counting these cross a threshold of the limit? Then alert and count belong into one transaction."""
    return any(crossed(0, FULL, held.limit(Metric(metric))) for metric in metrics if metric in _METRICS)


def set_level(
    vendor_id: int, metric: Metric, value: int, *, at: datetime, now: datetime, subject: str | None = None
) -> bool:
    """Let a level be ``value`` (in the unit that is counted) as measured at ``at``; False where a newer one is there.

    Raises Invalid (``metric``, ``value``, ``at``). Inside the caller's unit of work.
    """
    moved = levels.set_level(vendor_id, metric, value, at=at, now=now, subject=subject)
    if moved is not None:
        held = state(vendor_id, now, metrics=(metric,))
        _watch(vendor_id, moved, held.limit(metric), held.frame.window(now), now)
    return moved is not None


def _watch(vendor_id: int, moved: Moved, limit: int | None, window: datetime, now: datetime) -> None:
    alerts.watch(vendor_id, moved.metric, moved.before, moved.after, limit, window=window, now=now)

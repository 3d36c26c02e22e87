"""Counting what has happened, and telling the vendor when it comes near a limit.

Nothing here is refused because of a limit or a debt: an order that was taken has been taken, and a counter that looked
away would be wrong from then on. Whoever wants to ask beforehand asks the gate. This stands above the usage room,
since windows and limits are rights.
"""

from collections.abc import Sequence
from datetime import datetime

from portal.catalog.rules import Metric
from portal.entitlements import alerts
from portal.entitlements.state import state
from portal.usage import batch, levels
from portal.usage.batch import Moved
from portal.usage.rules import Event, Result


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

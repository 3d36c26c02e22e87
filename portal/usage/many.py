"""Many plain events in one statement: they, their counters and days, or nothing of them (PostgreSQL).

Plain events are sound, of different keys, and take nothing away: nearly every batch is made of them alone. They arrive
as columns, since a thousand objects took longer to make than a thousand rows to store. Events are inserted plainly, so
that a key that is known undoes the whole statement before a counter moves; usage.batch then sorts out what is what.
Events by key, counters, days: the order that every writer keeps.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import String, text

from portal.catalog.rules import Metric
from portal.kit import changes
from portal.kit.db import BigId
from portal.kit.direct import Direct
from portal.kit.lines import array
from portal.usage import counters
from portal.usage.batch import Moved
from portal.usage.rules import CLOCKS_DIFFER, counter_start, most


@dataclass(frozen=True, slots=True)
class Columns:
    """Events by column, in the order of their keys. ``subjects`` and ``moments`` may be all None, which is now."""

    keys: Sequence[str]
    metrics: Sequence[str]
    quantities: Sequence[int]
    subjects: Sequence[str | None]
    moments: Sequence[datetime | None]


def plain(sent: Columns, window: datetime, now: datetime) -> bool:
    """Would ``rules.fault`` find nothing in any of them, and do they only add, each under another key?

    The types are right already, and the metrics are ones that there are.
    """
    moments = [moment for moment in sent.moments if moment is not None]
    return (
        len(set(sent.keys)) == len(sent.keys)
        and _plain_texts(sent.keys)
        and _plain_texts([subject for subject in sent.subjects if subject is not None])
        and min(sent.quantities) >= 1
        and max(sent.quantities) <= min(most(Metric(metric)) for metric in set(sent.metrics))
        and (not moments or (min(moments) >= window and max(moments) <= now + CLOCKS_DIFFER))
    )


def _plain_texts(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    return joined.isascii() and "\0" not in joined and all(texts) and max(map(len, texts), default=0) <= 120


def record(vendor_id: int, sent: Columns, *, window: datetime, now: datetime) -> list[Moved]:
    """Count plain events; gives the counters that moved. IntegrityError, and nothing changes, where a key is known.

    ``window`` is the start of the month of usage. A transaction by itself unless a unit of work is open.
    """
    by_metric: dict[str, int] = defaultdict(int)
    by_day: dict[tuple[str, date], int] = defaultdict(int)
    days = {moment: counters.day_of(moment or now) for moment in set(sent.moments)}
    for metric, quantity, moment in zip(sent.metrics, sent.quantities, sent.moments, strict=True):
        by_metric[metric] += quantity
        by_day[metric, days[moment]] += quantity
    moved, summed = sorted(by_metric.items()), sorted(by_day.items())
    rows = _RECORD(
        {
            "vendor_id": vendor_id,
            "now": now,
            "count": len(sent.keys),
            "keys": array(sent.keys),
            "metrics": array(sent.metrics),
            "quantities": array(list(map(str, sent.quantities))),
            "subjects": array(sent.subjects),
            "moments": array([None if moment is None else moment.isoformat() for moment in sent.moments]),
            "moved": array([metric for metric, _ in moved]),
            "starts": array([counter_start(Metric(metric), window).isoformat() for metric, _ in moved]),
            "sums": array([str(quantity) for _, quantity in moved]),
            "of": array([metric for (metric, _), _ in summed]),
            "days": array([day.isoformat() for (_, day), _ in summed]),
            "day_sums": array([str(quantity) for _, quantity in summed]),
        }
    )
    changes.moved(vendor_id)
    return [Moved(Metric(row.metric), row.used - by_metric[row.metric], row.used) for row in rows]


_RECORD = Direct(
    text(
        "WITH noted AS ("
        "INSERT INTO usage_events (vendor_id, key, metric, quantity, subject, at)"
        " SELECT CAST(:vendor_id AS bigint), sent.key, sent.metric, sent.quantity, sent.subject,"
        " coalesce(sent.at, CAST(:now AS timestamptz))"
        " FROM unnest(CAST(:keys AS text[]), CAST(:metrics AS text[]), CAST(:quantities AS bigint[]),"
        " CAST(:subjects AS text[]), CAST(:moments AS timestamptz[])) AS sent (key, metric, quantity, subject, at)"
        " RETURNING 1"
        "), counted AS ("
        "INSERT INTO usage_counters AS had (vendor_id, metric, period_start, used)"
        " SELECT CAST(:vendor_id AS bigint), moved.metric, moved.start, moved.quantity"
        " FROM unnest(CAST(:moved AS text[]), CAST(:starts AS timestamptz[]), CAST(:sums AS bigint[]))"
        " AS moved (metric, start, quantity)"
        # Not before all events are there.
        " WHERE (SELECT count(*) FROM noted) = CAST(:count AS bigint)"
        " ON CONFLICT (vendor_id, metric, period_start) DO UPDATE SET used = had.used + excluded.used"
        " RETURNING metric, used"
        "), summed AS ("
        "INSERT INTO usage_daily AS had (vendor_id, metric, day, quantity)"
        " SELECT CAST(:vendor_id AS bigint), days.metric, days.day, days.quantity"
        " FROM unnest(CAST(:of AS text[]), CAST(:days AS date[]), CAST(:day_sums AS bigint[]))"
        " AS days (metric, day, quantity) WHERE (SELECT count(*) FROM counted) > 0"
        " ON CONFLICT (vendor_id, metric, day) DO UPDATE SET quantity = had.quantity + excluded.quantity"
        ") SELECT metric, used FROM counted"
    ).columns(metric=String, used=BigId)
)

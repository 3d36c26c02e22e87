"""Which counter an event belongs to; pure."""

from datetime import UTC, datetime

from portal.catalog.rules import PER_PERIOD, Metric

#: Levels have one period without end, which begins here.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The most that one event may count; a sum of nine thousand million of these still fits its column.
MOST_QUANTITY = 1_000_000_000


def counter_start(metric: Metric, period_start: datetime) -> datetime:
    """The start of the period whose counter the metric moves."""
    return period_start if metric in PER_PERIOD else EPOCH

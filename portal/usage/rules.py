"""Which counter an event belongs to, and how much one may count; pure."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from portal.catalog.rules import PER_PERIOD, UNITS, Metric

#: Levels have one period without end, which begins here.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The most that one event may count; a sum of nine thousand million of these still fits its column.
MOST_QUANTITY = 1_000_000_000
#: Of what is counted in bytes: a terabyte at a time, nine million times.
MOST_BYTES = 10**12

#: How far a sender's clock may be ahead of ours.
CLOCKS_DIFFER = timedelta(minutes=5)


#: Of a limit, in percent: at these the vendor is told (LIM-6).
THRESHOLDS = (50, 80, 100)


def crossed(before: int, after: int, limit: int | None) -> list[int]:
    """Which thresholds lie between one count and the next. A limit of one is full or empty: nothing to warn of."""
    if limit is None or limit <= 1:
        return []
    return [each for each in THRESHOLDS if before * 100 < each * limit <= after * 100]


def counter_start(metric: Metric, period_start: datetime) -> datetime:
    """The start of the period whose counter the metric moves."""
    return period_start if metric in PER_PERIOD else EPOCH


def most(metric: Metric) -> int:
    """The most that one event of this metric may count, in the unit that it is counted in."""
    return MOST_BYTES if metric in UNITS else MOST_QUANTITY


def add_months(anchor: datetime, months: int) -> datetime:
    """``months`` after ``anchor``, the day clamped to the month's last: 31 January + 1 = 28 (or 29) February."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last))


def usage_window(period_start: datetime, at: datetime) -> datetime:
    """Start of the month of usage that ``at`` lies in: limits such as orders are per month, also when a year is paid.

    Months count from the period's start; before it, its start.
    """
    months = (at.year - period_start.year) * 12 + at.month - period_start.month
    while months > 0:
        begun = add_months(period_start, months)
        if begun <= at:
            return begun
        months -= 1
    return period_start


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as a sender reports it; nothing of it is known to be sound. ``key`` is the sender's."""

    key: str
    metric: str
    quantity: int
    at: datetime
    subject: str | None = None

    @property
    def content(self) -> tuple[str, int, str | None]:
        """What the key stands for. Not the moment: a sender that tries again may stamp it anew."""
        return self.metric, self.quantity, self.subject


class Outcome(StrEnum):
    """What became of an event. ``known``: it was counted before, or stands earlier in the same batch."""

    COUNTED = "counted"
    KNOWN = "known"
    REFUSED = "refused"


class Wrong(StrEnum):
    """Why an event was refused, for programs."""

    UNKNOWN_METRIC = "unknown_metric"
    QUANTITY = "wrong_quantity"
    KEY = "wrong_key"
    SUBJECT = "wrong_subject"
    IN_FUTURE = "in_future"
    TOO_LATE = "too_late"
    KEY_REUSED = "key_reused"
    BELOW_ZERO = "below_zero"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the event at this place of the batch; ``code`` where it was refused."""

    outcome: Outcome
    code: Wrong | None = None


def fault(event: Event, window: datetime, now: datetime) -> Wrong | None:
    """What is wrong with an event by itself. One of the month of usage that runs is in time, however late in it."""
    if event.metric not in _METRICS:
        return Wrong.UNKNOWN_METRIC
    if not sound_quantity(Metric(event.metric), event.quantity):
        return Wrong.QUANTITY
    if not _sound_text(event.key):
        return Wrong.KEY
    if event.subject is not None and not _sound_text(event.subject):
        return Wrong.SUBJECT
    if event.at > now + CLOCKS_DIFFER:
        return Wrong.IN_FUTURE
    return Wrong.TOO_LATE if event.at < window else None


def sound_quantity(metric: Metric, quantity: int) -> bool:
    """Levels may go down, what is counted by months only up; nothing moves by zero or by more than is believable."""
    highest = most(metric)
    return quantity != 0 and (1 if metric in PER_PERIOD else -highest) <= quantity <= highest


def _sound_text(text: str) -> bool:
    # Plain ASCII, which nearly every key is, needs no search.
    return 1 <= len(text) <= 120 and "\0" not in text and (text.isascii() or not _HALVES.search(text))


_METRICS = frozenset(Metric)
#: Halves of characters, which JSON can name and no encoding writes. (PostgreSQL refuses NUL too.)
_HALVES = re.compile("[\ud800-\udfff]")

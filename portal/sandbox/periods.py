"""Calendar arithmetic of billing periods, in UTC seconds; pure."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any

DAY = 86_400
# Rough lengths in days, only to find where to start counting.
ABOUT = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}


def add(anchor: int, interval: str, count: int) -> int:
    """`count` intervals after the anchor (before it, when negative); the 31st becomes the last of a short month."""
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in ("day", "week"):
        return int((start + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def boundary_after(anchor: int, recurring: dict[str, Any], moment: int) -> int:
    """The first period boundary later than the moment.

    Boundaries are counted from the anchor, never from each other: 31 January, 28 February, 31 March.
    """
    interval, every = recurring["interval"], recurring["interval_count"]
    step = int((moment - anchor) / (ABOUT[interval] * DAY * every))
    while add(anchor, interval, step * every) > moment:
        step -= 1
    while add(anchor, interval, step * every) <= moment:
        step += 1
    return add(anchor, interval, step * every)


def period_at(anchor: int, recurring: dict[str, Any], moment: int) -> tuple[int, int]:
    """The period, counted from the anchor, that a moment lies in."""
    end = boundary_after(anchor, recurring, moment)
    interval, every = recurring["interval"], recurring["interval_count"]
    step = round((end - anchor) / (ABOUT[interval] * DAY * every))
    return add(anchor, interval, (step - 1) * every), end


def prorate(amount: int, start: int, end: int, at: int) -> int:
    """The part of an amount (minor units) for the time from `at` to `end` of the period [start, end), to the second.

    Rounded half away from zero.
    """
    length, rest = end - start, end - at
    whole = (abs(amount) * rest * 2 + length) // (length * 2)
    return whole if amount >= 0 else -whole

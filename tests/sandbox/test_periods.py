"""Months, leap years and second-exact proration: pure arithmetic, worked out by hand."""

from datetime import UTC, datetime

import pytest

from portal.sandbox.periods import DAY, add, boundary_after, prorate

pytestmark = pytest.mark.once


def at(text: str) -> int:
    """Seconds of a UTC date."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


MONTHLY = {"interval": "month", "interval_count": 1}


def test_the_31st_comes_back_after_february() -> None:
    anchor = at("2026-01-31T10:00:00")
    found = [anchor]
    for _ in range(4):
        found.append(boundary_after(anchor, MONTHLY, found[-1]))
    assert found[1:] == [at(f"2026-{day}T10:00:00") for day in ("02-28", "03-31", "04-30", "05-31")]


def test_the_29th_of_february_yearly() -> None:
    anchor = at("2028-02-29")
    assert boundary_after(anchor, {"interval": "year", "interval_count": 1}, anchor) == at("2029-02-28")
    assert add(anchor, "year", 4) == at("2032-02-29")


def test_an_anchor_in_the_future_has_boundaries_before_it() -> None:
    assert boundary_after(at("2026-12-15"), MONTHLY, at("2026-10-20")) == at("2026-11-15")


@pytest.mark.parametrize(
    ("interval", "count", "end"), [("day", 1, "2026-01-02"), ("week", 2, "2026-01-15"), ("month", 3, "2026-04-01")]
)
def test_other_intervals(interval: str, count: int, end: str) -> None:
    recurring = {"interval": interval, "interval_count": count}
    assert boundary_after(at("2026-01-01"), recurring, at("2026-01-01")) == at(end)


@pytest.mark.parametrize(
    ("amount", "days", "passed", "rest"),
    [
        # 49.00 for 30 days, 10 days gone: 4900 * 20/30 = 3266.67 -> 3267
        (4900, 30, 10, 3267),
        # 199.00, the same: 19900 * 20/30 = 13266.67 -> 13267
        (19900, 30, 10, 13267),
        # 0.05 half gone: 2.5 -> 3, half away from zero, not to even
        (5, 30, 15, 3),
        (-5, 30, 15, -3),
        (4900, 30, 0, 4900),
        (4900, 30, 30, 0),
    ],
)
def test_proration(amount: int, days: int, passed: int, rest: int) -> None:
    start = at("2026-06-01")
    assert prorate(amount, start, start + days * DAY, start + passed * DAY) == rest


def test_proration_counts_seconds() -> None:
    # 1,000,000 minor units for 1,000,000 seconds; 1 second gone leaves 999,999.
    assert prorate(1_000_000, 0, 1_000_000, 1) == 999_999

"""Our own proration, worked by hand and compared with what Stripe's sandbox would charge, to the last minor unit."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.catalog.rules import Cycle
from portal.sandbox import periods
from portal.subscriptions.proration import Period, Terms, period_from, switch, unused

MONTHLY, YEARLY = Cycle.MONTHLY, Cycle.YEARLY


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


JANUARY = Period(at(2027, 1, 1), at(2027, 2, 1))
ESSENTIAL, PROFESSIONAL, BUSINESS = Terms(4900, MONTHLY), Terms(9900, MONTHLY), Terms(19900, MONTHLY)

CASES = [
    # up, mid-month: 15 of 31 days are left. 9900 × 15/31 = 4790.32; 19900 × 15/31 = 9629.03; 9629 - 4790 = 4839
    ("up", PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 17), 4790, 9629, 4839),
    # down at once, by staff: 19900 × 15/31 = 9629.03; 4900 × 15/31 = 2370.97; 2371 - 9629 = -7258
    ("down", BUSINESS, ESSENTIAL, JANUARY, at(2027, 1, 17), 9629, 2371, -7258),
    # up and up again: 21 days left: 4900 × 21/31 = 3319.35; 9900 × 21/31 = 6706.45 …
    ("up-up, first", ESSENTIAL, PROFESSIONAL, JANUARY, at(2027, 1, 11), 3319, 6706, 3387),
    # … then 11 days left: 9900 × 11/31 = 3512.90; 19900 × 11/31 = 7061.29
    ("up-up, second", PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 21), 3513, 7061, 3548),
    # month end, 31 January to 28 February: 28 days, 1 left. 9900/28 = 353.57; 19900/28 = 710.71
    ("month end", PROFESSIONAL, BUSINESS, Period(at(2027, 1, 31), at(2027, 2, 28)), at(2027, 2, 27), 354, 711, 357),
    # leap day: February 2028 has 29 days, the 29th is left. 9900/29 = 341.38; 19900/29 = 686.21
    ("leap day", PROFESSIONAL, BUSINESS, Period(at(2028, 2, 1), at(2028, 3, 1)), at(2028, 2, 29), 341, 686, 345),
    # clocks go forward in Berlin on 28 March: in UTC no hour is missing, 17.5 of 31 days are left.
    # 9900 × 17.5/31 = 5588.71; 19900 × 17.5/31 = 11233.87
    ("clock change", PROFESSIONAL, BUSINESS, Period(at(2027, 3, 15), at(2027, 4, 15)), at(2027, 3, 28, 12), 5589,
     11234, 5645),
    # yearly to monthly at once, by staff: 183 of 365 days are left. 99000 × 183/365 = 49635.62; a whole month is asked
    ("yearly to monthly", Terms(99000, YEARLY), PROFESSIONAL, Period(at(2027, 1, 1), at(2028, 1, 1)), at(2027, 7, 2),
     49636, 9900, -39736),
    # monthly to yearly: 9900 × 15/31 = 4790.32; a whole year is asked
    ("monthly to yearly", PROFESSIONAL, Terms(99000, YEARLY), JANUARY, at(2027, 1, 17), 4790, 99000, 94210),
    # yen have no smaller unit: 12000 × 15/31 = 5806.45; 24000 × 15/31 = 11612.90
    ("JPY", Terms(12000, MONTHLY), Terms(24000, MONTHLY), JANUARY, at(2027, 1, 17), 5806, 11613, 5807),
    # a tie: 9901 × 14/28 = 4950.5 goes to the part that is left
    ("tie", Terms(9901, MONTHLY), Terms(19901, MONTHLY), Period(at(2027, 2, 1), at(2027, 3, 1)), at(2027, 2, 15), 4951,
     9951, 5000),
    # to the second: 6 hours, 7 minutes, 8 seconds left: 22028 s of 2678400 s. 9900 × .0082243 = 81.42; 163.66
    ("second", PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 31, 17, 52, 52), 81, 164, 83),
    # the first second: everything is left
    ("start", PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 1), 9900, 19900, 10000),
    # the last one: 9900/2678400 = 0.004
    ("end", PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 31, 23, 59, 59), 0, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "period", "moment", "back", "charge", "net"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_worked_by_hand_and_as_the_sandbox(
    old: Terms, new: Terms, period: Period, moment: datetime, back: int, charge: int, net: int
) -> None:
    found = switch(old, new, period, moment)
    assert (found.unused_minor, found.charge_minor, found.net_minor) == (back, charge, net)
    seconds = [int(m.timestamp()) for m in (period.start, period.end, moment)]
    assert found.unused_minor == periods.prorate(old.amount_minor, *seconds)
    if not found.anew:
        assert found.charge_minor == periods.prorate(new.amount_minor, *seconds)


def test_another_cycle_begins_a_period_of_its_own() -> None:
    found = switch(PROFESSIONAL, Terms(99000, YEARLY), JANUARY, at(2027, 1, 17))
    assert (found.anew, found.charged) == (True, Period(at(2027, 1, 17), at(2028, 1, 17)))
    same = switch(PROFESSIONAL, BUSINESS, JANUARY, at(2027, 1, 17))
    assert (same.anew, same.charged) == (False, Period(at(2027, 1, 17), at(2027, 2, 1)))


@given(st.integers(0, 10**9), st.integers(1, 366 * 86400), st.data())
def test_the_parts_of_a_split_period_sum_to_the_whole(amount: int, length: int, data: st.DataObject) -> None:
    whole = Period(JANUARY.start, JANUARY.start + timedelta(seconds=length))
    left = data.draw(st.integers(0, length))
    rest = unused(amount, whole, whole.end - timedelta(seconds=left))
    assert 0 <= rest <= amount
    assert abs(rest * length - amount * left) * 2 <= length  # nearest whole minor unit


@pytest.mark.parametrize(
    ("anchor", "cycle", "ends"),
    [
        (at(2027, 1, 31), MONTHLY, [at(2027, 2, 28), at(2027, 3, 31), at(2027, 4, 30), at(2027, 5, 31)]),
        (at(2027, 11, 30), MONTHLY, [at(2027, 12, 30), at(2028, 1, 30), at(2028, 2, 29), at(2028, 3, 30)]),
        (at(2028, 2, 29), YEARLY, [at(2029, 2, 28), at(2030, 2, 28), at(2031, 2, 28), at(2032, 2, 29)]),
        (at(2027, 1, 15, 23, 59), MONTHLY, [at(2027, 2, 15, 23, 59), at(2027, 3, 15, 23, 59)]),
    ],
)
def test_ends_are_counted_from_the_anchor(anchor: datetime, cycle: Cycle, ends: list[datetime]) -> None:
    start = anchor
    for end in ends:
        assert period_from(anchor, start, cycle) == Period(start, end)
        start = end


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - given a zone
    st.sampled_from([MONTHLY, YEARLY]),
)
def test_periods_never_overlap_nor_leave_a_gap(anchor: datetime, cycle: Cycle) -> None:
    anchor, days = anchor.replace(microsecond=0), (28, 31) if cycle == MONTHLY else (365, 366)
    recurring = {"interval": "month" if cycle == MONTHLY else "year", "interval_count": 1}
    start = anchor
    for _ in range(26):
        period = period_from(anchor, start, cycle)
        assert period.start == start
        assert timedelta(days=days[0]) <= period.end - period.start <= timedelta(days=days[1])
        stripes = periods.boundary_after(int(anchor.timestamp()), recurring, int(start.timestamp()))
        assert int(period.end.timestamp()) == stripes
        start = period.end

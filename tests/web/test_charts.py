"""Bars by day: every length by hand."""

from datetime import date
from decimal import Decimal

from portal.web.kit.charts import by_day

JANUARY = [date(2027, 1, day) for day in range(1, 5)]
DECEMBER = [date(2026, 12, day) for day in range(1, 5)]


def test_lengths_are_parts_of_the_highest() -> None:
    chart = by_day(JANUARY, [10, 40, 0, None], [20, None, 5, 1], DECEMBER)
    # The top is 40 and gets 80 of the height above a floor at 85: 10 of 40 are 20, from 65 down.
    assert (chart.top, chart.bars[0].y, chart.bars[0].height) == (40, "65.000%", "20.000%")
    assert (chart.bars[1].y, chart.bars[1].height) == ("5.000%", "80.000%")
    assert (chart.bars[0].other_y, chart.bars[0].other_height) == ("45.000%", "40.000%")
    # Four slots of 25: the bar in front takes half of its slot from a quarter on, the one behind 84 % from 8 % on.
    assert (chart.bars[1].x, chart.width, chart.bars[1].other_x, chart.other_width) == (
        "31.250%", "12.500%", "27.000%", "21.000%",
    )  # fmt: skip
    assert (chart.total, chart.other_total, chart.last) == (50, 26, 0)
    assert chart.most is not None and chart.most.day == date(2027, 1, 2)


def test_an_unknown_day_is_no_zero() -> None:
    chart = by_day(JANUARY, [3, None, None, None], [None] * 4, DECEMBER)
    assert [bar.value for bar in chart.bars] == [3, None, None, None] and not chart.is_empty
    assert by_day(JANUARY, [0, 0, None, None], [None] * 4, DECEMBER).is_empty


def test_months_of_different_length_stand_day_by_day() -> None:
    february = [date(2027, 2, day) for day in range(1, 29)]
    january = [date(2027, 1, day) for day in range(1, 32)]
    longer = by_day(january, [1] * 31, [2] * 28, february)
    assert [bar.other for bar in longer.bars[27:]] == [2, None, None, None]
    assert longer.bars[30].other_day is None
    assert len(by_day(february, [1] * 28, [2] * 31, january).bars) == 28


def test_parts_of_gigabytes_are_drawn_too() -> None:
    chart = by_day(JANUARY[:2], [Decimal("0.5"), Decimal(2)], [None, None], DECEMBER[:2])
    assert (chart.top, chart.bars[0].height) == (2, "20.000%")


def test_one_day_and_none() -> None:
    assert by_day(JANUARY[:1], [7], [None], DECEMBER[:1]).bars[0].height == "80.000%"
    assert by_day([], [], [], []).is_empty

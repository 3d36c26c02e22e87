"""Bars by day as a template draws them: every length reckoned here, in parts of a hundred."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")
Amount = int | Decimal

#: The height left for bars; above it stands the scale, below it the labels.
_HEIGHT, _FLOOR = 80, 85
#: A label a week, so that they stand apart on a narrow screen too.
_LABELLED = 7


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: its amount (None: not known), and the same day of the month before, as lengths of the drawing."""

    day: date
    value: Amount | None
    other: Amount | None
    other_day: date | None
    x: str
    other_x: str
    middle: str
    y: str
    height: str
    other_y: str
    other_height: str
    labelled: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: widths are the same for every bar. ``top`` is the scale's end."""

    bars: list[Bar]
    top: Amount
    width: str
    other_width: str

    @property
    def total(self) -> Amount:
        """The sum of what is known."""
        return sum((bar.value for bar in self.bars if bar.value is not None), 0)

    @property
    def other_total(self) -> Amount:
        """The sum of the month before."""
        return sum((bar.other for bar in self.bars if bar.other is not None), 0)

    @property
    def last(self) -> Amount | None:
        """The newest that is known."""
        return next((bar.value for bar in reversed(self.bars) if bar.value is not None), None)

    @property
    def most(self) -> Bar | None:
        """The highest bar, the first of several; None where nothing was counted."""
        known = [bar for bar in self.bars if bar.value]
        return max(known, key=lambda bar: bar.value or 0, default=None)

    @property
    def is_empty(self) -> bool:
        """Is there nothing to draw?"""
        return not any(bar.value or bar.other for bar in self.bars)


def by_day(
    days: Sequence[date],
    values: Sequence[Amount | None],
    others: Sequence[Amount | None],
    other_days: Sequence[date],
) -> Chart:
    """Bars of a month in front of those of the month before, first day by first day."""
    shown = [_at(others, i) for i in range(len(days))]
    top = max([v for v in (*values, *shown) if v], default=1)
    slot = 100 / max(len(days), 1)
    bars = [
        _bar(i, day, values[i], shown[i], _at(other_days, i), slot, top, labelled=i % _LABELLED == 0)
        for i, day in enumerate(days)
    ]
    return Chart(bars, top, _percent(slot * 0.5), _percent(slot * 0.84))


def _bar(
    i: int, day: date, value: Amount | None, other: Amount | None, other_day: date | None, slot: float, top: Amount,
    *, labelled: bool,
) -> Bar:  # fmt: skip
    high, other_high = (_HEIGHT * float((v or 0) / top) for v in (value, other))
    return Bar(
        day, value, other, other_day,
        _percent((i + 0.25) * slot), _percent((i + 0.08) * slot), _percent((i + 0.5) * slot),
        _percent(_FLOOR - high), _percent(high), _percent(_FLOOR - other_high), _percent(other_high), labelled,
    )  # fmt: skip


def _at(values: Sequence[T], i: int) -> T | None:
    return values[i] if i < len(values) else None


def _percent(number: float) -> str:
    return f"{number:.3f}%"

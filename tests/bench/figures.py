"""What a measurement says: spreads over rounds, goals met or missed. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum over the rounds that count."""

    low: float
    median: float
    high: float


def spread(samples: Sequence[float]) -> Spread:
    """Of at least one sample."""
    return Spread(min(samples), statistics.median(samples), max(samples))


@dataclass(frozen=True, slots=True)
class Reading:
    """One side in one round. ``cpu`` and ``wall`` in seconds, for all ``operations`` together."""

    operations: int
    cpu: float
    wall: float

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU for one operation."""
        return self.cpu / self.operations * 1e6

    @property
    def rate(self) -> float:
        """Operations in a second of the wall clock."""
        return self.operations / self.wall


def ratios(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """Round by round, since both sides of a round saw the same machine; not a ratio of two medians."""
    return spread([a / b for a, b in zip(upper, lower, strict=True)])


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a figure's table."""

    what: str
    unit: str
    values: Spread
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit from the performance goals and what was reached."""

    text: str
    reached: float
    sense: Literal["at least", "at most"]
    limit: float
    digits: int = 1

    @property
    def met(self) -> bool:
        """Is it on the right side of the limit? The limit itself is."""
        return self.reached >= self.limit if self.sense == "at least" else self.reached <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the performance goals, measured."""

    code: str
    title: str
    how: str
    lines: Sequence[Line]
    goals: Sequence[Goal]
    notes: Sequence[str] = field(default_factory=tuple)

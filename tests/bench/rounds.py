"""Taking turns: every side once a round, the first round thrown away, a round that is not clean taken again."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.figures import Reading

#: So many rounds may be void before the measurement is given up as meaningless.
PATIENCE = 3
Side = Callable[[int], Reading]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: rounds that count, and operations a round."""

    rounds: int
    webhooks: int
    peer: int
    applied: int
    pages: int
    starts: int


FULL = Sizes(rounds=5, webhooks=1000, peer=200, applied=100, pages=250, starts=5)
QUICK = Sizes(rounds=2, webhooks=300, peer=60, applied=40, pages=60, starts=3)


class VoidRound(Exception):
    """An answer was not 2xx, or the books do not add up: nothing of this round counts."""


def take(sides: Mapping[str, Side], counted: int, tell: Tell) -> dict[str, list[Reading]]:
    """``counted`` clean rounds of every side, after one to warm up. Raises VoidRound when too many are not clean.

    Each round begins with another side, so that none always has the warm or the tired machine. A side is called with
    a number that never comes twice.
    """
    taken: dict[str, list[Reading]] = defaultdict(list)
    void, number, clean = 0, 0, -1
    while clean < counted:
        try:
            readings = _round(sides, number)
        except VoidRound as reason:
            void += 1
            tell(f"  round {number} is void: {reason}")
            if void > PATIENCE:
                raise
        else:
            clean += 1
            tell("  " + ("warm-up" if clean == 0 else f"round {clean}") + ": " + _words(readings))
            for name, reading in readings.items() if clean else ():
                taken[name].append(reading)
        number += 1
    return dict(taken)


def _round(sides: Mapping[str, Side], number: int) -> dict[str, Reading]:
    names = list(sides)
    turn = number % len(names)
    return {name: sides[name](number) for name in names[turn:] + names[:turn]}


def _words(readings: Mapping[str, Reading]) -> str:
    return ", ".join(f"{name} {r.cpu_each:.0f} µs CPU {r.rate:.0f}/s" for name, r in sorted(readings.items()))


def cpu(readings: Sequence[Reading]) -> list[float]:
    """Microseconds of CPU an operation, by round."""
    return [reading.cpu_each for reading in readings]


def rate(readings: Sequence[Reading]) -> list[float]:
    """Operations a second, by round."""
    return [reading.rate for reading in readings]

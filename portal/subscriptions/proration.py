"""Periods and prices of subscriptions that are paid by transfer: what Stripe works out for the others; pure.

All moments are aware UTC and cut to the second, as Stripe cuts them: a day with a clock change has no other length.
"""

from dataclasses import dataclass
from datetime import datetime

from portal.catalog.rules import Cycle
from portal.kit.money import allocate
from portal.subscriptions.rules import add_months

_MONTHS = {Cycle.MONTHLY: 1, Cycle.YEARLY: 12}


@dataclass(frozen=True, slots=True)
class Period:
    """From one charge to the next; half-open."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """What is paid for a whole period, in minor units without tax."""

    amount_minor: int
    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Switch:
    """What a change at one moment asks and gives back, and the period that the new terms then run in.

    ``unused_minor`` is given back for the rest of the old terms; ``charge_minor`` is asked for ``charged``: the same
    rest, or a whole period where the cycle changes (``anew``).
    """

    unused_minor: int
    charge_minor: int
    given_back: Period
    charged: Period
    anew: bool

    @property
    def net_minor(self) -> int:
        """To pay; less than zero: to give back."""
        return self.charge_minor - self.unused_minor


def second(moment: datetime) -> datetime:
    """Cut to the second."""
    return moment.replace(microsecond=0)


def period_from(anchor: datetime, start: datetime, cycle: Cycle) -> Period:
    """The period that begins at ``start``. Ends are counted from the anchor, never from each other.

    Anchor 31 January: 28 February, 31 March. A start before the anchor (nothing is counted yet) is its own anchor.
    """
    step = _MONTHS[cycle]
    base = min(anchor, start)
    passed = (start.year - base.year) * 12 + start.month - base.month
    count = max(passed // step, 0)
    while add_months(base, count * step) <= start:
        count += 1
    return Period(start, add_months(base, count * step))


def unused(amount_minor: int, period: Period, at: datetime) -> int:
    """The part of an amount for the time from ``at`` to the period's end; with what was used it sums to the amount.

    To the second, by largest remainder; a tie goes to the part that is left.
    """
    whole = int((period.end - period.start).total_seconds())
    left = int((period.end - min(max(at, period.start), period.end)).total_seconds())
    return allocate(amount_minor, [left, whole - left])[0]


def switch(old: Terms, new: Terms, period: Period, at: datetime) -> Switch:
    """Change from ``old`` to ``new`` at a second within the period that ``old`` is paid for."""
    rest = Period(at, period.end)
    back = unused(old.amount_minor, period, at)
    if old.cycle == new.cycle:
        return Switch(back, unused(new.amount_minor, period, at), rest, rest, anew=False)
    return Switch(back, new.amount_minor, rest, period_from(at, at, new.cycle), anew=True)

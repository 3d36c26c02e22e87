"""What comes next for a plan: days left, the next charge, the end. Pure, so that every page says the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.kit.money import Money
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Provider, Status


@dataclass(frozen=True, slots=True)
class Charge:
    """The next amount that will be asked for; what a credit balance takes off is not known before."""

    at: datetime
    amount: Money


@dataclass(frozen=True, slots=True)
class Outlook:
    """``trial_ends_at``: a trial without a card. ``free_until``: paid for, the first charge is still to come.

    ``ends_at``: cancelled, open until then. ``days_left`` counts begun days up to the first two.
    """

    days_left: int | None
    trial_ends_at: datetime | None
    free_until: datetime | None
    next_charge: Charge | None
    ends_at: datetime | None


NOTHING = Outlook(None, None, None, None, None)


def outlook(held: Overview | None, now: datetime) -> Outlook:
    """What comes next, as far as it is known now; ``held`` None before any tier was chosen."""
    if held is None:
        return NOTHING
    runs_until = held.free_until(now)
    if held.status == Status.TRIAL:
        return Outlook(_days(runs_until, now), runs_until, None, None, None)
    if held.status != Status.ACTIVE or held.provider == Provider.NONE:
        return NOTHING
    if held.cancel_at_period_end:
        return Outlook(_days(runs_until, now), None, runs_until, None, held.period_end)
    return Outlook(_days(runs_until, now), None, runs_until, _charge(held, runs_until), None)


def _charge(held: Overview, free_until: datetime | None) -> Charge | None:
    at = free_until or held.period_end
    coming = held.pending
    if coming and coming.state == ChangeState.SCHEDULED and coming.effective_at <= at:
        return Charge(at, coming.amount)
    return Charge(at, held.amount) if held.amount is not None else None


def _days(end: datetime | None, now: datetime) -> int | None:
    return -((now - end) // timedelta(days=1)) if end else None

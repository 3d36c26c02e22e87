"""What comes next for a plan: days left, the next charge, the end. Pure, so that every page says the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from portal.kit.money import Money
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import NARROWS_ON, ChangeState, Provider, Status, suspends_at


@dataclass(frozen=True, slots=True)
class Charge:
    """The next amount that will be asked for: with its ``tax`` (None: not known, it comes on top), less what the
    balance pays (``used``), with what it owes (``owed``).
    """

    at: datetime
    amount: Money
    used: Money
    owed: Money
    tax: Money | None

    @property
    def net(self) -> Money:
        """The prices alone."""
        whole = self.amount + self.used - self.owed
        return whole - self.tax if self.tax else whole


@dataclass(frozen=True, slots=True)
class Outlook:
    """``trial_ends_at``: a trial without a card. ``free_until``: paid for, the first charge is still to come.

    ``ends_at``: cancelled, open until then. ``renews_at``: the plan itself, an add-on may be charged before.
    ``days_left`` counts begun days up to the first two.
    """

    days_left: int | None
    trial_ends_at: datetime | None
    free_until: datetime | None
    next_charge: Charge | None
    ends_at: datetime | None
    renews_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Debt:
    """What closes when, while an invoice is unpaid (SUB-8). ``is_narrow``: nothing new can be created any more."""

    narrows_at: datetime
    closes_at: datetime
    is_narrow: bool


def debt(status: Status | None, past_due_since: datetime | None, now: datetime, grace_days: int) -> Debt | None:
    """The dates of an unpaid invoice; None where nothing is owed, or where everything is closed already."""
    if status != Status.PAST_DUE or past_due_since is None:
        return None
    closes_at = suspends_at(past_due_since, grace_days)
    narrows_at = min(past_due_since + timedelta(days=NARROWS_ON), closes_at)
    return Debt(narrows_at, closes_at, now >= narrows_at)


NOTHING = Outlook(None, None, None, None, None)


#: States in which a period runs, paid or not.
RUNNING = (Status.ACTIVE, Status.PAST_DUE, Status.SUSPENDED)


def outlook(held: Overview | None, now: datetime) -> Outlook:
    """What comes next, as far as it is known now; ``held`` None before any tier was chosen."""
    if held is None:
        return NOTHING
    runs_until = held.free_until(now)
    if held.status == Status.TRIAL:
        return Outlook(_days(runs_until, now), runs_until, None, None, None)
    if held.provider == Provider.NONE or held.status not in RUNNING:
        return NOTHING
    charge = _charge(held, runs_until, now)
    if held.cancel_at_period_end:  # on a later day perhaps: what comes before is charged still
        before = charge if charge and charge.at < held.ends_at and not held.paid_until else None
        return Outlook(_days(runs_until, now), None, runs_until, before, held.ends_at)
    if held.status != Status.ACTIVE:
        return NOTHING
    if held.paid_until and held.amount is not None:  # by transfer, ahead: free days are over with that, as for the rest
        return Outlook(None, None, None, _due(held.paid_until, held.amount, held, now), None, held.paid_until)
    renews_at = runs_until or held.period_end
    return Outlook(_days(runs_until, now), None, runs_until, charge, None, renews_at if charge else None)


class _Asked(NamedTuple):
    at: datetime
    amount: Money


def _charge(held: Overview, free_until: datetime | None, now: datetime) -> Charge | None:
    asked = _whole(held, free_until)
    return _due(asked.at, asked.amount, held, now) if asked else None


def _whole(held: Overview, free_until: datetime | None) -> _Asked | None:
    """The plan with the add-ons of the same day, or those alone that renew before it (storage by the month, a plan by
    the year).
    """
    plan = _of_plan(held, free_until)
    if plan is None or held.beside_at is None or held.beside_at > plan.at:
        return plan
    if held.beside_at == plan.at:
        return _Asked(plan.at, Money(plan.amount.minor + (held.beside_minor or 0), plan.amount.currency))
    own = held.provider == Provider.STRIPE  # by transfer they are asked for one by one
    return _Asked(held.beside_at, Money(held.beside_minor or 0, plan.amount.currency)) if own else plan


def _due(at: datetime, net: Money, held: Overview, now: datetime) -> Charge:
    """The balance pays for tax, too. A period that has begun is invoiced by what holds today."""
    tax = held.tax.on(net.minor, max(at, now).date())
    whole = net + Money(tax or 0, net.currency)
    kept = held.on_balance.minor if held.on_balance else 0
    used, owed = (Money(minor, net.currency) for minor in (min(max(kept, 0), whole.minor), max(-kept, 0)))
    return Charge(at, whole - used + owed, used, owed, Money(tax, net.currency) if tax is not None else None)


def _of_plan(held: Overview, free_until: datetime | None) -> _Asked | None:
    at = free_until or held.period_end
    coming = held.pending
    if coming and coming.state == ChangeState.SCHEDULED and coming.effective_at <= at:
        return _Asked(at, coming.amount)
    return _Asked(at, held.amount) if held.amount is not None else None


def _days(end: datetime | None, now: datetime) -> int | None:
    return -((now - end) // timedelta(days=1)) if end else None

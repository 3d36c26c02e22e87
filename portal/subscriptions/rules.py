"""The state machine and arithmetic of subscriptions, pure."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum

from portal.catalog.rules import Cycle
from portal.usage.rules import add_months as add_months
from portal.usage.rules import usage_window as usage_window


class Status(StrEnum):
    """The state of a subscription; a vendor's standing is derived from it."""

    TRIAL = "trial"
    TRIAL_ENDED = "trial_ended"
    ACTIVE = "active"
    PENDING_PAYMENT = "pending_payment"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


class Provider(StrEnum):
    """Who takes the money."""

    NONE = "none"
    STRIPE = "stripe"
    TRANSFER = "transfer"


class When(StrEnum):
    """When a tier change applies."""

    NOW = "now"
    NEXT = "next"


class ChangeState(StrEnum):
    """Where an intent to change the tier stands."""

    REQUESTED = "requested"
    SCHEDULED = "scheduled"
    AWAITING_PAYMENT = "awaiting_payment"
    APPLIED = "applied"
    UNDONE = "undone"
    REFUSED = "refused"


class Ended(StrEnum):
    """Why a change of the tier did not happen; kept with it and in the history."""

    TAKEN_BACK = "taken back"
    GIVEN_UP = "given up"
    NOT_PAID = "not paid in time"
    RELEASED = "released in Stripe"
    RETIRED = "target retired"
    REFUSED = "refused by Stripe"


#: Endings that nobody here chose: the vendor is told of them by mail.
UNASKED = frozenset({Ended.NOT_PAID, Ended.RELEASED, Ended.RETIRED, Ended.REFUSED})


#: Standings in which the product is open. past_due keeps it open during grace (SUB-8).
OPEN = frozenset({Status.TRIAL, Status.ACTIVE, Status.PAST_DUE})

#: Stripe's subscription states as ours (SUB-3: a trial with a card on file counts as active).
FROM_STRIPE = {
    "trialing": Status.ACTIVE,
    "active": Status.ACTIVE,
    "past_due": Status.PAST_DUE,
    "unpaid": Status.SUSPENDED,
    "paused": Status.SUSPENDED,
    "canceled": Status.CANCELLED,
    "incomplete": Status.PENDING_PAYMENT,
    "incomplete_expired": Status.CANCELLED,
}


class Feedback(StrEnum):
    """Why somebody leaves, in Stripe's words."""

    TOO_EXPENSIVE = "too_expensive"
    MISSING_FEATURES = "missing_features"
    SWITCHED_SERVICE = "switched_service"
    UNUSED = "unused"
    CUSTOMER_SERVICE = "customer_service"
    TOO_COMPLEX = "too_complex"
    LOW_QUALITY = "low_quality"
    OTHER = "other"


class Restriction(StrEnum):
    """What a vendor that owes may not do."""

    UPGRADE = "upgrade"
    TOP_UP = "top_up"
    GRANT = "grant"
    CREATE = "create"
    COSTLY = "costly"
    PRODUCT = "product"


#: Days after the first failure on which the vendor is written to, while the grace lasts (SUB-8).
DUNNING_DAYS = (0, 3, 5, 7)
#: From this day of an unpaid invoice nothing new is created and nothing costly is started.
NARROWS_ON = 3

REMINDER_DAYS = (7, 3, 1)

#: How long a preview may be confirmed (SUB-4).
PREVIEW_HOLDS = timedelta(minutes=15)


def is_open(status: Status) -> bool:
    """May the vendor use the product?"""
    return status in OPEN


def reminder_due(trial_ends_at: datetime, now: datetime) -> int | None:
    """Which reminder (7, 3 or 1 days before the end) belongs to this moment; None before, between none and after.

    Each covers the time until the next one, so a reminder that could not go out at once still goes out, but never
    one that has been overtaken.
    """
    left = trial_ends_at - now
    if left <= timedelta():
        return None
    due = [days for days in REMINDER_DAYS if left <= timedelta(days=days)]
    return min(due) if due else None


def effective_status(told: str, ours: Status | str) -> Status:
    """Stripe's word as our status. Its ``past_due`` does not lift a suspension: only payment does (SUB-8)."""
    status = FROM_STRIPE[told]
    return Status.SUSPENDED if status == Status.PAST_DUE and ours == Status.SUSPENDED else status


def suspends_at(past_due_since: datetime, grace_days: int) -> datetime:
    """When the product closes unless it is paid: the grace counts whole days from the first failure."""
    return past_due_since + timedelta(days=grace_days)


def dunning_day(past_due_since: datetime, now: datetime, grace_days: int) -> int | None:
    """Which mail (day 0, 3, 5 or 7) belongs to this moment; None once the grace is over: then it is the suspension's.

    Each covers the time until the next one, as ``reminder_due`` does, so none is sent for a day already overtaken.
    """
    if now < past_due_since or now >= suspends_at(past_due_since, grace_days):
        return None
    elapsed = (now - past_due_since).days
    return max(day for day in DUNNING_DAYS if day <= elapsed)


def restrictions(status: Status | str | None, past_due_since: datetime | None, now: datetime) -> frozenset[Restriction]:
    """What is closed to a vendor because of money (SUB-8); empty where nothing is owed.

    =====================================  ===========================================
    state                                  closed
    =====================================  ===========================================
    trial, active                          nothing
    past_due, from day 0                   upgrade, top_up, grant
    past_due, from day 3                   the same, and create, costly
    every other state, no plan             all of these, and product
    =====================================  ===========================================
    """
    if status in (Status.TRIAL, Status.ACTIVE):
        return frozenset()
    if status != Status.PAST_DUE:
        return frozenset(Restriction)
    first = frozenset({Restriction.UPGRADE, Restriction.TOP_UP, Restriction.GRANT})
    until = creates_until(status, past_due_since)
    if until is None or now < until:
        return first
    return first | {Restriction.CREATE, Restriction.COSTLY}


def creates_until(status: Status | str | None, past_due_since: datetime | None) -> datetime | None:
    """From when on nothing new may be created because of a debt; None where no debt says so (SUB-8)."""
    if status != Status.PAST_DUE or past_due_since is None:
        return None
    return past_due_since + timedelta(days=NARROWS_ON)


def person_hash(email_key: str) -> str:
    """A person as far as an address tells: sub-addresses and, at Gmail, dots are the same mailbox (SUB-1)."""
    local, _, domain = email_key.partition("@")
    local = local.split("+", 1)[0]
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return hashlib.sha256(f"{local}@{domain}".encode()).hexdigest()


def prorated_credits(old_included: int, new_included: int, start: datetime, end: datetime, at: datetime) -> int:
    """Credits that an upgrade within a period adds: the difference, by the share of the period that is left.

    Rounded down, in whole microseconds (floats would lose a credit); nothing for a tier that includes no more.
    """
    if new_included <= old_included or at >= end:
        return 0
    left, whole = end - max(at, start), end - start
    return (new_included - old_included) * left // whole


def period_ending(end: datetime, anchor: datetime, months: int) -> tuple[datetime, datetime]:
    """The paid period of so many months that ends at ``end``, where periods count from ``anchor``.

    29 January + 1 month is 28 February, so the period that ends on 28 February began on 29 January, not on the 28th.
    """
    since = (end.year - anchor.year) * 12 + end.month - anchor.month
    if since >= months and add_months(anchor, since) == end:
        return add_months(anchor, since - months), end
    return add_months(end, -months), end


def credits_for(included: int, cycle: Cycle) -> int:
    """Credits that one paid period brings: a tier includes so many a month, so a year brings twelve times as many."""
    return included * 12 if cycle == Cycle.YEARLY else included


def extended_trial(trial_ends_at: datetime | None, now: datetime, days: int) -> datetime:
    """When a trial ends after ``days`` more: counted from its end, or from now when that has passed."""
    return max(trial_ends_at or now, now) + timedelta(days=days)


def next_charge(at: datetime, cycle: Cycle, held_cycle: Cycle | None, period_end: datetime) -> datetime:
    """When the new price is due for the first time in full after a change at ``at``: another cycle begins anew."""
    return period_end if cycle == held_cycle else add_months(at, 12 if cycle == Cycle.YEARLY else 1)


def preview_holds(proration_at: datetime, period_start: datetime, now: datetime) -> bool:
    """May figures computed for ``proration_at`` still be confirmed: 15 minutes old at most, of this period (SUB-4)?"""
    return max(period_start, now - PREVIEW_HOLDS) <= proration_at <= now

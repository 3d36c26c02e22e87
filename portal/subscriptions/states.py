"""Every state of a subscription × every event × who may let it happen, as one table; pure.

The verbs ask it before they act, and docs/states.md is this table in words.
"""

from dataclasses import dataclass
from enum import StrEnum

from portal.kit.actor import ActorKind
from portal.subscriptions.rules import Status


class Event(StrEnum):
    """What can happen to a subscription."""

    CHANGE_TIER = "change_tier"
    EXTEND_TRIAL = "extend_trial"
    END_TRIAL = "end_trial"
    AWAIT_PAYMENT = "await_payment"
    STOP_WAITING = "stop_waiting"
    ACTIVATE = "activate"
    RENEW = "renew"
    FALL_BEHIND = "fall_behind"
    SUSPEND = "suspend"
    RECOVER = "recover"
    CANCEL_AT_END = "cancel_at_end"
    CANCEL_NOW = "cancel_now"
    RESUME = "resume"
    END = "end"


@dataclass(frozen=True, slots=True)
class Step:
    """What an event leads to, and who may let it happen."""

    to: Status
    by: frozenset[ActorKind]


_PEOPLE: frozenset[ActorKind] = frozenset({"user", "staff"})
_STAFF: frozenset[ActorKind] = frozenset({"staff"})
_SYSTEM: frozenset[ActorKind] = frozenset({"system"})
_STRIPE: frozenset[ActorKind] = frozenset({"stripe"})
#: Money that came in is reported by Stripe, or by whoever of the staff approved the transfer.
_CASHIER = _STRIPE | _STAFF
_MACHINE = _SYSTEM | _STRIPE

#: What is not here is refused. Stripe's word is followed from every state: what we missed in between may be heard late.
STATES: dict[Event, dict[Status, Step]] = {
    Event.CHANGE_TIER: {
        Status.TRIAL: Step(Status.TRIAL, _PEOPLE),
        Status.TRIAL_ENDED: Step(Status.TRIAL_ENDED, _PEOPLE),
        Status.ACTIVE: Step(Status.ACTIVE, _PEOPLE | _STRIPE),
    },
    Event.EXTEND_TRIAL: {
        Status.TRIAL: Step(Status.TRIAL, _STAFF),
        Status.TRIAL_ENDED: Step(Status.TRIAL, _STAFF),
        Status.ACTIVE: Step(Status.ACTIVE, _STAFF),
    },
    Event.END_TRIAL: {Status.TRIAL: Step(Status.TRIAL_ENDED, _SYSTEM)},
    Event.AWAIT_PAYMENT: {
        Status.TRIAL_ENDED: Step(Status.PENDING_PAYMENT, _PEOPLE | _MACHINE),
        Status.CANCELLED: Step(Status.PENDING_PAYMENT, _PEOPLE | _STRIPE),
    },
    Event.STOP_WAITING: {Status.PENDING_PAYMENT: Step(Status.TRIAL_ENDED, _PEOPLE | _SYSTEM)},
    # The portal itself activates where the vendor's balance covers everything.
    Event.ACTIVATE: {
        Status.TRIAL: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
        Status.TRIAL_ENDED: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
        Status.PENDING_PAYMENT: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
        Status.CANCELLED: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
    },
    Event.RENEW: {
        Status.ACTIVE: Step(Status.ACTIVE, _CASHIER),
        Status.PAST_DUE: Step(Status.ACTIVE, _CASHIER),
        Status.SUSPENDED: Step(Status.ACTIVE, _CASHIER),
    },
    Event.FALL_BEHIND: {
        Status.TRIAL: Step(Status.PAST_DUE, _STRIPE),
        Status.TRIAL_ENDED: Step(Status.PAST_DUE, _STRIPE),
        Status.PENDING_PAYMENT: Step(Status.PAST_DUE, _STRIPE),
        Status.ACTIVE: Step(Status.PAST_DUE, _MACHINE),
        Status.CANCELLED: Step(Status.PAST_DUE, _STRIPE),
    },
    Event.SUSPEND: {
        Status.TRIAL: Step(Status.SUSPENDED, _STRIPE),
        Status.TRIAL_ENDED: Step(Status.SUSPENDED, _STRIPE),
        Status.PENDING_PAYMENT: Step(Status.SUSPENDED, _STRIPE),
        Status.ACTIVE: Step(Status.SUSPENDED, _STRIPE),
        Status.PAST_DUE: Step(Status.SUSPENDED, _MACHINE),
        Status.CANCELLED: Step(Status.SUSPENDED, _STRIPE),
    },
    Event.RECOVER: {
        Status.PAST_DUE: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
        Status.SUSPENDED: Step(Status.ACTIVE, _CASHIER | _SYSTEM),
    },
    Event.CANCEL_AT_END: {
        Status.ACTIVE: Step(Status.ACTIVE, _PEOPLE | _STRIPE),
        Status.PAST_DUE: Step(Status.PAST_DUE, _PEOPLE | _STRIPE),
        Status.SUSPENDED: Step(Status.SUSPENDED, _PEOPLE | _STRIPE),
    },
    Event.CANCEL_NOW: {
        Status.TRIAL: Step(Status.CANCELLED, _PEOPLE),
        Status.TRIAL_ENDED: Step(Status.CANCELLED, _STAFF),
        Status.PENDING_PAYMENT: Step(Status.CANCELLED, _STAFF),
        Status.ACTIVE: Step(Status.CANCELLED, _PEOPLE | _STRIPE),
        Status.PAST_DUE: Step(Status.CANCELLED, _CASHIER),
        Status.SUSPENDED: Step(Status.CANCELLED, _CASHIER),
    },
    Event.RESUME: {
        Status.ACTIVE: Step(Status.ACTIVE, _PEOPLE | _STRIPE),
        Status.PAST_DUE: Step(Status.PAST_DUE, _PEOPLE | _STRIPE),
        Status.SUSPENDED: Step(Status.SUSPENDED, _PEOPLE | _STRIPE),
    },
    Event.END: {
        Status.TRIAL: Step(Status.CANCELLED, _STRIPE),
        Status.TRIAL_ENDED: Step(Status.CANCELLED, _STRIPE),
        Status.PENDING_PAYMENT: Step(Status.CANCELLED, _MACHINE),
        Status.ACTIVE: Step(Status.CANCELLED, _MACHINE),
        Status.PAST_DUE: Step(Status.CANCELLED, _MACHINE),
        Status.SUSPENDED: Step(Status.CANCELLED, _MACHINE),
    },
}


def allowed(status: Status | str, event: Event, actor_kind: ActorKind) -> bool:
    """May this happen in this state, at this one's word?"""
    step = STATES[event].get(Status(status))
    return step is not None and actor_kind in step.by


def after(status: Status | str, event: Event) -> Status:
    """The state that an allowed event leads to; KeyError for one that the table does not know."""
    return STATES[event][Status(status)].to

"""When a step is tried again, when a promise is broken, and what the log says; pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from portal.addons.rules import RunState, StepState
from portal.kit.text import N_

#: Between tries. A provider that is down for a day is met again; after the last gap a person looks.
GAPS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 4 * 60, 12 * 60, 24 * 60))
MAX_ATTEMPTS = len(GAPS) + 1
#: How long an attempt may be silent before another worker may take the step. Longer than any call to a provider.
LEASE = timedelta(minutes=5)

#: A run that is not over: one at a time for each add-on.
OPEN = (RunState.RUNNING, RunState.WAITING, RunState.FAILED)
#: A step that the next one need not wait for.
FINISHED = (StepState.DONE, StepState.SKIPPED)
#: A step that is tried at its time without anybody asking.
MOVING = (StepState.TODO, StepState.RETRYING, StepState.WAITING_VENDOR, StepState.WAITING_STAFF)

OUR_FAULT = N_("Something failed on our side.")
NO_ANSWER = N_("A service we depend on does not answer. Nothing is lost.")
BEGUN = N_("Begun.")
ALREADY = N_("It was there already: nothing had to be done.")
DONE = N_("Done.")
FINISHED_RUN = N_("All steps are done.")
GAVE_UP = N_("Tried %(tries)s times without success.")
BY_HAND = N_("Completed by hand.")
SKIPPED = N_("Left out.")
AGAIN = N_("To be tried again.")
UNDOING = N_("Being undone.")
UNDONE = N_("Undone.")
CANCELLED = N_("Setting up was stopped.")
CHAIN_TAKEN = N_("The certificate was handed in.")
REPLACED = N_("Stopped, because the add-on is being removed.")
LATE = N_("Not ready by the promised time.")
NEW_PROMISE = N_("Everything is here now. Our time begins anew.")


def gap(attempts: int) -> timedelta:
    """How long to wait after the ``attempts``-th try in a row that did not succeed."""
    return GAPS[min(attempts, len(GAPS)) - 1]


def promise(hours: int, now: datetime) -> datetime:
    """By when it is to be ready. What takes no time at all is promised within the hour."""
    return now + timedelta(hours=max(hours, 1))


def is_late(promised_at: datetime | None, state: str, waits_for_vendor: bool, now: datetime) -> bool:
    """Should it be ready and is not, and not because the vendor still has to do something?"""
    return promised_at is not None and promised_at <= now and state in OPEN and not waits_for_vendor


def granted(grants: Mapping[str, Any], variant: str, quantity: int) -> dict[str, int]:
    """What an add-on gives: each limit of its variant times how often it was bought (``limits`` as in presets)."""
    table: Mapping[str, Mapping[str, int]] = grants.get("limits", {})
    each = table.get(variant) or table.get("") or {}
    return {metric: amount * quantity for metric, amount in each.items()}


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON: what is no plain value (a date among an error's parameters) becomes its text."""
    return {str(key): _plain(value) for key, value in data.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)

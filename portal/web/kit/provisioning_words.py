"""Where setting an add-on up stands, in words; for vendors and, with more detail, for staff."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from portal.addons.providers import Place
from portal.addons.provisioning_queries import LogLine, RunRow, Setup, StepView
from portal.addons.rules import AddonStatus, Origin, RunKind, RunState, StepState
from portal.kit import clock
from portal.web.kit import countries
from portal.web.kit.filters import moment, translated

#: How the steps component draws each state.
LOOKS = {
    StepState.TODO: "todo",
    StepState.RUNNING: "current",
    StepState.RETRYING: "current",
    StepState.WAITING_VENDOR: "waiting",
    StepState.WAITING_STAFF: "current",
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.SKIPPED: "done",
    StepState.UNDONE: "failed",
}


def filled(message: str | None, data: Mapping[str, Any]) -> str:
    """A message id with its data in it, in the reader's language. Data that does not fit leaves the words bare."""
    if not message:
        return ""
    words = translated(message)
    try:
        return words % data if "%" in words else words
    except (KeyError, TypeError, ValueError):
        return words


def look(setup: Setup, step: StepView) -> str:
    """As the steps component names it: the step that is on is "current", also before it was tried; once a run was
    stopped, what it did not come to is to be done.
    """
    if setup.state == RunState.CANCELLED and LOOKS[StepState(step.state)] in ("current", "waiting"):
        return "todo"
    if step.state == StepState.TODO and setup.current == step:
        return "current"
    return LOOKS[StepState(step.state)]


def for_vendor(setup: Setup, step: StepView) -> str:
    """What the vendor reads under a step: nothing where the title says it."""
    if look(setup, step) == "todo":
        return ""
    said = filled(step.error, step.said)
    if step.state == StepState.RETRYING and step.next_try_at:
        return _("%(what)s We try again by ourselves on %(when)s.", what=said, when=moment(step.next_try_at))
    if step.state == StepState.WAITING_VENDOR and step.next_try_at and step.place != Place.DOMAINS:
        return _("%(what)s We look again on %(when)s.", what=said, when=moment(step.next_try_at))
    if step.state == StepState.WAITING_STAFF and step.due_at:
        is_late = step.due_at <= clock.business()  # a date that has passed promises nothing
        return said if is_late else _("%(what)s By %(when)s.", what=said, when=moment(step.due_at))
    if step.state in (StepState.FAILED, StepState.UNDONE):
        return _("%(what)s A person of ours looks at it. There is nothing for you to do.", what=said)
    if step.state == StepState.RUNNING or look(setup, step) == "current":
        return _("This is being done now.")
    return _("Left out.") if step.state == StepState.SKIPPED else ""


def begun(setup: Setup) -> str:
    """The first line of the way: why there is anything to set up."""
    return {
        Origin.BOUGHT: _("Bought"),
        Origin.INCLUDED: _("Included in your plan"),
        Origin.GIVEN: _("Added for you"),
    }[Origin(setup.origin)]


def ended(setup: Setup) -> str:
    """The last line of the way."""
    if setup.kind == RunKind.TEARDOWN:
        return _("Removed")
    return _("Changed") if setup.kind == RunKind.CHANGE else _("Ready")


def summary(setup: Setup, now: datetime) -> str:
    """In a sentence, for the line under the heading and for readers of screens."""
    step = setup.current
    if step is None:
        return _over(setup)
    if step.state == StepState.WAITING_VENDOR:
        return _("It waits for you: %(step)s.", step=translated(step.title))
    if setup.state == RunState.FAILED:
        return _("Something did not work. A person of ours looks at it; you are told as soon as it goes on.")
    if setup.is_late(now):
        return _("This takes longer than we said. We are sorry; we have been alerted.")
    if setup.kind == RunKind.SETUP and setup.promised_at:
        return _("Ready by %(when)s at the latest.", when=moment(setup.promised_at))
    return _("Under way: %(step)s.", step=translated(step.title))


def _over(setup: Setup) -> str:
    if setup.status == AddonStatus.CANCELLED:
        return _("This add-on has ended.")
    if setup.state == RunState.CANCELLED:
        return _("Setting up was stopped. Please ask us if you do not know why.")
    return _("Everything is set up.") if setup.status == AddonStatus.ACTIVE else _("Setting up has not begun yet.")


def ordered(setup: Setup) -> list[tuple[str, str]]:
    """What the add-on is set up with, as labels and values; what only programs need is left out."""
    labels = {"shown": _("Domain"), "company": _("Company"), "country": _("Country"), "note": _("Note"),
              "kind": _("Kind"), "url": _("Address")}  # fmt: skip
    shown = {**setup.config, "country": countries.name(str(setup.config.get("country", "")))}
    return [(labels[key], str(value)) for key, value in shown.items() if key in labels and value]


def state_badge(state: str) -> tuple[str, str]:
    """A run's state with the badge's tone."""
    return {
        RunState.RUNNING: (_("Running"), "info"),
        RunState.WAITING: (_("Waiting"), "warn"),
        RunState.DONE: (_("Done"), "good"),
        RunState.FAILED: (_("Failed"), "bad"),
        RunState.CANCELLED: (_("Stopped"), "neutral"),
    }[RunState(state)]


def step_badge(state: str) -> tuple[str, str]:
    """A step's state as staff reads it, with the badge's tone."""
    return {
        StepState.TODO: (_("To come"), "neutral"),
        StepState.RUNNING: (_("Being tried"), "info"),
        StepState.RETRYING: (_("Tried again"), "warn"),
        StepState.WAITING_VENDOR: (_("Waits for the vendor"), "info"),
        StepState.WAITING_STAFF: (_("Waits for staff"), "warn"),
        StepState.DONE: (_("Done"), "good"),
        StepState.FAILED: (_("Failed"), "bad"),
        StepState.SKIPPED: (_("Left out"), "neutral"),
        StepState.UNDONE: (_("Undone"), "warn"),
    }[StepState(state)]


def kind(value: str | None) -> str:
    """What a run is for."""
    if value is None:
        return "–"
    return {RunKind.SETUP: _("Setting up"), RunKind.CHANGE: _("Changing"), RunKind.TEARDOWN: _("Removing")}[
        RunKind(value)
    ]


def row_badge(row: RunRow) -> tuple[str, str]:
    """The state that matters in the table: whom a waiting run waits for."""
    return step_badge(row.step.state) if row.state == RunState.WAITING and row.step else state_badge(row.state)


def log_text(line: LogLine, *, to_staff: bool) -> str:
    """A line of the log; notes and details of staff only for staff."""
    words = filled(line.message, line.data)
    note, detail = (line.data.get(key) if to_staff else None for key in ("note", "detail"))
    return " ".join(part for part in (words, note, f"({detail})" if detail else "") if part)


def log_actor(line: LogLine, *, to_staff: bool) -> str:
    """Who did it; to the vendor all of the operator's people are one."""
    if line.actor_kind == "system":
        return _("by itself")
    return line.by if to_staff or line.actor_kind == "user" else _("our staff")

"""What the operator's people do to a run by hand: each act names its author, and most want a reason."""

from dataclasses import dataclass
from datetime import datetime

from portal.addons import outcomes, providers, provisioning
from portal.addons import provisioning_book as book
from portal.addons import provisioning_rules as rules
from portal.addons import provisioning_steps as steps
from portal.addons.models import ProvisioningRun, ProvisioningStep
from portal.addons.providers import Context, Done, Step
from portal.addons.provisioning_book import Held
from portal.addons.rules import RunKind, RunState, StepState
from portal.audit import service as audit
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_

NOTE_MAX = 1000
UNDER_WAY = N_("This step is being tried right now. Look again in a minute.")
NOT_ITS_TURN = N_("Only the step that is on can be changed. Look at the run again, then decide.")
NOT_UNDOABLE = N_("This step cannot be undone here.")


def retry(step_id: int, *, actor: Actor, now: datetime) -> None:
    """Try the step that is on at once, from the first attempt; also one that failed or was undone."""
    held, row = _hold_current(step_id)
    row.state, row.attempts = StepState.TODO, 0
    held.run.state = RunState.RUNNING
    outcomes.resumed(held.addon, held.run)
    _note(held, row, rules.AGAIN, "", actor, now)
    provisioning.try_at(row, now, now=now)


def complete(step_id: int, *, note: str, actor: Actor, now: datetime) -> None:
    """A person did what the step is for; the run goes on. Invalid (field ``note``) without saying what was done."""
    _check_note(note)
    held, row = _hold_current(step_id)
    step = _step_of(held, row)
    outcome = Done(row.reference, {"by_hand": True}, rules.BY_HAND, {"note": note})
    step.keep(steps.context(held, row, now), outcome, now=now)
    outcomes.resumed(held.addon, held.run)
    steps.done(held, row, outcome, now=now, actor=actor)
    _audit(held, row, "completed", note, actor, now)
    provisioning.go_on(held, now=now)


def skip(step_id: int, *, note: str, actor: Actor, now: datetime) -> None:
    """Leave a step out; the run goes on with the next one. Invalid (field ``note``) without a reason."""
    _check_note(note)
    held, row = _hold_current(step_id)
    row.state, row.finished_at, row.error, row.next_try_at = StepState.SKIPPED, now, None, None
    outcomes.resumed(held.addon, held.run)
    _note(held, row, rules.SKIPPED, note, actor, now)
    _audit(held, row, "skipped", note, actor, now)
    provisioning.go_on(held, now=now)


def cancel(run_id: int, *, note: str, actor: Actor, now: datetime) -> None:
    """Stop a run for good; what its steps made stays where it is (undo it, or remove the add-on)."""
    _check_note(note)
    held = book.hold(run_id)
    if held.run.state not in rules.OPEN:
        raise Conflict
    if any(_is_under_way(step) for step in held.steps):
        raise Conflict(UNDER_WAY)
    held.run.state, held.run.finished_at = RunState.CANCELLED, now
    for step in held.steps:
        step.next_try_at = None
    book.log(held.run, rules.CANCELLED, data={"note": note}, actor=actor, now=now)
    outcomes.given_up(held.addon, held.run, now=now)
    _audit(held, None, "cancelled", note, actor, now)


def start_again(run_id: int, *, actor: Actor, now: datetime) -> ProvisioningRun:
    """Begin anew what was stopped: a new run of the same kind. Conflict unless it is the add-on's newest."""
    held = book.hold(run_id)
    newest = book.newest_run(held.addon)
    if held.run.state != RunState.CANCELLED or newest is None or newest.id != run_id:
        raise Conflict
    given = {key: value for key, value in held.run.input.items() if key != "then"}
    outcomes.resumed(held.addon, held.run)
    return provisioning.begin(held.addon, RunKind(held.run.kind), input=given, actor=actor, now=now)


@dataclass(frozen=True, slots=True)
class Undoing:
    """A step whose undoing was begun."""

    step_id: int
    step: Step
    context: Context


def begin_undo(step_id: int, *, note: str, actor: Actor, now: datetime) -> Undoing:
    """Write that a step is being undone, before the provider is asked; the run stops until staff goes on.

    Until it is confirmed the step says so, and undoing it again is harmless. Conflict for a step that has nothing to
    undo, or while another step is being tried.
    """
    _check_note(note)
    held = book.hold_step(step_id)
    row, step = held.step(step_id), _step_of(held, held.step(step_id))
    if not step.can_undo or row.state not in (StepState.DONE, StepState.UNDONE) or held.run.state == RunState.DONE:
        raise Conflict(NOT_UNDOABLE)
    if any(_is_under_way(each) for each in held.steps):
        raise Conflict(UNDER_WAY)
    row.state, row.error = StepState.UNDONE, N_("The provider has not confirmed yet that it is undone.")
    for each in held.steps:
        each.next_try_at = None
    held.run.state = RunState.CANCELLED if held.run.state == RunState.CANCELLED else RunState.FAILED
    _note(held, row, rules.UNDOING, note, actor, now)
    _audit(held, row, "undone", note, actor, now)
    return Undoing(row.id, step, steps.context(held, row, now))


def finish_undo(undoing: Undoing, *, actor: Actor, now: datetime) -> None:
    """The provider has taken it back."""
    held = book.hold_step(undoing.step_id)
    row = held.step(undoing.step_id)
    row.error, row.result = None, None
    _note(held, row, rules.UNDONE, "", actor, now)


def _hold_current(step_id: int) -> tuple[Held, ProvisioningStep]:
    """The step that is on, of a run that is not over and not being tried by a living worker."""
    held = book.hold_step(step_id)
    row = held.step(step_id)
    if held.run.state not in rules.OPEN or held.current is not row:
        raise Conflict(NOT_ITS_TURN)
    if _is_under_way(row):
        raise Conflict(UNDER_WAY)
    return held, row


def _is_under_way(row: ProvisioningStep) -> bool:
    fresh = row.started_at is not None and row.started_at > clock.wall() - rules.LEASE
    return row.state == StepState.RUNNING and fresh


def _step_of(held: Held, row: ProvisioningStep) -> Step:
    return providers.step(held.run.recipe, RunKind(held.run.kind), row.code)


def _check_note(note: str) -> None:
    if not note.strip():
        raise Invalid(fields={"note": N_("Say what was done, or why.")})
    if len(note) > NOTE_MAX:
        raise Invalid(fields={"note": N_("This is too long. Please shorten it.")})


def _note(held: Held, row: ProvisioningStep, message: str, note: str, actor: Actor, now: datetime) -> None:
    book.log(held.run, message, data={"note": note} if note else {}, actor=actor, now=now, step=row)


def _audit(held: Held, row: ProvisioningStep | None, what: str, note: str, actor: Actor, now: datetime) -> None:
    data = {"run": held.run.id, "step": row.code if row else None, "note": note}
    audit.record(actor, f"provisioning.{what}", vendor_id=held.run.vendor_id, data=data, now=now)

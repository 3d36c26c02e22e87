"""One attempt of a step, as rows: taken by one worker at a time, and recorded by that one only."""

from dataclasses import dataclass
from datetime import datetime

from portal.addons import outcomes, providers, provisioning, provisioning_mails
from portal.addons import provisioning_book as book
from portal.addons import provisioning_rules as rules
from portal.addons.models import ProvisioningStep
from portal.addons.providers import Context, Done, Outcome, Refused, Retry, Step, WaitStaff, WaitVendor
from portal.addons.provisioning_book import Held
from portal.addons.rules import RunKind, RunState, StepState
from portal.identity import queries as identity
from portal.kit import clock
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to try a step: void as soon as another worker has taken it, which ``taken_at`` tells."""

    step_id: int
    taken_at: datetime
    step: Step
    context: Context


def take(step_id: int, *, now: datetime) -> Claim | None:
    """Begin an attempt: count it, and write our own reference before anybody outside hears of it.

    None when it is not this step's turn or time, or when another worker has it. Inside a unit of work. An attempt that
    was silent for longer than LEASE (its worker died) is taken over.
    """
    try:
        held = book.hold_step(step_id)
    except NotFound:
        return None
    row = held.step(step_id)
    if held.current is not row or held.run.state not in (RunState.RUNNING, RunState.WAITING) or not _is_due(row, now):
        return None
    step = _step_of(held, row)
    row.state, row.attempts, row.started_at, row.next_try_at = StepState.RUNNING, row.attempts + 1, clock.wall(), None
    row.reference = row.reference or step.reference(context(held, row, now))
    db.session.flush()
    return Claim(row.id, row.started_at, step, context(held, row, now))


def _is_due(row: ProvisioningStep, now: datetime) -> bool:
    if row.state == StepState.RUNNING:
        return row.started_at is not None and row.started_at <= clock.wall() - rules.LEASE
    return row.state in rules.MOVING and row.next_try_at is not None and row.next_try_at <= now


def _step_of(held: Held, row: ProvisioningStep) -> Step:
    return providers.step(held.run.recipe, RunKind(held.run.kind), row.code)


def context(held: Held, row: ProvisioningStep, now: datetime) -> Context:
    """What the step may know, as plain values."""
    addon, run = held.addon, held.run
    vendor = identity.vendor(addon.vendor_id)
    if vendor is None:
        raise NotFound
    return Context(
        vendor_id=vendor.id,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        vendor_addon_id=addon.id,
        product=addon.addon.code,
        product_name=addon.addon.name,
        variant=addon.variant,
        quantity=addon.quantity,
        config=dict(addon.config),
        run_id=run.id,
        kind=RunKind(run.kind),
        input={key: value for key, value in run.input.items() if key != "then"},
        step_id=row.id,
        attempt=row.attempts,
        reference=row.reference,
        results=book.results(addon),
        promised_at=run.promised_at,
        now=now,
    )


def is_ours(claim: Claim) -> bool:
    """Is the attempt still this worker's? Asked just before acting: another one may have taken over meanwhile."""
    row = db.session.get(ProvisioningStep, claim.step_id, populate_existing=True)
    return row is not None and _is_of(row, claim)


def _is_of(row: ProvisioningStep, claim: Claim) -> bool:
    return row.state == StepState.RUNNING and row.started_at == claim.taken_at


def record(claim: Claim, outcome: Outcome, *, now: datetime, keep: bool = True) -> bool:
    """Write what came of an attempt and what follows from it; False, and nothing, when the step was taken over.

    ``keep=False`` leaves the step's own ``keep`` out: for telling that it failed.
    """
    held = book.hold_step(claim.step_id)
    row = held.step(claim.step_id)
    if not _is_of(row, claim):
        return False
    outcome = _last_straw(row, outcome)
    if keep:
        claim.step.keep(claim.context, outcome, now=now)
    _write(held, row, claim.step, outcome, now)
    provisioning.go_on(held, now=now)
    return True


def _last_straw(row: ProvisioningStep, outcome: Outcome) -> Outcome:
    if isinstance(outcome, Retry) and row.attempts >= rules.MAX_ATTEMPTS:
        return Refused(outcome.message, outcome.data, outcome.detail)
    return outcome


def _write(held: Held, row: ProvisioningStep, step: Step, outcome: Outcome, now: datetime) -> None:
    if isinstance(outcome, Done):
        done(held, row, outcome, now=now)
    elif isinstance(outcome, WaitVendor):
        _wait_vendor(held, row, step, outcome, now)
    elif isinstance(outcome, WaitStaff):
        _wait_staff(held, row, step, outcome, now)
    elif isinstance(outcome, Retry):
        _retry(held, row, outcome, now)
    else:
        _refuse(held, row, outcome, now)


def done(held: Held, row: ProvisioningStep, outcome: Done, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """A step is over, by itself or by hand."""
    if row.state == StepState.RUNNING and row.due_at is None and held.run.state == RunState.WAITING:
        _promise_anew(held, now)
    row.state, row.finished_at, row.error, row.next_try_at = StepState.DONE, now, None, None
    row.reference = outcome.reference or row.reference
    row.result = rules.plain(outcome.result)
    book.log(held.run, outcome.message or rules.DONE, data=outcome.data, actor=actor, now=now, step=row)


def _promise_anew(held: Held, now: datetime) -> None:
    """The vendor's part took its time; ours counts from now."""
    if held.run.promised_at is not None and held.run.late_told_at is None:
        held.run.promised_at = held.addon.promised_at = rules.promise(held.addon.addon.promised_hours, now)
        book.log(held.run, rules.NEW_PROMISE, actor=SYSTEM, now=now)


def _wait_vendor(held: Held, row: ProvisioningStep, step: Step, outcome: WaitVendor, now: datetime) -> None:
    _wait(held, row, StepState.WAITING_VENDOR, outcome, now)
    row.due_at = None
    provisioning.try_at(row, now + outcome.check_after, now=now)
    provisioning_mails.needs_you(held, row, step, outcome.message, outcome.data, now=now)


def _wait_staff(held: Held, row: ProvisioningStep, step: Step, outcome: WaitStaff, now: datetime) -> None:
    _wait(held, row, StepState.WAITING_STAFF, outcome, now)
    row.due_at = row.due_at or outcome.due_at
    row.result = {**(row.result or {}), "checklist": list(outcome.checklist)}
    if outcome.check_after is not None:
        provisioning.try_at(row, now + outcome.check_after, now=now)
    provisioning_mails.staff_task(held, row, step, now=now)


def _wait(held: Held, row: ProvisioningStep, state: StepState, outcome: WaitVendor | WaitStaff, now: datetime) -> None:
    """Written to the log when it is news: a wait is looked at many times."""
    said = rules.plain(outcome.data)
    before = row.error, (row.result or {}).get("said"), held.run.state
    if before != (outcome.message, said, RunState.WAITING):
        book.log(held.run, outcome.message, data=outcome.data, actor=SYSTEM, now=now, step=row)
    row.state, row.attempts, row.error, row.result = state, 0, outcome.message, {"said": said}
    held.run.state = RunState.WAITING


def _retry(held: Held, row: ProvisioningStep, outcome: Retry, now: datetime) -> None:
    row.state, row.error, row.result = StepState.RETRYING, outcome.message, {"said": rules.plain(outcome.data)}
    held.run.state = RunState.RUNNING
    provisioning.try_at(row, now + (outcome.after or rules.gap(row.attempts)), now=now)
    _log_trouble(held, row, outcome, now)


def _refuse(held: Held, row: ProvisioningStep, outcome: Refused, now: datetime) -> None:
    row.state, row.error, row.next_try_at = StepState.FAILED, outcome.message, None
    row.result = {"said": rules.plain(outcome.data)}
    held.run.state = RunState.FAILED
    _log_trouble(held, row, outcome, now)
    outcomes.failed(held.addon, held.run, row, now=now)


def _log_trouble(held: Held, row: ProvisioningStep, outcome: Retry | Refused, now: datetime) -> None:
    data = {**outcome.data, **({"detail": outcome.detail[:1000]} if outcome.detail else {})}
    book.log(held.run, outcome.message, data=data, actor=SYSTEM, now=now, step=row, is_error=True)

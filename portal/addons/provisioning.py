"""Runs of steps: beginning one, going on to the next step, and what follows when all are done.

Everything here runs inside the caller's unit of work and under the locks of ``provisioning_book``; the network is
``runner``'s business.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from portal.addons import outcomes, providers
from portal.addons import provisioning_book as book
from portal.addons import provisioning_rules as rules
from portal.addons.models import ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.provisioning_book import Held
from portal.addons.rules import AddonStatus, RunKind, RunState, StepState
from portal.kit import outbox
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.text import N_

REMOVED = N_("This add-on is being removed or has been.")


def begin(
    addon: VendorAddon,
    kind: RunKind,
    *,
    input: Mapping[str, Any] | None = None,
    actor: Actor,
    now: datetime,
) -> ProvisioningRun:
    """Begin a run, or give the one that does this already: asking twice sets nothing up twice.

    A CHANGE while a run is under way follows it; a TEARDOWN takes the place of what is under way, at once or (while a
    provider is being asked) as soon as its answer is there. What the add-on grants ends with the TEARDOWN's beginning.
    Locks vendor and add-on. Conflict for an add-on that is removed, or is being.
    """
    addon = book.lock_addon(addon.id)
    newest = book.newest_run(addon)
    current = newest if newest is not None and newest.state != RunState.CANCELLED else None
    if kind == RunKind.TEARDOWN:
        return _begin_teardown(addon, current, dict(input or {}), actor, now)
    if addon.status == AddonStatus.CANCELLED or (current is not None and current.kind == RunKind.TEARDOWN):
        raise Conflict(REMOVED, code="addon_removed")
    if current is not None and kind == RunKind.SETUP:
        return current
    if current is not None and current.state in rules.OPEN:
        return _follow(current, kind, dict(input or {}))
    return _start(addon, kind, dict(input or {}), actor, now)


def _begin_teardown(
    addon: VendorAddon, current: ProvisioningRun | None, given: dict[str, Any], actor: Actor, now: datetime
) -> ProvisioningRun:
    if current is not None and current.kind == RunKind.TEARDOWN:
        return current
    outcomes.end_grants(addon, now=now)
    if current is not None and current.state in rules.OPEN:
        if any(step.state == StepState.RUNNING for step in book.steps_of(current)):
            return _follow(current, RunKind.TEARDOWN, given)
        _stop(current, actor, now)
    return _start(addon, RunKind.TEARDOWN, given, actor, now)


def _follow(run: ProvisioningRun, kind: RunKind, given: dict[str, Any]) -> ProvisioningRun:
    """Remember what comes after this run; a TEARDOWN is not displaced any more."""
    if (run.input.get("then") or {}).get("kind") != RunKind.TEARDOWN:
        run.input = {**run.input, "then": {"kind": str(kind), "input": given}}
        db.session.flush()
    return run


def _stop(run: ProvisioningRun, actor: Actor, now: datetime) -> None:
    run.state, run.finished_at = RunState.CANCELLED, now
    for step in book.steps_of(run):
        step.next_try_at = None
    book.log(run, rules.REPLACED, actor=actor, now=now)


def _start(addon: VendorAddon, kind: RunKind, given: dict[str, Any], actor: Actor, now: datetime) -> ProvisioningRun:
    recipe = _recipe(addon)
    run = ProvisioningRun(
        vendor_id=addon.vendor_id,
        vendor_addon_id=addon.id,
        kind=kind,
        recipe=recipe.code,
        state=RunState.RUNNING,
        input=given,
        created_at=now,
    )
    if kind == RunKind.SETUP:
        run.promised_at = addon.promised_at = rules.promise(addon.addon.promised_hours, now)
    db.session.add(run)
    db.session.flush()
    for position, step in enumerate(recipe.steps(kind), start=1):
        db.session.add(_row(run, position, step.code))
    db.session.flush()
    book.log(run, rules.BEGUN, actor=actor, now=now)
    go_on(Held(addon, run, book.steps_of(run)), now=now)
    return run


def _recipe(addon: VendorAddon) -> providers.Recipe:
    """What is changed or removed stands where it was made, whatever is configured by now."""
    newest = book.newest_run(addon)
    return providers.recipe(newest.recipe) if newest else providers.choose(addon.addon.provisioning, addon.config)


def _row(run: ProvisioningRun, position: int, code: str) -> ProvisioningStep:
    return ProvisioningStep(
        vendor_id=run.vendor_id, run_id=run.id, position=position, code=code, state=StepState.TODO, attempts=0
    )


def go_on(held: Held, *, now: datetime) -> None:
    """After a step: what was asked for meanwhile, the next step, or the end of the run."""
    then = held.run.input.get("then") or {}
    if then.get("kind") == RunKind.TEARDOWN:
        _stop(held.run, SYSTEM, now)
        _start(held.addon, RunKind.TEARDOWN, then["input"], SYSTEM, now)
        return
    step = held.current
    if step is None:
        _finish(held, now)
    elif step.state == StepState.TODO:
        held.run.state = RunState.RUNNING
        try_at(step, now, now=now)


def try_at(step: ProvisioningStep, moment: datetime, *, now: datetime) -> None:
    """Have a step tried at ``moment``: by a job that waits until then, or, for looks at what waits for a person, by
    the tending that finds every ten minutes what is due (also where a job was lost or business time was moved).
    """
    step.next_try_at = moment
    db.session.flush()
    if moment > now and step.state != StepState.RETRYING:
        return
    outbox.enqueue(
        "addons.step",
        dedupe_key=f"addons.step:{step.id}:{moment.isoformat()}",
        delay=max(moment - now, timedelta()),
        vendor_id=step.vendor_id,
        step_id=step.id,
    )


def _finish(held: Held, now: datetime) -> None:
    run, addon = held.run, held.addon
    run.state, run.finished_at = RunState.DONE, now
    book.log(run, rules.FINISHED_RUN, actor=SYSTEM, now=now)
    if run.kind == RunKind.TEARDOWN:
        outcomes.torn_down(addon, now=now)
        return
    outcomes.ready(addon, run, now=now)
    if then := run.input.get("then"):
        _start(addon, RunKind(then["kind"]), then["input"], SYSTEM, now)


def wake(vendor_id: int, addon_id: int, *, now: datetime) -> bool:
    """Somebody did what a step waits for (or wants to know now): look at once. False when nothing waits or retries.

    Locks vendor and add-on; NotFound for another vendor's add-on.
    """
    addon = book.lock_addon(addon_id)
    if addon.vendor_id != vendor_id:
        raise NotFound
    run = book.newest_run(addon, only_open=True)
    step = Held(addon, run, book.steps_of(run)).current if run else None
    waits = (StepState.WAITING_VENDOR, StepState.WAITING_STAFF, StepState.RETRYING)
    if step is None or step.state not in waits or run is None or run.state == RunState.FAILED:
        return False
    try_at(step, now, now=now)
    return True

"""The rows of a run: read under a lock, and the log that people read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.addons.models import ProvisioningLog, ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.provisioning_rules import FINISHED, OPEN, plain
from portal.identity.models import Vendor
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Held:
    """An add-on with one of its runs, locked and read anew."""

    addon: VendorAddon
    run: ProvisioningRun
    steps: list[ProvisioningStep]

    def step(self, step_id: int) -> ProvisioningStep:
        """The step of that id."""
        return next(each for each in self.steps if each.id == step_id)

    @property
    def current(self) -> ProvisioningStep | None:
        """The step that is on: the first that is neither done nor left out."""
        return next((each for each in self.steps if each.state not in FINISHED), None)


def lock_addon(addon_id: int) -> VendorAddon:
    """Lock vendor and add-on, in that order; whoever changes a run holds these. NotFound for none of that id."""
    vendor_id = db.session.scalar(select(VendorAddon.vendor_id).where(VendorAddon.id == addon_id))
    if vendor_id is None:
        raise NotFound
    db.session.execute(select(Vendor.id).where(Vendor.id == vendor_id).with_for_update())
    statement = select(VendorAddon).where(VendorAddon.id == addon_id, VendorAddon.vendor_id == vendor_id)
    return db.session.scalars(statement.with_for_update().execution_options(populate_existing=True)).one()


def hold(run_id: int) -> Held:
    """A run with its steps, its vendor and add-on locked. NotFound for none of that id."""
    addon_id = db.session.scalar(select(ProvisioningRun.vendor_addon_id).where(ProvisioningRun.id == run_id))
    if addon_id is None:
        raise NotFound
    addon = lock_addon(addon_id)
    run = select(ProvisioningRun).where(ProvisioningRun.id == run_id, ProvisioningRun.vendor_id == addon.vendor_id)
    found = db.session.scalars(run.execution_options(populate_existing=True)).one()
    return Held(addon, found, steps_of(found))


def hold_step(step_id: int) -> Held:
    """The run of a step, as ``hold`` gives it."""
    run_id = db.session.scalar(select(ProvisioningStep.run_id).where(ProvisioningStep.id == step_id))
    if run_id is None:
        raise NotFound
    return hold(run_id)


def steps_of(run: ProvisioningRun) -> list[ProvisioningStep]:
    """The steps in their order, read anew."""
    statement = (
        select(ProvisioningStep)
        .where(ProvisioningStep.run_id == run.id, ProvisioningStep.vendor_id == run.vendor_id)
        .order_by(ProvisioningStep.position)
    )
    return list(db.session.scalars(statement.execution_options(populate_existing=True)))


def newest_run(addon: VendorAddon, *, only_open: bool = False) -> ProvisioningRun | None:
    """The add-on's newest run (that is not over)."""
    statement = select(ProvisioningRun).where(
        ProvisioningRun.vendor_addon_id == addon.id, ProvisioningRun.vendor_id == addon.vendor_id
    )
    if only_open:
        statement = statement.where(ProvisioningRun.state.in_(OPEN))
    newest = statement.order_by(ProvisioningRun.id.desc()).limit(1)
    return db.session.scalar(newest.execution_options(populate_existing=True))


def results(addon: VendorAddon) -> dict[str, dict[str, Any]]:
    """What each step came to, by its code, the newest run last; ``reference`` among it."""
    rows = db.session.execute(
        select(ProvisioningStep.code, ProvisioningStep.state, ProvisioningStep.reference, ProvisioningStep.result)
        .join(ProvisioningRun, ProvisioningRun.id == ProvisioningStep.run_id)
        .where(ProvisioningRun.vendor_addon_id == addon.id, ProvisioningStep.vendor_id == addon.vendor_id)
        .order_by(ProvisioningStep.id)
    )
    found: dict[str, dict[str, Any]] = {}
    for code, state, reference, result in rows:
        came = dict(result or {}) if state in FINISHED else {}
        if reference is not None:
            came["reference"] = reference
        if came:
            found[code] = came
    return found


def log(
    run: ProvisioningRun,
    message: str,
    *,
    actor: Actor,
    now: datetime,
    step: ProvisioningStep | None = None,
    data: Mapping[str, Any] | None = None,
    is_error: bool = False,
) -> None:
    """Write a line for people: ``message`` is a message id with ``data`` in it. Vendors read it too, apart from what
    ``data`` holds as ``note`` and ``detail``: those are for staff. Never a secret.
    """
    row = ProvisioningLog(
        vendor_id=run.vendor_id,
        run_id=run.id,
        step_id=step.id if step else None,
        message=message,
        data=plain(data or {}),
        is_error=is_error,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:120],
        at=now,
    )
    db.session.add(row)
    db.session.flush()

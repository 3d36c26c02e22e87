"""Runs as people see them: the vendor's steps like a parcel, and the table of the operator's people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.engine import Row
from sqlalchemy.orm import aliased

from portal.addons import providers
from portal.addons.models import ProvisioningLog, ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.provisioning_rules import FINISHED, OPEN, is_late
from portal.addons.rules import RunKind, RunState, StepState
from portal.catalog.models import AddonProduct
from portal.identity.models import Vendor
from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.paging import Page

SIZE = 25
LOG_SIZE = 200
#: The filters of the table; "open" is what it begins with, "all" leaves nothing out.
FILTERS = ("open", "staff", "failed", "late", "running", "vendor", "all")


@dataclass(frozen=True, slots=True)
class StepView:
    """A step with the words of its recipe. ``error`` is a message id, filled from ``said``."""

    id: int
    code: str
    title: str
    staff_title: str
    place: str
    can_undo: bool
    state: str
    attempts: int
    next_try_at: datetime | None
    due_at: datetime | None
    error: str | None
    said: dict[str, Any]
    checklist: tuple[str, ...]
    reference: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Setup:
    """An add-on with its newest run; ``run_id`` None: nothing was begun yet."""

    vendor_id: int
    vendor_code: str
    vendor_name: str
    addon_id: int
    product: str
    provisioning: str
    variant: str
    quantity: int
    origin: str
    status: str
    config: dict[str, Any]
    added_at: datetime
    provisioned_at: datetime | None
    run_id: int | None
    kind: str | None
    recipe: str | None
    state: str | None
    promised_at: datetime | None
    begun_at: datetime | None
    finished_at: datetime | None
    steps: list[StepView] = field(default_factory=list)

    @property
    def current(self) -> StepView | None:
        """The step that is on."""
        return next((step for step in self.steps if step.state not in FINISHED), None) if self.is_open else None

    @property
    def is_open(self) -> bool:
        """Is the run not over?"""
        return self.state in OPEN

    def is_late(self, now: datetime) -> bool:
        """Should it be ready by ``now``, as far as it lies with us?"""
        waits = self.current is not None and self.current.state == StepState.WAITING_VENDOR
        return self.kind == RunKind.SETUP and is_late(self.promised_at, self.state or "", waits, now)

    @property
    def mark(self) -> str:
        """Changes whenever there is something new to see."""
        step = self.current
        on = (step.id, step.state, step.attempts, step.next_try_at and step.next_try_at.timestamp()) if step else ()
        return "-".join(str(part) for part in (self.run_id, self.state, self.status, *on))


_ADDON = (
    VendorAddon.vendor_id, Vendor.code, Vendor.name, VendorAddon.id, AddonProduct.name, AddonProduct.provisioning,
    VendorAddon.variant, VendorAddon.quantity, VendorAddon.origin, VendorAddon.status, VendorAddon.config,
    VendorAddon.created_at, VendorAddon.provisioned_at,
)  # fmt: skip
_RUN = (
    ProvisioningRun.id, ProvisioningRun.kind, ProvisioningRun.recipe, ProvisioningRun.state,
    ProvisioningRun.promised_at, ProvisioningRun.created_at, ProvisioningRun.finished_at,
)  # fmt: skip
_STEP = (
    ProvisioningStep.id, ProvisioningStep.code, ProvisioningStep.state, ProvisioningStep.attempts,
    ProvisioningStep.next_try_at, ProvisioningStep.due_at, ProvisioningStep.error, ProvisioningStep.result,
    ProvisioningStep.reference, ProvisioningStep.finished_at,
)  # fmt: skip
_A, _R = len(_ADDON), len(_ADDON) + len(_RUN)


def of_addon(vendor_id: int, addon_id: int) -> Setup:
    """A vendor's add-on with its newest run and the steps of that; one statement. NotFound for another vendor's."""
    newest = (
        select(func.max(ProvisioningRun.id))
        .where(ProvisioningRun.vendor_addon_id == VendorAddon.id, ProvisioningRun.vendor_id == VendorAddon.vendor_id)
        .correlate(VendorAddon)
        .scalar_subquery()
    )
    return _one(
        _joined(ProvisioningRun.id == newest).where(VendorAddon.vendor_id == vendor_id, VendorAddon.id == addon_id)
    )


def of_run(run_id: int) -> Setup:
    """A run of whichever vendor, for staff; one statement. NotFound for none of that id."""
    return _one(_joined(ProvisioningRun.vendor_addon_id == VendorAddon.id).where(ProvisioningRun.id == run_id))


def _joined(which_run: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_ADDON, *_RUN, *_STEP)
        .select_from(VendorAddon)
        .join(Vendor, Vendor.id == VendorAddon.vendor_id)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .outerjoin(ProvisioningRun, and_(which_run, ProvisioningRun.vendor_id == VendorAddon.vendor_id))
        .outerjoin(
            ProvisioningStep,
            and_(
                ProvisioningStep.run_id == ProvisioningRun.id, ProvisioningStep.vendor_id == ProvisioningRun.vendor_id
            ),
        )
        .order_by(ProvisioningStep.position)
    )


def _one(statement: Select[Any]) -> Setup:
    rows: list[Sequence[Any]] = [tuple(row) for row in db.session.execute(statement)]
    if not rows:
        raise NotFound
    first = rows[0]
    recipe, kind = first[_A + 2], first[_A + 1]
    steps = [_step(recipe, kind, row[_R:]) for row in rows if row[_R] is not None]
    return Setup(*[*first[:_R], steps])


def _step(recipe: str, kind: str, row: Sequence[Any]) -> StepView:
    ident, code, state, attempts, next_try_at, due_at, error, result, reference, finished_at = row
    known = _words(recipe, kind, code)
    result = result or {}
    return StepView(
        ident, code, known.title, known.staff_title or known.title, str(known.place), known.can_undo, state, attempts,
        next_try_at, due_at, error, result.get("said", {}), tuple(result.get("checklist", ())), reference, finished_at,
    )  # fmt: skip


def _words(recipe: str, kind: str, code: str) -> providers.Step | type[providers.Step]:
    """The step's class; one that its recipe has no more keeps its code for a name."""
    try:
        return providers.step(recipe, RunKind(kind), code)
    except KeyError:
        return type("Unknown", (providers.Step,), {"code": code, "title": code})


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log; ``data`` may hold ``note`` and ``detail``, which are for staff."""

    message: str
    data: dict[str, Any]
    step: str | None
    is_error: bool
    actor_kind: str
    by: str
    at: datetime


def log_of(vendor_id: int, addon_id: int) -> list[LogLine]:
    """What happened in all runs of a vendor's add-on, newest first; one statement, so many lines at most."""
    mine = (ProvisioningRun.vendor_addon_id == addon_id, ProvisioningLog.vendor_id == vendor_id)
    return _log(_log_lines().where(*mine), to_staff=False)


def log_of_run(run_id: int) -> list[LogLine]:
    """What happened in a run, newest first, with the steps named as staff know them."""
    return _log(_log_lines().where(ProvisioningLog.run_id == run_id), to_staff=True)


def _log_lines() -> Select[Any]:
    return (
        select(
            ProvisioningLog.message, ProvisioningLog.data, ProvisioningStep.code, ProvisioningLog.is_error,
            ProvisioningLog.actor_kind, ProvisioningLog.actor_label, ProvisioningLog.at,
            ProvisioningRun.recipe, ProvisioningRun.kind,
        )
        .join(ProvisioningRun, ProvisioningRun.id == ProvisioningLog.run_id)
        .outerjoin(ProvisioningStep, ProvisioningStep.id == ProvisioningLog.step_id)
        .order_by(ProvisioningLog.at.desc(), ProvisioningLog.id.desc())
        .limit(LOG_SIZE)
    )  # fmt: skip


def _log(statement: Select[Any], *, to_staff: bool) -> list[LogLine]:
    found = []
    for message, data, code, is_error, actor_kind, by, at, recipe, kind in db.session.execute(statement):
        known = _words(recipe, kind, code) if code else None
        title = ((known.staff_title if to_staff else "") or known.title) if known else None
        found.append(LogLine(message, data, title, is_error, actor_kind, by, at))
    return found


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the table, with the step that is on."""

    id: int
    vendor_id: int
    vendor_name: str
    product: str
    kind: str
    state: str
    created_at: datetime
    promised_at: datetime | None
    step: StepView | None

    def is_late(self, now: datetime) -> bool:
        """As Setup.is_late."""
        waits = self.step is not None and self.step.state == StepState.WAITING_VENDOR
        return self.kind == RunKind.SETUP and is_late(self.promised_at, self.state, waits, now)


def page(chosen: str, cursor: str | None, now: datetime) -> Page[RunRow]:
    """One page of runs, the newest first; one statement. NotFound for a cursor that this list did not make."""
    paging.check(cursor, (int,))
    other = aliased(ProvisioningStep)
    position = (
        select(func.min(other.position))
        .where(other.run_id == ProvisioningRun.id, other.state.not_in(FINISHED))
        .correlate(ProvisioningRun)
        .scalar_subquery()
    )
    current = and_(ProvisioningStep.run_id == ProvisioningRun.id, ProvisioningStep.position == position)
    statement = (
        select(
            ProvisioningRun.id, ProvisioningRun.vendor_id, Vendor.name, AddonProduct.name, ProvisioningRun.kind,
            ProvisioningRun.state, ProvisioningRun.created_at, ProvisioningRun.promised_at, ProvisioningRun.recipe,
            *[column.label(f"step_{column.key}") for column in _STEP],
        )
        .join(VendorAddon, VendorAddon.id == ProvisioningRun.vendor_addon_id)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .join(Vendor, Vendor.id == ProvisioningRun.vendor_id)
        .outerjoin(ProvisioningStep, current)
        .where(_narrowed(chosen, now))
    )  # fmt: skip
    found = paging.fetch(statement, ((ProvisioningRun.id, "desc"),), cursor, SIZE)
    return Page([_row(row) for row in found.rows], found.previous, found.next)


def _row(found: Row[Any]) -> RunRow:
    row: Sequence[Any] = tuple(found)
    step = _step(row[8], row[4], row[9:]) if row[9] is not None and row[5] in OPEN else None
    return RunRow(*[*row[:8], step])


def _narrowed(chosen: str, now: datetime) -> ColumnElement[bool]:
    is_open = ProvisioningRun.state.in_(OPEN)
    return {
        "staff": and_(is_open, _has(StepState.WAITING_STAFF)),
        "vendor": and_(is_open, _has(StepState.WAITING_VENDOR)),
        "failed": ProvisioningRun.state == RunState.FAILED,
        "running": ProvisioningRun.state == RunState.RUNNING,
        "late": _late(now),
        "all": ProvisioningRun.id > 0,
    }.get(chosen, is_open)


def _has(state: StepState) -> ColumnElement[bool]:
    other = aliased(ProvisioningStep)
    return exists().where(other.run_id == ProvisioningRun.id, other.state == state).correlate(ProvisioningRun)


def _late(now: datetime) -> ColumnElement[bool]:
    return and_(
        ProvisioningRun.state.in_(OPEN),
        ProvisioningRun.kind == RunKind.SETUP,
        ProvisioningRun.promised_at <= now,
        ~_has(StepState.WAITING_VENDOR),
    )


def counts(now: datetime) -> dict[str, int]:
    """How many open runs each filter shows; one statement over the runs that are not over."""
    asked = [name for name in FILTERS if name != "all"]
    sums = [func.sum(case((_narrowed(name, now), 1), else_=0)) for name in asked]
    row = db.session.execute(select(*sums).where(or_(ProvisioningRun.state.in_(OPEN)))).one()
    return {name: int(value or 0) for name, value in zip(asked, row, strict=True)}

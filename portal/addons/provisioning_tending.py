"""What the clock brings: steps whose time has come, attempts whose worker died, promises that were not kept."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import and_, exists, or_, select

from portal.addons import provisioning_book as book
from portal.addons import provisioning_mails as mails
from portal.addons import provisioning_rules as rules
from portal.addons.models import ProvisioningRun, ProvisioningStep
from portal.addons.rules import RunKind, RunState, StepState
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db

#: So many steps are woken at a time; the rest a minute later.
BATCH = 500


def due_steps(now: datetime) -> Iterator[tuple[int, int]]:
    """(vendor, step) of every step to be tried by now; the longest waiting first."""
    its_time = and_(ProvisioningStep.state.in_(rules.MOVING), ProvisioningStep.next_try_at <= now)
    silent = and_(
        ProvisioningStep.state == StepState.RUNNING, ProvisioningStep.started_at <= clock.wall() - rules.LEASE
    )
    rows = db.session.execute(
        select(ProvisioningStep.vendor_id, ProvisioningStep.id)
        .join(ProvisioningRun, ProvisioningRun.id == ProvisioningStep.run_id)
        .where(or_(its_time, silent), ProvisioningRun.state.in_((RunState.RUNNING, RunState.WAITING)))
        .order_by(ProvisioningStep.next_try_at, ProvisioningStep.id)
        .limit(BATCH)
    )
    yield from ((row.vendor_id, row.id) for row in rows)


def late_runs(now: datetime) -> Iterator[tuple[int, int]]:
    """(vendor, run) of every SETUP that should be ready, is not, and of which nobody was told yet.

    A vendor who still has to do something is not told that we are late.
    """
    waits_for_vendor = exists().where(
        ProvisioningStep.run_id == ProvisioningRun.id, ProvisioningStep.state == StepState.WAITING_VENDOR
    )
    rows = db.session.execute(
        select(ProvisioningRun.vendor_id, ProvisioningRun.id)
        .where(
            ProvisioningRun.kind == RunKind.SETUP,
            ProvisioningRun.state.in_(rules.OPEN),
            ProvisioningRun.promised_at <= now,
            ProvisioningRun.late_told_at.is_(None),
            ~waits_for_vendor,
        )
        .order_by(ProvisioningRun.id)
        .limit(BATCH)
    )
    yield from ((row.vendor_id, row.id) for row in rows)


def tell_late(run_id: int, *, now: datetime) -> bool:
    """Tell vendor and staff, once, that a promise was not kept; False when it is ready by now or they know."""
    held = book.hold(run_id)
    current = held.current
    waits = current is not None and current.state == StepState.WAITING_VENDOR
    if held.run.late_told_at or not rules.is_late(held.run.promised_at, held.run.state, waits, now):
        return False
    held.run.late_told_at = now
    book.log(held.run, rules.LATE, actor=SYSTEM, now=now, is_error=True)
    mails.late(held.addon, held.run, now=now)
    return True

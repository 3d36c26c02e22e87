"""Periodic tasks: rows, one per task and period, so that many schedulers insert each once."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from portal.kit import clock, outbox, tasks
from portal.kit.db import db, insert_once
from portal.kit.models import PeriodicRun
from portal.kit.tasks import Periodic

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period_of(moment: datetime, every: timedelta) -> datetime:
    """Start of the period that ``moment`` lies in; periods are half-open and count from the epoch."""
    return EPOCH + ((moment - EPOCH) // every) * every


def due_periods(last: datetime | None, now: datetime, task: Periodic) -> list[datetime]:
    """The periods to serve now: the present one, and with ``missed="every"`` those since ``last`` too."""
    present = period_of(now, task.every)
    if last is not None and last >= present:
        return []
    if last is None or task.missed == "latest":
        return [present]
    count = (present - last) // task.every
    return [last + task.every * (i + 1) for i in range(count)]


def insert_due() -> int:
    """Insert the jobs of all periods that have begun; returns how many. Inside a unit of work.

    Schedulers that run side by side wait for each other at the tasks' rows, so each period is inserted by one of them.
    """
    rows = db.session.execute(select(PeriodicRun.task, PeriodicRun.period_at))
    served = {row.task: row.period_at for row in rows}
    due = {t.task: t for t in tasks.all_periodic() if served.get(t.task, EPOCH) < period_of(_now(t), t.every)}
    if not due:
        return 0  # most looks find nothing due: they take no lock
    return sum(_serve(due[row.task], row) for row in _locked(list(due), served.keys()))


def _now(task: Periodic) -> datetime:
    return clock.business() if task.clock == "business" else clock.wall()


def _serve(task: Periodic, row: PeriodicRun) -> int:
    """Another scheduler may have been quicker: the locked row says what is left to do."""
    inserted = 0
    last = row.period_at if row.period_at > EPOCH else None
    for period in due_periods(last, _now(task), task):
        inserted += outbox.enqueue(task.task, dedupe_key=f"periodic:{task.task}:{period.isoformat()}")
        row.period_at = period
    return inserted


def _locked(names: list[str], known: Collection[str]) -> Sequence[PeriodicRun]:
    """The tasks' rows, locked in one order; made first where there is none: a lock on nothing would hold nobody up."""
    for name in sorted(set(names) - set(known)):
        insert_once(PeriodicRun, {"task": name, "period_at": EPOCH}, ["task"])
    rows = select(PeriodicRun).where(PeriodicRun.task.in_(names)).order_by(PeriodicRun.task)
    return db.session.scalars(rows.with_for_update().execution_options(populate_existing=True)).all()

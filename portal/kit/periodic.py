"""Periodic tasks: rows, one per task and period, so that many schedulers insert each once."""

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

    Schedulers that run side by side wait for each other at the task's row, so each period is inserted by one of them.
    """
    inserted = 0
    rows = db.session.execute(select(PeriodicRun.task, PeriodicRun.period_at))
    served = {row.task: row.period_at for row in rows}
    for task in tasks.all_periodic():
        now = clock.business() if task.clock == "business" else clock.wall()
        if served.get(task.task, EPOCH) >= period_of(now, task.every):
            continue  # most looks find nothing due: they take no lock
        row = _locked(task.task)
        last = row.period_at if row.period_at > EPOCH else None
        for period in due_periods(last, now, task):
            inserted += outbox.enqueue(task.task, dedupe_key=f"periodic:{task.task}:{period.isoformat()}")
            row.period_at = period
    return inserted


def _locked(task: str) -> PeriodicRun:
    """The task's row under a lock, made first where there is none: a lock on nothing would hold nobody up."""
    insert_once(PeriodicRun, {"task": task, "period_at": EPOCH}, ["task"])
    return db.session.get_one(PeriodicRun, task, with_for_update=True, populate_existing=True)

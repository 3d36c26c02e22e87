"""A task whose every effect is counted, and an outbox that can be looked at."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from flask import Flask

from portal.audit import service as audit
from portal.audit.models import AuditEntry
from portal.kit import clock, outbox, tasks
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.tasks import Task
from portal.kit.unit_of_work import in_unit_of_work, unit_of_work


@dataclass
class Ledger:
    """What the counting tasks did: rows in the database (committed effects) and calls (attempts begun)."""

    calls: list[int] = field(default_factory=list)
    failing: int = 0

    def run(self, n: int) -> None:
        """An effect that is not idempotent by itself: only the outbox keeps it from happening twice."""
        self.calls.append(n)
        if in_unit_of_work():
            self._write(n)
        else:
            with unit_of_work():
                self._write(n)
        if self.failing:
            self.failing -= 1
            raise RuntimeError("a bad day")

    def _write(self, n: int) -> None:
        audit.record(SYSTEM, "test.counted", vendor_id=None, data={"n": n}, now=clock.business())

    @property
    def effects(self) -> list[int]:
        """Committed effects."""
        db.session.rollback()
        return sorted(row.data["n"] for row in db.session.query(AuditEntry).filter_by(action="test.counted"))


@pytest.fixture
def ledger(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Registers the tasks test.verb and test.flow for one test."""
    found = Ledger()
    for kind in ("verb", "flow"):
        name = f"test.{kind}"
        monkeypatch.setitem(tasks._tasks, name, Task(name, found.run, kind, 3))
    yield found


def ask(n: int = 1, *, task: str = "test.verb", key: str | None = None, delay: timedelta = timedelta()) -> bool:
    """Write a job."""
    with unit_of_work():
        return outbox.enqueue(task, dedupe_key=key, delay=delay, n=n)


def job(number: int = -1) -> OutboxJob:
    """A job's row as committed now, the newest unless told otherwise."""
    db.session.rollback()
    return db.session.query(OutboxJob).populate_existing().order_by(OutboxJob.id).all()[number]


def pass_time(seconds: float) -> None:
    """Let leases and gaps run out: the wall cannot be moved, so the rows' dates are."""
    back = timedelta(seconds=seconds)
    with unit_of_work() as session:
        for row in session.query(OutboxJob).filter_by(state="pending"):
            row.run_at -= back
            row.lease_until = row.lease_until - back if row.lease_until else None

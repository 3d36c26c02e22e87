"""What was done long ago is forgotten in batches; what waits, and what was given up, is not."""

from datetime import timedelta

import pytest

from portal.kit import clock, forgetting, jobs, periodic, tasks
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from tests.kit.conftest import Ledger, ask

DAYS = timedelta(days=1)


def aged(state: str, days: float, *, key: str | None = None) -> int:
    """A job that came to its end (or waits) since so many days; gives its id."""
    then = clock.wall() - days * DAYS
    with unit_of_work() as session:
        row = OutboxJob(task="test.verb", args={"n": 1}, dedupe_key=key, state=state, run_at=then, created_at=then,
                        done_at=then if state == "done" else None)  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def left() -> set[int]:
    db.session.rollback()
    return set(db.session.scalars(db.select(OutboxJob.id)))


def test_only_what_was_done_more_than_thirty_days_ago_goes(ledger: Ledger) -> None:
    """Tried once without the state in the WHERE: the dead letter and the waiting one went too."""
    old, young = aged("done", 30.01), aged("done", 29.99)
    dead, waiting = aged("dead", 400), aged("pending", 400)
    late = aged("done", 400)
    with unit_of_work() as session:
        session.get_one(OutboxJob, late).done_at = clock.wall()  # due long ago, done only now
    forgetting.forget_jobs()
    assert left() == {young, dead, waiting, late}
    assert old not in left()


def test_it_goes_in_batches_and_the_rest_waits_for_the_next_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BATCHES", 2)
    monkeypatch.setattr(forgetting, "BATCH", 3)
    ids = [aged("done", 50 - number) for number in range(8)]
    forgetting.forget_jobs()
    assert left() == set(ids[6:]), "two batches of three, oldest first"
    forgetting.forget_jobs()
    assert left() == set()


def test_a_key_that_was_forgotten_names_a_new_job(ledger: Ledger) -> None:
    aged("done", 31, key="once")
    assert not ask(7, key="once")
    forgetting.forget_jobs()
    assert ask(7, key="once")
    assert (jobs.run_all(), ledger.effects) == (1, [7])


def test_a_period_that_was_served_is_not_served_again(ledger: Ledger) -> None:
    """Its key is gone, but ``periodic_runs`` knows."""
    with unit_of_work():
        assert periodic.insert_due() > 0
    with unit_of_work() as session:
        session.query(OutboxJob).delete()
    with unit_of_work():
        assert periodic.insert_due() == 0


def test_it_runs_by_itself() -> None:
    (found,) = [each for each in tasks.all_periodic() if each.task == "kit.forget_jobs"]
    assert (found.every, found.clock) == (timedelta(hours=1), "wall")

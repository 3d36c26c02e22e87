"""Jobs are rows first: leased, tried again, laid aside, and done exactly once."""

from datetime import timedelta

import pytest

from portal.kit import clock, jobs, outbox
from portal.kit.outbox import Claim, LeaseLostError
from portal.kit.unit_of_work import UnitOfWorkError, unit_of_work
from tests.kit.conftest import Ledger, ask, job, pass_time


def claim(limit: int = outbox.IN_FLIGHT_CAP) -> list[Claim]:
    with unit_of_work():
        return outbox.claim_due(limit)


def test_a_job_is_done_once_and_marked_with_its_effect(ledger: Ledger) -> None:
    ask(7)
    assert jobs.run_all() == 1
    assert ledger.effects == [7]
    assert (job().state, job().attempts, job().lease_until) == ("done", 1, None)
    assert jobs.run_all() == 0


def test_a_job_needs_its_cause_in_the_same_transaction(ledger: Ledger) -> None:
    with pytest.raises(UnitOfWorkError, match="cause"):
        outbox.enqueue("test.verb", n=1)
    with pytest.raises(RuntimeError, match="cause failed"), unit_of_work():
        outbox.enqueue("test.verb", n=1)
        raise RuntimeError("cause failed")
    assert jobs.run_all() == 0
    assert ledger.effects == []


def test_a_task_that_nobody_registered_is_refused_at_once(ledger: Ledger) -> None:
    with pytest.raises(KeyError), unit_of_work():
        outbox.enqueue("test.nobody", n=1)


def test_the_same_cause_is_written_once(ledger: Ledger) -> None:
    assert ask(1, key="cause:1") is True
    assert ask(1, key="cause:1") is False
    assert ask(2, key="cause:2") is True
    jobs.run_all()
    assert ask(1, key="cause:1") is False  # also when it was done long ago
    jobs.run_all()
    assert ledger.effects == [1, 2]


def test_a_later_job_waits_for_its_time(ledger: Ledger) -> None:
    ask(1, delay=timedelta(seconds=30))
    assert claim() == []
    assert outbox.pending(clock.wall()) == 0
    pass_time(31)
    assert outbox.pending(clock.wall()) == 1
    jobs.run_all()
    assert ledger.effects == [1]


def test_a_claimed_job_is_nobody_elses_until_its_lease_ends(ledger: Ledger) -> None:
    ask(1)
    first = claim()
    assert len(first) == 1
    assert claim() == []
    pass_time(outbox.LEASE.total_seconds() + 1)
    second = claim()
    assert [c.job_id for c in second] == [c.job_id for c in first]
    assert second[0].token == first[0].token + 1


@pytest.mark.parametrize("order", ["late one first", "late one last"])
def test_who_lost_the_lease_leaves_no_trace(ledger: Ledger, order: str) -> None:
    ask(1)
    (slow,) = claim()
    pass_time(outbox.LEASE.total_seconds() + 1)
    (quick,) = claim()
    turns = [slow, quick] if order == "late one first" else [quick, slow]
    done = [jobs.execute(each.job_id, each.token) for each in turns]
    assert done.count(True) == 1
    assert done[turns.index(quick)] is True
    assert ledger.effects == [1]


def test_an_effect_that_comes_after_the_lease_is_undone(ledger: Ledger) -> None:
    """The slow worker had begun in time, and another one did the job while it was at it."""
    ask(1)
    (slow,) = claim()
    assert outbox.take(slow) is not None
    pass_time(outbox.LEASE.total_seconds() + 1)
    (quick,) = claim()
    assert jobs.execute(quick.job_id, quick.token) is True
    with pytest.raises(LeaseLostError), unit_of_work():
        ledger.run(1)
        outbox.finish(slow)
    with unit_of_work():
        outbox.fail(slow, "too late to matter", 3)
    assert ledger.effects == [1]
    assert (job().state, job().last_error) == ("done", None)


def test_a_repeated_message_of_the_queue_does_nothing(ledger: Ledger) -> None:
    ask(1)
    (only,) = claim()
    assert [jobs.execute(only.job_id, only.token) for _ in range(3)] == [True, False, False]
    assert ledger.effects == [1]


def test_no_more_than_the_cap_is_in_flight(ledger: Ledger) -> None:
    for n in range(outbox.IN_FLIGHT_CAP + 5):
        ask(n)
    first = claim()
    assert len(first) == outbox.IN_FLIGHT_CAP
    assert claim() == []
    jobs.execute(first[0].job_id, first[0].token)
    assert len(claim()) == 1
    assert [c.job_id for c in first] == sorted(c.job_id for c in first)


def test_what_the_queue_did_not_take_is_due_again_without_an_attempt(ledger: Ledger) -> None:
    ask(1)
    claims = claim()
    with unit_of_work():
        outbox.give_back(claims)
    assert (job().attempts, job().lease_until) == (0, None)
    assert claim() == []
    pass_time(3)
    jobs.run_all()
    assert ledger.effects == [1]


def test_gaps_between_tries_grow_to_an_hour() -> None:
    gaps = [outbox.retry_gap(n).total_seconds() for n in (1, 2, 3, 4, 11, 12, 40)]
    assert gaps == [2, 4, 8, 16, 2048, 3600, 3600]


@pytest.mark.parametrize("task", ["test.verb", "test.flow"])
def test_a_failing_job_is_tried_again_and_then_done(ledger: Ledger, task: str) -> None:
    ledger.failing = 2
    ask(1, task=task)
    for attempt in (1, 2):
        jobs.run_all()
        row = job()
        assert (row.state, row.attempts, row.last_error) == ("pending", attempt, "RuntimeError: a bad day")
        gap = (row.run_at - clock.wall()).total_seconds()
        assert 2**attempt - 1 < gap <= 2**attempt
        pass_time(2**attempt + 1)
    jobs.run_all()
    assert (job().state, job().attempts, job().last_error) == ("done", 3, None)
    # A verb's effect and its mark are one commit, so the two failed ones left nothing.
    assert ledger.effects == ([1] if task == "test.verb" else [1, 1, 1])


def test_after_its_last_try_a_job_is_laid_aside_and_can_be_revived(ledger: Ledger) -> None:
    ledger.failing = 4
    ask(1)
    for _ in range(3):
        jobs.run_all()
        pass_time(60)
    assert (job().state, job().attempts) == ("dead", 3)
    assert jobs.run_all() == 0
    with unit_of_work():
        assert outbox.revive(job().id) is True
    jobs.run_all()
    assert (job().state, job().attempts) == ("pending", 1)
    pass_time(3)
    jobs.run_all()
    assert job().state == "done"
    assert ledger.effects == [1]
    with unit_of_work():
        assert outbox.revive(job().id) is False
        assert outbox.revive(4711) is False


def test_an_unreasonable_error_text_is_cut(ledger: Ledger) -> None:
    ask(1)
    (only,) = claim()
    with unit_of_work():
        outbox.fail(only, "x" * 9000, 3)
    assert job().last_error == "x" * 2000

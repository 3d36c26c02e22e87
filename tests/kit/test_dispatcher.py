"""From rows to a real Redis and back: pushed, carried out, survived when it forgets or is away."""

from collections.abc import Iterator

import pytest
from flask import Flask
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from portal.cli.embedded_redis import running
from portal.kit import dispatcher, outbox
from portal.kit.outbox import Claim
from portal.kit.unit_of_work import unit_of_work
from portal.kit.worker import JobWorker
from tests.kit.conftest import Ledger, ask, job, pass_time

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests' own, which they may wipe."""
    with running(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(server: str) -> Iterator[Redis]:
    with dispatcher.connect(server) as connection:
        connection.flushall()
        yield connection


def work(redis: Redis) -> None:
    """What is in the queue is carried out by RQ's own worker."""
    JobWorker([Queue(dispatcher.QUEUE, connection=redis)], connection=redis).work(burst=True, logging_level="ERROR")


def test_what_is_due_goes_through_the_queue_once(app: Flask, ledger: Ledger, redis: Redis) -> None:
    for n in range(3):
        ask(n)
    assert dispatcher.dispatch(redis) == 3
    assert dispatcher.dispatch(redis) == 0
    work(redis)
    assert ledger.effects == [0, 1, 2]
    assert job().state == "done"


def test_many_share_messages_few_travel_alone() -> None:
    # Four messages are made where there is enough: 3 claims make 3 of 1; 20 claims 4 of 20 / 4 = 5; 6 claims 3 of 2.
    sizes = [[len(m) for m in dispatcher.messages([Claim(n, 1) for n in range(count)])] for count in (0, 3, 6, 20)]
    assert sizes == [[], [1, 1, 1], [2, 2, 2], [5, 5, 5, 5]]


def test_one_that_fails_leaves_the_others_of_its_message_alone(app: Flask, ledger: Ledger, redis: Redis) -> None:
    for n in range(6):
        ask(n)
    ledger.failing = 1
    assert dispatcher.dispatch(redis) == 6
    assert Queue(dispatcher.QUEUE, connection=redis).count == 3
    work(redis)
    assert ledger.effects == [1, 2, 3, 4, 5]
    pass_time(3)
    dispatcher.dispatch(redis)
    work(redis)
    assert ledger.effects == [0, 1, 2, 3, 4, 5]


def test_a_wiped_queue_is_filled_again_when_the_leases_end(app: Flask, ledger: Ledger, redis: Redis) -> None:
    ask(1)
    dispatcher.dispatch(redis)
    redis.flushall()
    work(redis)
    assert ledger.effects == []
    pass_time(outbox.LEASE.total_seconds() + 1)
    assert dispatcher.dispatch(redis) == 1
    work(redis)
    assert ledger.effects == [1]


def test_a_message_that_stayed_in_the_queue_too_long_does_nothing(app: Flask, ledger: Ledger, redis: Redis) -> None:
    ask(1)
    dispatcher.dispatch(redis)
    pass_time(outbox.LEASE.total_seconds() + 1)
    assert dispatcher.dispatch(redis) == 1
    assert Queue(dispatcher.QUEUE, connection=redis).count == 2
    work(redis)
    assert ledger.effects == [1]
    assert ledger.calls == [1]


def test_without_redis_the_job_waits_and_no_attempt_is_counted(app: Flask, ledger: Ledger, redis: Redis) -> None:
    ask(1)
    assert dispatcher.dispatch(dispatcher.connect(NOBODY)) == 0
    assert (job().state, job().attempts, job().lease_until) == ("pending", 0, None)
    pass_time(3)
    dispatcher.dispatch(redis)
    work(redis)
    assert ledger.effects == [1]


def test_a_commit_does_not_depend_on_the_hint(app: Flask, ledger: Ledger) -> None:
    """The app of these tests points at a port where nothing listens: writing a job works all the same."""
    with pytest.raises(RedisError):
        dispatcher.connect(NOBODY).ping()
    dispatcher.wake(dispatcher.connect(NOBODY))
    assert ask(1) is True


def test_the_hint_is_one_however_many_jobs_are_written(redis: Redis) -> None:
    for _ in range(5):
        dispatcher.wake(redis)
    assert redis.llen(dispatcher.WAKE) == 1


def test_processes_say_that_they_live_and_are_forgotten(app: Flask) -> None:
    from datetime import timedelta

    from portal.kit.db import db
    from portal.kit.models import Heartbeat

    dispatcher.beat("worker")
    dispatcher.beat("worker")
    assert [row.kind for row in db.session.query(Heartbeat)] == ["worker"]
    with unit_of_work() as session:
        session.query(Heartbeat).one().seen_at -= timedelta(hours=2)
    dispatcher.forget_silent()
    assert db.session.query(Heartbeat).count() == 0


def test_the_scheduler_goes_round_until_it_is_told_to_stop(app: Flask, ledger: Ledger, redis: Redis) -> None:
    ask(1)
    rounds = iter([False, True])
    dispatcher.run(redis, lambda: next(rounds))
    work(redis)
    assert ledger.effects == [1]

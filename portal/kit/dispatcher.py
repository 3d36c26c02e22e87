"""From rows to the queue: claims what is due, hands it to RQ, sweeps up what was missed, inserts periodic work."""

import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError

from portal.kit import clock, log, outbox, periodic
from portal.kit.db import db
from portal.kit.models import Heartbeat
from portal.kit.outbox import Claim
from portal.kit.unit_of_work import unit_of_work

if TYPE_CHECKING:
    from rq import Queue

QUEUE = "portal"
WAKE = "portal:wake"
EXECUTE = "portal.kit.jobs.execute_batch"
#: What is handed out at once goes into so many messages where there is enough of it, so that several workers share it.
SHARES = 4
#: Wall seconds for which a hint waits for others: what comes together is claimed together.
TOGETHER = 0.02
#: Wall seconds that one job of a message may take.
PATIENCE = 180
logger = log.get(__name__)


def connect(url: str, patience: float = 2) -> Redis:
    """A Redis client that gives up after ``patience`` seconds: a store that hangs must not hang a request.

    Worker and scheduler block while they wait for work and need more of it.
    """
    return Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=2, health_check_interval=15)


def wake(redis: Redis) -> None:
    """Hint that there is work. Losing it costs a second of waiting, so Redis being away is no error."""
    try:
        both = redis.pipeline(transaction=False)
        both.lpush(WAKE, "1")
        both.ltrim(WAKE, 0, 0)
        both.execute()
    except RedisError:
        logger.warning("outbox.wake_failed")


def _queue(redis: Redis) -> "Queue":
    """RQ's queue; imported here because web processes only wake the scheduler and never touch it."""
    from rq import Queue

    return Queue(QUEUE, connection=redis)


def dispatch(redis: Redis) -> int:
    """Claim due jobs and push them to the queue; returns how many. A refused push gives the claim back."""
    with unit_of_work():
        claims = outbox.claim_due()
    unsent = messages(claims)
    try:
        queue = _queue(redis)
        while unsent:
            _push(queue, unsent[0])
            del unsent[0]
    except RedisError as error:
        logger.warning("outbox.redis_away", error=str(error))
    finally:
        left = [claim for message in unsent for claim in message]
        if left:
            with unit_of_work():
                outbox.give_back(left)
    return len(claims) - len(left)


def messages(claims: list[Claim]) -> list[list[Claim]]:
    """Claims as they travel: alone while there are few, several in one message where many wait (RQ's own work for a
    message costs as much as a small job).
    """
    size = -(-len(claims) // SHARES) or 1
    return [claims[start : start + size] for start in range(0, len(claims), size)]


def _push(queue: "Queue", claims: list[Claim]) -> None:
    queue.enqueue(
        EXECUTE,
        [[claim.job_id, claim.token] for claim in claims],
        job_id=f"outbox-{claims[0].job_id}-{claims[0].token}",
        job_timeout=PATIENCE * len(claims),
        result_ttl=0,
        failure_ttl=3600,
    )


def beat(kind: str) -> None:
    """Say that this process lives."""
    name = f"{kind}:{socket.gethostname()}:{os.getpid()}"
    with unit_of_work() as session:
        session.merge(Heartbeat(process=name[:80], kind=kind, seen_at=clock.wall()))


def forget_silent(older_than: timedelta = timedelta(hours=1)) -> None:
    """Drop heartbeats of processes that are long gone."""
    with unit_of_work() as session:
        session.query(Heartbeat).filter(Heartbeat.seen_at < clock.wall() - older_than).delete()


def run(redis: Redis, stopping: Callable[[], bool]) -> None:
    """The scheduler's loop, until told to stop. Survives Redis and the database going away; several may run."""
    beaten = looked = float("-inf")
    while not stopping():
        try:
            if time.monotonic() - beaten > 10:
                beat("scheduler")
                forget_silent()
                beaten = time.monotonic()
            if time.monotonic() - looked >= 1:
                with unit_of_work():
                    periodic.insert_due()
                looked = time.monotonic()
            dispatch(redis)  # whoever ends a message says that there is room for more
        except OperationalError as error:
            logger.warning("scheduler.database_away", error=str(error.orig))
        finally:
            db.session.remove()
        _wait(redis, 1)


def _wait(redis: Redis, seconds: float) -> None:
    """Until there is work or room for it, or a while: a hint may be lost."""
    try:
        if redis.brpop([WAKE], timeout=seconds):
            time.sleep(TOGETHER)
    except RedisError:
        time.sleep(1)

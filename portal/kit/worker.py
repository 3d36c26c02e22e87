"""The worker process: takes jobs from the queue, lives through Redis going away, says that it lives."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.timeouts import TimerDeathPenalty

from portal.kit import log
from portal.kit.dispatcher import QUEUE, beat

logger = log.get(__name__)


class JobWorker(SimpleWorker):
    """RQ's worker in one process: the app is imported once, and a lost attempt is the outbox's business."""

    death_penalty_class = TimerDeathPenalty


def run(redis: Redis, app_context: Callable[[], object]) -> None:
    """Work until SIGTERM or SIGINT. Redis being away is waited out; the outbox hands lost jobs out again."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()
        raise SystemExit(0)

    threading.Thread(target=_keep_beating, args=(app_context, stopping), daemon=True).start()
    while not stopping.is_set():
        try:
            worker = JobWorker(
                [Queue(QUEUE, connection=redis)],
                connection=redis,
                worker_ttl=30,
                maintenance_interval=timedelta(seconds=15).seconds,
            )
            worker.work(with_scheduler=False, logging_level="WARNING")
            return
        except RedisError as error:
            logger.warning("worker.redis_away", error=str(error))
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            time.sleep(1)


def _keep_beating(app_context: Callable[[], object], stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            with app_context():  # type: ignore[attr-defined]
                beat("worker")
        except Exception as error:
            logger.warning("worker.beat_failed", error=str(error))
        stopping.wait(10)

"""The portal as the bench runs it: the settings of ``make run`` on PostgreSQL, its processes, its books."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from flask import Flask

from portal.cli.setup_ports import LOOPBACK
from tests.bench import events
from tests.bench.ground import KEY, Ground
from tests.bench.processes import clean_environment, free_port, running, web

PATH = "/api/v1/webhooks/stripe"
SECRET_KEY = "only-for-the-bench-0123456789-abcdefghij"


def environment(ground: Ground, database: str, port: int, *, data: Path) -> dict[str, str]:
    """What every process of the portal is told."""
    metrics = data / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    return clean_environment(
        APP_ENV="development",
        SECRET_KEY=SECRET_KEY,
        DATA_DIR=str(data),
        DATABASE_URL=ground.url(database),
        REDIS_URL=ground.redis_url,
        BASE_URL=f"http://{LOOPBACK}:{port}",
        STRIPE_SECRET_KEY=KEY,
        STRIPE_WEBHOOK_SECRET=events.SECRET,
        STRIPE_API_BASE=ground.sandbox_url,
        STRIPE_CHECKOUT_ORIGIN=ground.sandbox_url,
        PROMETHEUS_MULTIPROC_DIR=str(metrics),
    )


@contextmanager
def serving(ground: Ground, database: str) -> Iterator[tuple[int, Popen[bytes]]]:
    """The web process; gives its port and granian's main process."""
    port = free_port()
    told = environment(ground, database, port, data=ground.folder / f"web-{database}-{port}")
    with web("wsgi:app", port, told, ground.folder / f"web-{database}.log") as server:
        yield port, server


@contextmanager
def working(ground: Ground, database: str) -> Iterator[list[Popen[bytes]]]:
    """Worker and scheduler."""
    told = environment(ground, database, 1, data=ground.folder / f"work-{database}")
    flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
    with (
        running([*flask, "worker"], told, ground.folder / "worker.log") as worker,
        running([*flask, "scheduler"], told, ground.folder / "scheduler.log") as scheduler,
    ):
        yield [worker, scheduler]


def build(ground: Ground, database: str) -> Flask:
    """The app in the bench's own process, for preparing data and for counting what it does."""
    from config import Config
    from portal.app import create_app

    told = environment(ground, database, 1, data=ground.folder / f"own-{database}")
    known = {name.lower(): value for name, value in told.items() if name.lower() in Config.model_fields}
    known |= {"app_env": "test", "base_url": "http://localhost"}
    return create_app(Config(**known, ratelimit_enabled=False, argon2_memory_kib=8, log_level="ERROR"))  # type: ignore[arg-type]

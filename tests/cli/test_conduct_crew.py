"""The conductor beside a running worker: it hands out the jobs, the worker does them, and it waits for that."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal.cli import conduct
from portal.cli.jobs import beating
from portal.cli.setup_ports import wait_until
from portal.kit import jobs as outbox_jobs
from portal.kit import tenancy
from portal.kit.db import db
from portal.notifications.models import SentMail
from tests.cli.conftest import Street
from tests.support import servers, stories
from tests.support.travel import Travel

ROOT = Path(__file__).resolve().parents[2]
REDIS = os.environ.get("TEST_REDIS_URL", "")


@pytest.fixture
def worker(street: Street, catalog: Flask, folder: Path) -> Iterator[None]:
    """A worker as a process of its own, on this test's database, queue and sandbox."""
    config = catalog.extensions["portal_config"]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "APP_ENV": "test",
        "SECRET_KEY": catalog.config["SECRET_KEY"],
        "DATA_DIR": str(folder),
        "DATABASE_URL": config.sqlalchemy_url,
        "REDIS_URL": config.redis_url,
        "BASE_URL": config.base_url,
        "STRIPE_SECRET_KEY": servers.KEY,
        "STRIPE_API_BASE": street.sandbox,
        "CLOCK_OFFSET_FILE": config.clock_offset_file,
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: beating("worker"), 60), "the worker does not come up"
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.skipif(not REDIS, reason="needs Redis: python -m tests.run brings one")
def test_the_worker_does_the_jobs_and_the_conductor_waits(
    street: Street, travel: Travel, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = travel.now
    stories.signs_up()
    travel.on(days=6.9)
    monkeypatch.setattr(outbox_jobs, "run_all", lambda: pytest.fail("the jobs are the worker's"))
    conduct.advance(begun + timedelta(days=7.5), street.sandbox)
    with tenancy.unscoped("a test"):
        mails = db.session.execute(select(SentMail.kind, SentMail.state).order_by(SentMail.id)).all()
    # Seven of fourteen days are left: the first reminder was written and delivered before the conductor came back.
    assert [tuple(row) for row in mails if row.kind == "trial_ending"] == [("trial_ending", "kept")]

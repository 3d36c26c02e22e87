"""``flask prepare``: from nothing to a portal that can be opened; the second time nothing is left to do."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, text, update

from portal.catalog import queries
from portal.catalog.models import SubscriptionTier
from portal.cli import prepare
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from tests.cli.conftest import Run
from tests.support.servers import Sandbox
from tests.support.travel import Travel

ROOT = Path(__file__).resolve().parents[2]


def test_catalog_and_stripe_are_filled_once(app: Flask, sandbox: Sandbox, run: Run) -> None:
    code, said = run(prepare.prepare)
    assert (code, said) == (
        0,
        "Loaded the catalog: marketplace.\nTold Stripe about the catalog: 19 changes.\nPrepared.\n",
    )
    assert [tier.code for tier in queries.tiers(public_only=False)][:2] == ["essential", "professional"]
    assert len(stripe.current().products_list()) == 7
    assert run(prepare.prepare) == (0, "Prepared.\n")


def test_a_catalog_of_the_operators_own_stays_as_it_is(catalog: Flask, sandbox: Sandbox, run: Run) -> None:
    with unit_of_work() as session:
        session.execute(update(SubscriptionTier).values(retired_at=clock.business()))
    assert run(prepare.prepare)[0] == 0
    assert queries.tiers(public_only=False) == []


def test_a_demo_that_cannot_be_is_left_out_with_the_reason(
    app: Flask, sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = app.extensions["portal_config"]
    monkeypatch.setattr(config, "demo", True)
    code, said = run(prepare.prepare)
    assert code == 0
    assert "No demo: its history begins in the past" in said
    monkeypatch.setattr(config, "sandbox_url", "")
    assert "No demo: its vendors pay at the Stripe sandbox" in run(prepare.prepare)[1]


def test_an_interrupted_demo_is_told_when_nobody_wants_it_any_more(
    app: Flask, sandbox: Sandbox, run: Run, travel: Travel
) -> None:
    travel.to(clock.wall() - timedelta(days=30))
    assert "DEMO=1 goes on with it" in run(prepare.prepare)[1]


def test_a_stripe_that_does_not_answer_is_named(app: Flask, run: Run, sandbox_server: Sandbox) -> None:
    stripe.configure("sk_test_x", "http://127.0.0.1:9", 0)
    try:
        code, said = run(prepare.prepare)
    finally:
        stripe.configure("sk_test_sandbox", sandbox_server.url, 0)
    assert code == 1
    assert "stripe_unavailable" in said


@pytest.mark.once
def test_an_empty_folder_becomes_a_database_at_the_head(tmp_path: Path) -> None:
    """As a process of its own, as the supervisor starts it."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"APP_ENV": "test", "SECRET_KEY": "0123456789-abcdefghij-klmnopqrst", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "prepare"]
    first, second = (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == "Migrating the database …\nLoaded the catalog: marketplace.\nPrepared.\n"
    assert (second.returncode, second.stdout) == (0, "Prepared.\n")
    engine = create_engine(f"sqlite:///{tmp_path / 'portal.db'}")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM subscription_tiers")) == 4
    engine.dispose()

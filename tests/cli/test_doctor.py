"""The doctor: each check tells sound from ill, says what to do, and shows no secret."""

import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.catalog import flows
from portal.cli import doctor, doctor_checks, doctor_domains, doctor_files, doctor_papers, doctor_stripe, prepare
from portal.cli.doctor_findings import Check, Finding
from portal.gateways import mail, stripe
from portal.kit import clock, outbox, tasks
from portal.kit import jobs as outbox_jobs
from portal.kit.db import db
from portal.kit.dispatcher import beat
from portal.kit.errors import Unavailable
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import service as inbox
from tests.cli.conftest import Run
from tests.support import servers
from tests.support.servers import Sandbox
from tests.support.travel import Travel

HOOK = "http://localhost/api/v1/webhooks/stripe"


def look(*checks: Check) -> list[tuple[str, str]]:
    return [(found.level, found.what) for found in doctor.examine(checks)]


def the(check: Check) -> Finding:
    (found,) = doctor.examine((check,))
    return found


@pytest.fixture
def wrong_key(sandbox: Sandbox) -> Iterator[None]:
    stripe.configure("sk_test_wrong", sandbox.url, 0)
    yield
    stripe.configure(servers.KEY, sandbox.url, 0)


def endpoint(sandbox: Sandbox, events: list[str]) -> Any:
    gateway: Any = stripe.current()
    return gateway._v1.webhook_endpoints.create({"url": HOOK, "enabled_events": events})


def test_the_command_fails_where_something_fails_and_shows_no_secret(
    catalog: Flask, sandbox: Sandbox, run: Run
) -> None:
    code, said = run(doctor.doctor)
    assert code == 1
    assert "FAIL  worker       not seen for 40 seconds" in said
    assert "→ start it: flask --app wsgi worker" in said
    assert said.splitlines()[-1].endswith("checks failed.")
    for secret in (servers.KEY, servers.WEBHOOK_SECRET, catalog.config["SECRET_KEY"]):
        assert secret not in said


def test_the_command_succeeds_where_nothing_fails(catalog: Flask, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "CHECKS", (doctor_checks.schema, doctor_checks.jobs))
    for elsewhere in (doctor_stripe, doctor_files, doctor_papers, doctor_domains):
        monkeypatch.setattr(elsewhere, "CHECKS", ())
    (head,) = prepare.revisions()[1]
    assert run(doctor.doctor) == (
        0,
        f"OK    schema       at {head}\nOK    jobs         none given up, 0 waiting\n2 checks, none failed.\n",
    )


def test_processes_that_beat_are_seen(catalog: Flask) -> None:
    beat("worker")
    assert look(doctor_checks.processes) == [("OK", "worker"), ("FAIL", "scheduler")]


def test_a_schema_that_is_behind_is_told_with_the_command(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "revisions", lambda: ({"0001"}, {"0002"}))
    found = the(doctor_checks.schema)
    assert (found.level, found.says) == ("FAIL", "at 0001, this code wants 0002")
    assert found.do == "flask --app wsgi db upgrade"


def test_a_database_that_may_forget_a_commit_fails(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "synchronous" if db.engine.dialect.name == "sqlite" else "fsync"
    wanted = "DURABLE_SQLITE" if key == "synchronous" else "DURABLE_POSTGRES"
    # Tests run on a database that was told to be careless or not; either way one of the two is not what it says.
    levels = set()
    for value in ("0", "2", "on", "off"):
        monkeypatch.setattr(doctor_checks, wanted, {key: value})
        levels.add({what: level for level, what in look(doctor_checks.database)}["durability"])
    assert levels == {"OK", "FAIL"}


def test_a_database_that_does_not_answer_is_a_finding(catalog: Flask) -> None:
    def gone() -> Iterator[Finding]:
        raise OperationalError("SELECT 1", {}, Exception("secret dsn"))
        yield

    found = the(gone)
    assert (found.level, found.what, found.says) == ("FAIL", "gone", "could not be looked at: OperationalError")


def test_redis_away_fails(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.kit.dispatcher import connect

    monkeypatch.setitem(catalog.extensions, "portal_redis", connect("redis://:hunter2@127.0.0.1:9/0"))
    found = the(doctor_checks.redis)
    assert found.level == "FAIL"
    assert "hunter2" not in found.says


def _given_up() -> None:
    raise RuntimeError


tasks.task("tests.doctor.given_up", max_attempts=1)(_given_up)


def test_jobs_that_were_given_up_are_counted(catalog: Flask) -> None:
    with unit_of_work():
        outbox.enqueue("tests.doctor.given_up")
    outbox_jobs.run_all()
    found = the(doctor_checks.jobs)
    assert (found.level, found.says) == ("WARN", "1 were given up")
    assert "flask jobs dead" in found.do


def test_mail_is_kept_or_tried(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mails are kept" in the(doctor_checks.mail).says

    def refuse() -> None:
        raise Unavailable(code="smtp")

    monkeypatch.setattr(mail, "_transport", SimpleNamespace(check=refuse))
    found = the(doctor_checks.mail)
    assert (found.level, "SMTP_HOST" in found.do) == ("FAIL", True)
    monkeypatch.setattr(mail, "_transport", SimpleNamespace(check=lambda: None))
    assert the(doctor_checks.mail).level == "OK"


def test_a_clock_that_was_moved_is_told(catalog: Flask, travel: Travel) -> None:
    travel.to(clock.wall())
    assert not any("business time" in found.says for found in doctor.examine((doctor_checks.time_of_day,)))
    travel.on(days=3)
    found = doctor.examine((doctor_checks.time_of_day,))[0]
    assert (found.level, found.says) == ("WARN", "business time is +3.00 days from the real one")


@pytest.mark.parametrize(("free", "level"), [(100_000_000, "FAIL"), (900_000_000, "WARN"), (9_000_000_000, "OK")])
def test_a_disk_that_fills_up(catalog: Flask, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert the(doctor_checks.disk).level == level


def test_settings_of_production_are_named(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert the(doctor_checks.settings).level == "OK"
    monkeypatch.setattr(catalog.extensions["portal_config"], "app_env", "production")
    found = the(doctor_checks.settings)
    assert found.level == "FAIL"
    assert "BASE_URL must be the public https address" in found.says


def test_the_key_works_or_is_refused_or_missing(catalog: Flask, sandbox: Sandbox, wrong_key: None) -> None:
    refused = the(doctor_stripe.account)
    assert (refused.level, refused.says) == ("FAIL", "refuses the key")
    stripe.configure(servers.KEY, sandbox.url, 0)
    assert the(doctor_stripe.account) == Finding("OK", "stripe", "sandbox, account acct_1SandboxOperator0")
    stripe.configure("", "", 0)
    assert the(doctor_stripe.account).level == "WARN"
    assert look(doctor_stripe.webhook, doctor_stripe.catalog) == []


def test_the_endpoint_is_missing_deaf_or_sound(catalog: Flask, sandbox: Sandbox) -> None:
    assert the(doctor_stripe.webhook).says == f"Stripe knows no endpoint {HOOK}"
    deaf = endpoint(sandbox, ["invoice.paid"])
    found = the(doctor_stripe.webhook)
    assert found.level == "WARN"
    assert "customer.subscription.updated" in found.says
    assert "invoice.paid" not in found.says
    gateway: Any = stripe.current()
    gateway._v1.webhook_endpoints.update(deaf.id, {"enabled_events": ["*"]})
    assert the(doctor_stripe.webhook) == Finding("OK", "webhook", f"{HOOK}, 2026-10-28.endive")
    gateway._v1.webhook_endpoints.update(deaf.id, {"disabled": True})
    assert the(doctor_stripe.webhook).level == "FAIL"


def test_a_catalog_that_was_not_pushed_is_told(catalog: Flask, sandbox: Sandbox) -> None:
    assert the(doctor_stripe.catalog).says == "19 changes are not at Stripe yet"
    assert stripe.current().products_list() == []
    flows.push(stripe.current(), dry_run=False)
    assert the(doctor_stripe.catalog).level == "OK"


def test_events_that_failed_are_counted(catalog: Flask, sandbox: Sandbox) -> None:
    assert look(doctor_stripe.events) == [("OK", "events")]
    with unit_of_work():
        inbox.receive({"id": "evt_1", "type": "invoice.paid", "data": {"object": {}}}, now=clock.business())
        inbox.settle("evt_1", "failed", now=clock.business(), error="on purpose")
    found = the(doctor_stripe.events)
    assert (found.level, found.says) == ("WARN", "1 of Stripe's failed")

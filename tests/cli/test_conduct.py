"""The conductor: everything on the way happens, each on its date, and it stops when something cannot keep up."""

import fcntl
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from flask import Flask
from sqlalchemy import select

from portal.billing.models import Invoice
from portal.cli import conduct
from portal.cli.conduct import ConductorError
from portal.credits.models import CreditAccount
from portal.kit import clock, outbox, tasks, tenancy
from portal.kit.db import db
from portal.kit.dispatcher import beat
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from tests.cli.conftest import Run, Street
from tests.support import stories
from tests.support.travel import Travel

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _across_vendors() -> Iterator[None]:
    with tenancy.unscoped("a test"):
        yield


def mails(kind: str) -> list[datetime]:
    statement = select(SentMail.created_at).where(SentMail.kind == kind).order_by(SentMail.id)
    found = list(db.session.scalars(statement))
    db.session.remove()
    return found


def is_about(moment: datetime, wanted: datetime) -> bool:
    """Within one step after its time."""
    return timedelta() <= moment - wanted <= conduct.STEP + timedelta(minutes=1)


def test_a_trial_is_reminded_thrice_and_ends_each_on_its_date(street: Street, travel: Travel) -> None:
    begun = travel.now
    stories.signs_up()
    travel.on(days=6.5)
    conduct.advance(begun + 15 * DAY, street.sandbox, inline=True)
    # 14 days of trial: 7, 3 and 1 days before its end are days 7, 11 and 13.
    for sent, day in zip(mails("trial_ending"), (7, 11, 13), strict=True):
        assert is_about(sent, begun + day * DAY), (sent, day)
    (ended,) = mails("trial_ended")
    assert is_about(ended, begun + 14 * DAY)
    assert abs(travel.now - (begun + 15 * DAY)) < timedelta(minutes=1)


@pytest.mark.thorough
def test_a_card_is_charged_on_its_date_and_all_that_follows_is_done_before_it_returns(
    street: Street, travel: Travel
) -> None:
    stories.push_catalog()
    begun = travel.now
    ada = stories.signs_up()
    assert stories.pays(stories.opens_checkout(ada)).status_code == 303
    conduct.advance(begun + timedelta(minutes=1), street.sandbox, inline=True)
    travel.on(days=13)
    conduct.advance(begun + 15 * DAY, street.sandbox, inline=True)
    invoice = db.session.scalars(select(Invoice).where(Invoice.total_minor > 0)).one()
    assert (invoice.total_minor, invoice.status) == (9900, "paid")
    # The trial's end is kept to the second at Stripe; the card is charged after the draft's hour.
    assert invoice.paid_at is not None
    assert is_about(invoice.paid_at, begun + 14 * DAY + timedelta(minutes=59))
    assert db.session.scalars(select(CreditAccount.balance)).one() == 2000
    assert len(mails("receipt")) == 1
    db.session.remove()
    status = requests.get(f"{street.sandbox}/_sandbox/status", timeout=5).json()
    assert (outbox.pending(clock.wall()), status["due_now"], status["deliveries_pending"]) == (0, 0, 0)


def test_to_next_charge_stops_right_after_it(street: Street, travel: Travel, run: Run) -> None:
    stories.push_catalog()
    begun = travel.now
    ada = stories.signs_up()
    stories.pays(stories.opens_checkout(ada))
    conduct.advance(begun + timedelta(minutes=1), street.sandbox, inline=True)
    found = conduct.next_charge(ada.code)
    assert found is not None
    # Trial end (day 14) and an hour of draft.
    assert abs(found - (begun + 14 * DAY + timedelta(hours=1))) < timedelta(minutes=1)
    assert conduct.next_charge() == found
    assert conduct.next_charge("nobody") is None
    assert "No charge is to come for nobody." in run(conduct.conduct, "--to-next-charge", "nobody")[1]


def test_the_command_moves_time_and_says_a_line_a_day(street: Street, travel: Travel, run: Run, app_url: None) -> None:
    begun = travel.now
    code, said = run(conduct.conduct, "--days", "2", "--inline")
    assert code == 0, said
    lines = said.splitlines()
    assert [line[:10] for line in lines[:-1]] == ["2027-01-16", "2027-01-17", "2027-01-17"]
    assert lines[-1].startswith("It is 2027-01-17 12:00 UTC")
    assert abs(travel.now - (begun + 2 * DAY)) < timedelta(minutes=1)


@pytest.fixture
def app_url(street: Street, built_app: Flask) -> Iterator[None]:
    """The command finds the sandbox where the environment says."""
    config = built_app.extensions["portal_config"]
    before, config.sandbox_url = config.sandbox_url, street.sandbox
    yield
    config.sandbox_url = before


def _fails() -> None:
    raise RuntimeError("on purpose")


tasks.task("tests.conduct.fails_once", max_attempts=1)(_fails)
tasks.task("tests.conduct.fails_often", max_attempts=9)(lambda: _fails())


def test_what_is_tried_again_later_is_not_waited_for(catalog: Flask, travel: Travel) -> None:
    with unit_of_work():
        outbox.enqueue("tests.conduct.fails_often")
    conduct.advance(travel.now + DAY, "", inline=True)
    job = db.session.scalars(select(OutboxJob).where(OutboxJob.task == "tests.conduct.fails_often")).one()
    assert job.state == "pending"
    assert job.attempts >= 1
    assert "on purpose" in (job.last_error or "")


def test_jobs_given_up_are_told_at_the_end(street: Street, run: Run, app_url: None) -> None:
    with unit_of_work():
        outbox.enqueue("tests.conduct.fails_once")
    code, said = run(conduct.conduct, "--hours", "6", "--inline")
    assert code == 0
    assert "1 jobs were given up on the way" in said


def test_events_that_the_portal_does_not_take_stop_the_clock(
    street: Street, travel: Travel, monkeypatch: pytest.MonkeyPatch, catalog: Flask
) -> None:
    monkeypatch.setattr(conduct, "PATIENCE", 0.3)
    monkeypatch.setattr(catalog.extensions["portal_config"], "webhook_secrets", ["whsec_another"])
    stories.push_catalog()
    begun = travel.now
    with pytest.raises(ConductorError, match="events of Stripe's were not taken by the portal"):
        conduct.advance(begun + 3 * DAY, street.sandbox, inline=True)
    assert travel.now < begun + timedelta(minutes=1)


def test_a_worker_that_beats_is_waited_for_and_then_complained_about(
    catalog: Flask, travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "PATIENCE", 0.3)
    beat("worker")
    with unit_of_work():
        outbox.enqueue("tests.conduct.fails_often")
    with pytest.raises(ConductorError, match="do worker and Redis run"):
        conduct.advance(travel.now + DAY, "")
    job = db.session.scalars(select(OutboxJob).where(OutboxJob.task == "tests.conduct.fails_often")).one()
    assert job.attempts == 0


def test_a_sandbox_that_does_not_answer_is_named(catalog: Flask, travel: Travel) -> None:
    with pytest.raises(ConductorError, match=r"http://127\.0\.0\.1:9 does not answer"):
        conduct.advance(travel.now + DAY, "http://127.0.0.1:9", inline=True)


def test_time_never_runs_backwards(catalog: Flask, travel: Travel, run: Run) -> None:
    code, said = run(conduct.conduct, "--to", "2027-01-14", "--inline")
    assert code == 1
    assert "Time never runs backwards: it is 2027-01-15 12:00 UTC." in said


def test_only_one_conductor_at_a_time(catalog: Flask, travel: Travel, folder: Path) -> None:
    with (folder / "offset.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConductorError, match="moved already"):
            conduct.advance(travel.now + DAY, "", inline=True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("app_env", "production", "not moved in production"), ("clock_offset_file", "", "Set CLOCK_OFFSET_FILE")],
)
def test_refused_where_time_is_real(
    catalog: Flask, travel: Travel, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setattr(catalog.extensions["portal_config"], name, value)
    before = travel.file.read_text()
    code, output = run(conduct.conduct, "--days", "1")
    assert code == 1
    assert said in output
    assert travel.file.read_text() == before


@pytest.mark.parametrize("args", [(), ("--days", "1", "--hours", "1"), ("--to", "tomorrow"), ("--days", "-1")])
def test_what_makes_no_sense_is_refused(catalog: Flask, run: Run, args: tuple[str, ...]) -> None:
    assert run(conduct.conduct, *args)[0] == 2


def test_only_a_fresh_installation_begins_in_the_past(catalog: Flask, travel: Travel) -> None:
    with pytest.raises(ConductorError, match="never moved"):
        conduct.begin_at(travel.now - DAY)
    travel.file.unlink()
    conduct.begin_at(clock.wall() - DAY)
    assert timedelta(hours=23) < clock.wall() - clock.business() < timedelta(hours=25)
    stories.signs_up(tier=None)
    travel.file.unlink()
    with pytest.raises(ConductorError, match="without vendors"):
        conduct.begin_at(clock.wall() - DAY)

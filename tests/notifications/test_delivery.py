"""Mails on a real mail server: each once, with the same Message-ID when tried again, and nothing injected (NOT-1)."""

import threading
from asyncio import Server
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from sqlalchemy import select

from config import Config
from portal.gateways import mail as gateway
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import UnitOfWorkError, unit_of_work
from portal.notifications import service as notifications
from portal.notifications.models import SentMail
from portal.notifications.rules import WrongMailError
from portal.notifications.service import Recipient
from portal.settings import service as settings

ALICE = Recipient("alice@example.com", "Alice Owner", "en")
WHEN = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)


class Inbox:
    """Takes mails; ``lose_answers`` takes one and breaks off before saying so."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.lose_answers = 0
        self.lock = threading.Lock()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep the mail."""
        with self.lock:
            self.envelopes.append(envelope)
            if self.lose_answers:
                self.lose_answers -= 1
                return "451 4.3.0 try again later"
        return "250 OK"

    @property
    def mails(self) -> list[EmailMessage]:
        """What came in, parsed."""
        return [message_from_bytes(e.content, policy=policy.default) for e in self.envelopes]


class OnAnyPort(Controller):
    """A mail server on a port that the system chose."""

    def _trigger_server(self) -> None:
        listening = cast(Server, self.server)
        self.port = listening.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def inbox(app: Flask) -> Iterator[Inbox]:
    """A mail server on this machine, configured as the portal's."""
    taken = Inbox()
    server = OnAnyPort(taken, hostname="127.0.0.1", port=0)
    server.start()
    config: Config = app.extensions["portal_config"]
    changed = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_tls": "none"}
    gateway.configure(config.model_copy(update={**changed, "mail_from": "portal@portal.example"}))
    yield taken
    gateway.configure(config)
    server.stop()


def send(kind: str = "password_changed", to: Recipient = ALICE, cause: str = "cause", **params: Any) -> bool:
    """Ask for a mail in a unit of work of its own."""
    given = params or {"at": WHEN.isoformat()}
    with unit_of_work():
        return notifications.send(kind, to, dedupe_key=cause, vendor_id=None, now=clock.business(), **given)


def test_a_mail_arrives_as_text_and_html(inbox: Inbox) -> None:
    with unit_of_work():
        settings.change("name", "Basar & Söhne", actor=SYSTEM, now=clock.business())
        settings.change("support_email", "help@portal.example", actor=SYSTEM, now=clock.business())
    send()
    jobs.run_all()
    [mail] = inbox.mails
    assert (mail["Subject"], mail["To"]) == ("Your password was changed", "Alice Owner <alice@example.com>")
    assert mail["From"].addresses[0].display_name == "Basar & Söhne"
    assert mail["From"].addresses[0].addr_spec == "portal@portal.example"
    assert mail["Reply-To"].addresses[0].addr_spec == "help@portal.example"
    assert mail["Date"].datetime.tzinfo is not None and mail["Auto-Submitted"] == "auto-generated"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None and html is not None
    assert "was changed on 15 January 2027, 12:00 UTC" in plain.get_content()
    assert "http://localhost/profile" in plain.get_content() and "Basar & Söhne" in plain.get_content()
    assert "Basar &amp; Söhne" in html.get_content() and 'href="http://localhost/profile"' in html.get_content()
    row = db.session.scalars(select(SentMail)).one()
    assert (row.state, row.body_text, row.body_html) == ("sent", None, None)


def test_a_cause_mails_once(inbox: Inbox) -> None:
    assert [send(), send(), send(cause="another")] == [True, False, True]
    jobs.run_all()
    jobs.run_all()
    assert len(inbox.mails) == 2
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 2


def test_when_the_answer_is_lost_it_goes_again_with_the_same_id(inbox: Inbox) -> None:
    inbox.lose_answers = 1
    send()
    jobs.run_all()
    job = db.session.scalars(select(OutboxJob)).one()
    assert (job.state, job.attempts) == ("pending", 1)
    with unit_of_work() as session:
        session.get_one(OutboxJob, job.id).run_at = clock.wall()
    jobs.run_all()
    first, second = inbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Message-ID"].endswith("@portal.example>")
    db.session.expire_all()
    assert db.session.scalars(select(SentMail.state)).one() == "sent"


def test_a_mail_that_was_sent_is_not_sent_by_a_job_that_runs_again(inbox: Inbox) -> None:
    from portal.notifications import flows

    send()
    jobs.run_all()
    flows.deliver(db.session.scalars(select(SentMail.id)).one())
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    "name",
    ["Alice\r\nBcc: all@example.com", "Alice\nSubject: hi", 'Al"ice" <x@example.com>', "Zoë, Ltd.", "x" * 500, "李"],
)
def test_a_name_injects_nothing(inbox: Inbox, name: str) -> None:
    send(to=Recipient("alice@example.com", name, "en"))
    jobs.run_all()
    [mail] = inbox.mails
    assert inbox.envelopes[0].rcpt_tos == ["alice@example.com"]
    assert mail["Bcc"] is None and mail["Subject"] == "Your password was changed"
    assert [address.addr_spec for address in mail["To"].addresses] == ["alice@example.com"]
    assert mail["To"].addresses[0].display_name == " ".join(name.split())[:120]


def test_words_of_vendors_are_words_in_html(inbox: Inbox) -> None:
    send("email_changed", new_email="<script>alert(1)</script>@example.com")
    jobs.run_all()
    html = inbox.mails[0].get_body(("html",))
    assert html is not None and "<script>" not in html.get_content()


def test_without_a_mail_server_the_words_are_kept(app: Flask) -> None:
    send()
    jobs.run_all()
    row = db.session.scalars(select(SentMail)).one()
    assert (row.state, row.subject) == ("kept", "Your password was changed")
    assert "Hello Alice Owner," in (row.body_text or "") and "<!doctype html>" in (row.body_html or "")


def test_the_recipients_language_and_not_the_readers_is_used(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "de"}):
        send(to=Recipient("a@example.com", "A", "en"))
        jobs.run_all()
    assert "15 January 2027" in (db.session.scalars(select(SentMail)).one().body_text or "")


def test_a_german_mail_has_german_dates(app: Flask) -> None:
    send(to=Recipient("a@example.com", "A", "de"))
    jobs.run_all()
    assert "15. Januar 2027" in (db.session.scalars(select(SentMail)).one().body_text or "")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("no_such_mail", {}),
        ("password_changed", {}),
        ("password_changed", {"at": "yesterday"}),
        ("password_changed", {"at": "2027-01-15T12:00:00"}),
        ("password_changed", {"at": WHEN.isoformat(), "link": "https://secret"}),
        ("verification", {"user_id": "1"}),
        ("tier_changed", {"vendor_code": "a", "vendor_name": "A", "before": "b", "after": "c", "by": "d", "due": 4900}),
    ],
)
def test_what_a_mail_cannot_be_written_from_is_refused_at_once(app: Flask, kind: str, params: dict[str, Any]) -> None:
    with pytest.raises(WrongMailError), unit_of_work():
        notifications.send(kind, ALICE, dedupe_key="x", vendor_id=None, now=WHEN, **params)
    assert db.session.scalars(select(SentMail)).all() == []


def test_a_mail_is_written_with_its_cause(app: Flask) -> None:
    with pytest.raises(RuntimeError), unit_of_work():
        notifications.send("password_changed", ALICE, dedupe_key="x", vendor_id=None, now=WHEN, at=WHEN.isoformat())
        raise RuntimeError("the cause failed")
    assert db.session.scalars(select(SentMail)).all() == []
    with pytest.raises(UnitOfWorkError):
        notifications.send("password_changed", ALICE, dedupe_key="x", vendor_id=None, now=WHEN, at=WHEN.isoformat())

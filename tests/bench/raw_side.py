"""The floor's own process, and the statements it repeats: those that the product was seen to execute."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from unittest.mock import patch

from flask import Flask
from flask.testing import FlaskClient
from psycopg.types.json import Jsonb
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.engine import Engine

from portal.gateways import stripe
from portal.kit import clock
from portal.kit.db import db
from portal.kit.lines import Line
from portal.stripe_events import arrival
from tests.bench import events
from tests.bench.ground import Ground
from tests.bench.portal_side import PATH
from tests.bench.processes import ROOT, clean_environment

SAMPLE = "evt_bench_sample"


def capture(app: Flask, template: dict[str, Any]) -> dict[str, Any]:
    """The statements with which the inbox stores one event, with their parameters. Nothing is left of the event."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, {name: plain(value) for name, value in parameters.items()}))

    with app.app_context():
        event = {**template, "id": SAMPLE}
        sqlalchemy_event.listen(db.engine, "before_cursor_execute", note)
        arrival.receive(event, events.body_of(event), now=clock.business())
        sqlalchemy_event.remove(db.engine, "before_cursor_execute", note)
        db.session.remove()
        _forget(db.engine)
    return {"sample": SAMPLE, "statements": seen}


def plain(value: Any) -> Any:
    """What psycopg would send: JSON as its text, times as theirs."""
    if isinstance(value, Jsonb):
        return json.dumps(value.obj)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, int | str) else str(value)


@dataclass(frozen=True)
class Sent:
    """What one request sends to the database: its statements, and whether its connection was asked if it lives."""

    statements: int
    pings: int


def count_in_request(app: Flask, template: dict[str, Any]) -> Sent:
    """Counted over a real request, with no Stripe configured: one that called Stripe would fail.

    Raises RuntimeError when the event is not taken. Nothing is left of it.
    """
    with app.app_context():
        engine = db.engine
    client, gateway = app.test_client(), stripe._gateway
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    stripe.configure("", "", 0)
    try:
        answers = [_send(client, template, "first")]  # a pool without a connection has nothing to ping
        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        with patch.object(Line, "lives", return_value=True) as ping:
            answers.append(_send(client, template, "counted"))
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    finally:
        stripe._gateway = gateway
    if answers != [200, 200]:
        raise RuntimeError(f"events were answered with {answers}")
    _forget(engine)
    return Sent(len(seen), ping.call_count)


def _send(client: FlaskClient, template: dict[str, Any], number: str) -> int:
    body, headers = events.signed(events.numbered(template, number))
    return client.post(PATH, data=body, headers=headers).status_code


def _forget(engine: Engine) -> None:
    """Other figures copy this database, and would have to apply these events."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox_jobs WHERE dedupe_key LIKE 'stripe-event:evt_bench_%'"))
        connection.execute(text("DELETE FROM webhook_events WHERE stripe_event_id LIKE 'evt_bench_%'"))
    engine.dispose()


class RawProcess:
    """Told how many events to store; measured only while it stores them."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.pid = child.pid
        self._in: IO[str] = child.stdin  # type: ignore[assignment]
        self._out: IO[str] = child.stdout  # type: ignore[assignment]

    def prepare(self, count: int, prefix: str) -> None:
        """Make the parameters. Raises RuntimeError when the process has died."""
        self._say(f"{count} {prefix}")
        if self._out.readline().strip() != "ready":
            raise RuntimeError("the raw process died; its error stands above")

    def perform(self) -> float:
        """Store them; seconds of the wall clock."""
        self._say("go")
        return float(self._out.readline())

    def _say(self, line: str) -> None:
        self._in.write(line + "\n")
        self._in.flush()


@contextmanager
def running(ground: Ground, database: str, captured: dict[str, Any]) -> Iterator[RawProcess]:
    """The process, on a database with the product's schema."""
    file = ground.folder / f"statements-{database}.json"
    file.write_text(json.dumps(captured))
    command = [sys.executable, "-m", "tests.bench.raw_statement", ground.url(database), str(file)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=clean_environment()
    )
    try:
        yield RawProcess(child)
    finally:
        child.terminate()
        child.wait(timeout=15)

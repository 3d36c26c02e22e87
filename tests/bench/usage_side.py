"""The portal as programs meet it: a web process for a platform's requests, and the statements that they cause."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from subprocess import Popen
from typing import Any

from flask import Flask
from sqlalchemy import event, text

from portal.catalog.rules import Metric
from portal.entitlements import metering
from portal.entitlements.state import state
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.usage.many import Columns
from tests.bench import load, portal_side, raw_side
from tests.bench.ground import Ground
from tests.bench.processes import free_port, web
from tests.bench.vendors import Cast
from tests.support import programs
from tests.support.stories import Somebody

EVENTS, CHECK = "/api/v1/usage/events", "/api/v1/entitlements/check"
#: Counted by months and in no tier's limits: alerts, which are told once a month, would only disturb the first rounds.
METRIC = Metric.CONVERSATIONS
SAMPLE = raw_side.SAMPLE


def make_key(app: Flask) -> str:
    """A platform's key in the seed, which every database is copied from."""
    with app.app_context():
        text = programs.key(None, name="bench")
        db.session.remove()
        db.engine.dispose()
    return text


@contextmanager
def serving(ground: Ground, database: str, target: str = "wsgi:app") -> Iterator[tuple[int, Popen[bytes]]]:
    """The web process; requests are counted as in life, with a limit that the bench does not reach."""
    port = free_port()
    told = portal_side.environment(ground, database, port, data=ground.folder / f"web-{database}-{port}")
    told["API_REQUESTS_PER_MINUTE"] = "100000000"
    with web(target, port, told, ground.folder / f"web-{database}.log") as server:
        yield port, server


def capture(app: Flask, cast: Cast, key: str, events: int) -> dict[str, Any]:
    """What the portal sends to the database for a report of so many events, for each vendor; nothing is left of it."""
    seen = partial(_of_one, app, key) if events == 1 else partial(_of_many, app, events)
    each = [seen(somebody) for somebody in cast.vendors]
    with app.app_context():
        with db.engine.begin() as connection:
            for table in ("usage_events", "usage_counters", "usage_daily"):
                connection.execute(text(f"DELETE FROM {table} WHERE metric = :metric"), {"metric": METRIC})
        db.session.remove()
        db.engine.dispose()
    return {"sample": SAMPLE, "statements": each[0], "each": each}


Seen = list[tuple[str, dict[str, Any]]]


def _of_one(app: Flask, key: str, somebody: Somebody) -> Seen:
    """Of a real request, since its statement looks who calls; the caller and its noted use are known before."""
    client, headers = app.test_client(), programs.bearer(key, somebody.code)
    for number in ("first", "known", "0000"):
        with _seen(app) as seen:
            answer = client.post(EVENTS, json={"key": f"{SAMPLE}-{number}", "metric": METRIC}, headers=headers)
    if answer.status_code != 200 or len(seen) != 1:
        raise RuntimeError(f"the sample was answered {answer.status_code}, with {len(seen)} statements")
    return seen


def _of_many(app: Flask, events: int, somebody: Somebody) -> Seen:
    keys, same = [f"{SAMPLE}-{n:04}" for n in range(events)], [None] * events
    with app.app_context(), tenancy.scoped(somebody.id):
        now = clock.business()
        held = state(somebody.id, now, metrics=[METRIC])  # comes with the caller
        db.session.rollback()
        sent = Columns(keys, [METRIC] * events, [1] * events, same, same)
        if not metering.plain(sent, held, now):
            raise RuntimeError("the sample does not go the short way")
        with _seen(app) as seen:
            metering.record_plain(somebody.id, sent, held, now=now)
    return seen


@contextmanager
def _seen(app: Flask) -> Iterator[Seen]:
    seen: Seen = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        seen.extend((statement, {name: raw_side.plain(value) for name, value in row.items()}) for row in rows)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def post(port: int, path: str, key: str, code: str, body: Any) -> bytes:
    """A request of the platform's, ready to be sent."""
    headers = {"Authorization": f"Bearer {key}", "X-Vendor": code, "Content-Type": "application/json"}
    return load.request("POST", path, port, headers, json.dumps(body, separators=(",", ":")).encode())

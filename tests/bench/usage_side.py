"""The portal as programs meet it: a web process for a platform's requests, and the statements that they cause."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from subprocess import Popen
from typing import Any

from flask import Flask
from sqlalchemy import event as sqlalchemy_event

from portal.catalog.rules import Metric
from portal.entitlements import metering
from portal.entitlements.rules import State
from portal.entitlements.state import state
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.usage.rules import Event
from tests.bench import load, portal_side, raw_side
from tests.bench.ground import Ground
from tests.bench.processes import free_port, web
from tests.bench.vendors import Cast
from tests.support import programs

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


def capture(app: Flask, cast: Cast, events: int) -> dict[str, Any]:
    """What the portal sends to the database for a report of so many events, for each vendor; nothing is left of it."""
    each = []
    with app.app_context():
        for somebody in cast.vendors:
            with tenancy.scoped(somebody.id):
                held = state(somebody.id, clock.business(), metrics=[METRIC])  # comes with the caller
                each.append(
                    _seen(
                        partial(_report_one, somebody.id, held)
                        if events == 1
                        else partial(_report, somebody.id, events)
                    )
                )
        db.session.remove()
        db.engine.dispose()
    return {"sample": SAMPLE, "statements": each[0], "each": each}


class _Enough(Exception):
    """Seen what was to be seen: undo it."""


def _report_one(vendor_id: int, held: State, now: datetime) -> None:
    result = metering.record_one(vendor_id, Event(f"{SAMPLE}-0000", METRIC, 1, now), held, now=now)
    if result is None or result.outcome != "counted":
        raise RuntimeError(f"the sample was not counted: {result}")


def _report(vendor_id: int, events: int, now: datetime) -> None:
    sent = [Event(f"{SAMPLE}-{n:04}", METRIC, 1, now) for n in range(events)]
    results = metering.record_batch(vendor_id, sent, now=now)
    if any(result.outcome != "counted" for result in results):
        raise RuntimeError(f"the sample was not counted: {results[0]}")


def _seen(act: Callable[[datetime], None]) -> list[tuple[str, dict[str, Any]]]:
    seen: list[tuple[str, dict[str, Any]]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        seen.extend((statement, {name: raw_side.plain(value) for name, value in row.items()}) for row in rows)

    sqlalchemy_event.listen(db.engine, "before_cursor_execute", note)
    with suppress(_Enough), unit_of_work():
        act(clock.business())
        raise _Enough
    sqlalchemy_event.remove(db.engine, "before_cursor_execute", note)
    return seen


def post(port: int, path: str, key: str, code: str, body: Any) -> bytes:
    """A request of the platform's, ready to be sent."""
    headers = {"Authorization": f"Bearer {key}", "X-Vendor": code, "Content-Type": "application/json"}
    return load.request("POST", path, port, headers, json.dumps(body, separators=(",", ":")).encode())

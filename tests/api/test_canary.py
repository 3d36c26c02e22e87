"""A key and a signing secret are found nowhere after they were shown: logs, tables, pages, answers, errors."""

import logging
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from config import Config
from portal.gateways import outgoing
from portal.kit import jobs, log
from portal.kit.db import Base, db
from tests.notifications.receiver import running
from tests.support import people
from tests.support.people import post
from tests.support.programs import altered, bearer
from tests.web.test_api_keys import KEY, WHOLE_KEY, WHOLE_SECRET

pytestmark = pytest.mark.usefixtures("unscoped")


class Heard(logging.Handler):
    """Everything that is logged, at any level."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.__dict__))


def stored() -> str:
    """Every value of every table."""
    with db.engine.connect() as connection:
        return "\n".join(
            repr(tuple(row))
            for table in Base.metadata.sorted_tables
            for row in connection.execute(text(f'SELECT * FROM "{table.name}"'))
        )


def test_secrets_are_shown_once_and_found_nowhere(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Used rightly, wrongly, with a fault inside, and for a webhook. Tried once with the key in an audit entry."""
    heard, root = Heard(), logging.getLogger()
    log.configure("json", "DEBUG")
    root.addHandler(heard)
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    try:
        with running() as receiver:
            who = people.sign_up(client, tier="business")
            here = f"/vendor/{who.code}/api-keys"
            key = re.findall(WHOLE_KEY, post(client, f"{here}/new", KEY).get_data(as_text=True))[0]
            made = post(client, f"{here}/webhooks/new", {"url": receiver.url}).get_data(as_text=True)
            secret = re.findall(WHOLE_SECRET, made)[0]
            answers = use(client, key, who.code, monkeypatch)
            jobs.run_all()
            answers += [client.get(path).get_data(as_text=True) for path in (here, "/dashboard", f"{here}/deliveries")]
            sent = "\n".join(repr(got) for got in receiver.got)
        places = {"logs": "\n".join(heard.lines), "tables": stored(), "answers": "\n".join(answers), "webhooks": sent}
    finally:
        root.removeHandler(heard)
        log.configure("console", "ERROR")
        outgoing.configure(Config())
    assert len(heard.lines) > 3 and len(places["tables"]) > 1000
    for place, found in places.items():
        assert key[21:] not in found, place
        assert secret.removeprefix("whsec_") not in found, place


def use(client: FlaskClient, key: str, code: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requests that succeed, are refused, and fail inside."""
    event = {"key": "order-1", "metric": "orders", "quantity": 1000}
    sent = [
        ("/api/v1/usage/events", event, bearer(key)),
        ("/api/v1/usage/events", {"nonsense": key[:20]}, bearer(key)),
        ("/api/v1/usage/events", event, bearer(altered(key))),
        ("/api/v1/usage/events", event, bearer(key, "nobody")),
        ("/api/v1/entitlements/check", {"metric": "orders", "take": True, "key": "k"}, bearer(key)),
    ]
    answers = [client.post(path, json=body, headers=headers).get_data(as_text=True) for path, body, headers in sent]
    from portal.entitlements import metering
    from portal.usage import single

    with monkeypatch.context() as broken:
        broken.setattr(metering, "record_batch", lambda *_, **__: 1 / 0)
        broken.setattr(single, "record", lambda *_, **__: 1 / 0)  # PostgreSQL's way for one event
        failed = client.post("/api/v1/usage/events", json={**event, "key": "order-2"}, headers=bearer(key))
    assert failed.status_code == 500
    return [*answers, failed.get_data(as_text=True)]

"""A question that was answered before is answered again without Flask: nobody may notice that, except by the clock.

The professional tier allows 500 orders a month. On SQLite every question goes the usual way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text as sql
from werkzeug.test import TestResponse

from portal.kit import clock
from portal.kit.db import db
from portal.web.kit.rates import Rates
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import bearer, key
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
CHECK, RIGHTS = "/api/v1/entitlements/check", "/api/v1/entitlements"
ORDERS = {"metric": "orders"}
Ask = Callable[..., TestResponse]
#: Headers that two answers to one question need not share.
OWN = {"X-Request-Id", "RateLimit-Remaining", "RateLimit-Reset"}


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="professional")


@pytest.fixture
def ask(client: FlaskClient, ada: Someone) -> Ask:
    """The question whether one order more may come; asked before by the connection that stays."""
    headers = bearer(key(None), ada.code)

    def send(**more: str) -> TestResponse:
        return client.post(CHECK, json=ORDERS, headers=headers | more)

    send()
    send()
    if db.engine.dialect.name == "sqlite":
        pytest.skip("on SQLite nothing is answered again")
    return send


@contextmanager
def usual_way(app: Flask) -> Iterator[list[str]]:
    """The requests that Flask makes while this block runs."""
    seen: list[str] = []

    def note() -> None:
        seen.append("a request")

    app.before_request_funcs[None].insert(0, note)
    app._plans.clear()  # type: ignore[attr-defined]
    try:
        yield seen
    finally:
        app.before_request_funcs[None].remove(note)
        app._plans.clear()  # type: ignore[attr-defined]


@contextmanager
def limited(client: FlaskClient, a_minute: int) -> Iterator[None]:
    """Requests are counted, of a platform ten times so many."""
    app = client.application
    config = app.extensions["portal_config"]
    config.ratelimit_enabled, config.api_requests_per_minute = True, a_minute
    app.extensions["portal_rates"] = Rates(None)
    try:
        with time_machine.travel(clock.wall().replace(second=10), tick=False):
            yield
    finally:
        config.ratelimit_enabled, config.api_requests_per_minute = False, 600


def now_used(number: int) -> None:
    """So much is used, says another process."""
    with db.engine.begin() as connection:
        connection.execute(sql("UPDATE usage_counters SET used = :number WHERE metric = 'orders'"), {"number": number})


@pytest.fixture
def with_a_counter(client: FlaskClient, ask: Ask, ada: Someone) -> Ask:
    """One order has come."""
    client.post("/api/v1/usage/events", json={"key": "a"} | ORDERS, headers=bearer(key(None), ada.code))
    assert ask().get_json()["usage"] == 1
    return ask


def test_it_looks_like_any_other_answer(ask: Ask, client: FlaskClient) -> None:
    """Its headers are those of one that Flask made. Tried without keeping those: the policy is missing."""
    with limited(client, 60):
        with usual_way(client.application) as seen:
            again = ask()
        assert seen == []
        with usual_way(client.application) as seen:
            made = ask(**{"Idempotency-Key": "looked at anew"})
        assert len(seen) == 1
    assert again.data == made.data and again.status == made.status
    assert {n: v for n, v in again.headers if n not in OWN} == {n: v for n, v in made.headers if n not in OWN}
    assert sorted(name for name, _ in again.headers) == sorted(name for name, _ in made.headers)
    assert again.headers["Content-Security-Policy"] and again.headers["RateLimit-Limit"] == "600"


def test_each_answer_has_its_request_id(ask: Ask) -> None:
    assert ask(**{"X-Request-Id": "abc123"}).headers["X-Request-Id"] == "abc123"
    ids = [ask(**{"X-Request-Id": wrong}).headers["X-Request-Id"] for wrong in ("no/id", "x" * 33)] + [
        ask().headers["X-Request-Id"]
    ]
    assert len(set(ids)) == 3 and all(len(each) == 16 for each in ids)


def test_usage_that_moves_is_in_the_next_answer_and_the_limit_holds(with_a_counter: Ask, client: FlaskClient) -> None:
    """500 are allowed, and one is asked for. One statement each, without Flask."""
    told = []
    for used in (1, 499, 500, 7):
        now_used(used)
        with usual_way(client.application) as requests, counted(db.engine) as statements:
            answer = with_a_counter()
        assert requests == [] and len(statements) == 1
        assert answer.content_length == len(answer.data)
        told.append(answer.get_json())
    assert [(each["usage"], each["allowed"], each["left"]) for each in told] == [
        (1, True, 499), (499, True, 1), (500, False, 0), (7, True, 493),
    ]  # fmt: skip
    assert told[2]["code"] == "limit_reached" and "/plans" in told[2]["next_url"] and told[3]["next_url"] is None


def test_a_month_that_ends_begins_anew(with_a_counter: Ask) -> None:
    """Orders are counted by the month."""
    told = []
    for days in (20, 20, 32, 32):
        with time_machine.travel(clock.wall() + timedelta(days=days)):
            told.append(with_a_counter().get_json()["usage"])
    assert told == [1, 1, 0, 0]


def test_requests_that_are_answered_again_are_counted_and_have_an_end(ask: Ask, client: FlaskClient) -> None:
    """60 a minute from the platform. Tried without counting: then all pass."""
    with limited(client, 6), usual_way(client.application) as seen:
        answers = [ask() for _ in range(62)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429] * 2
    assert [int(answer.headers["RateLimit-Remaining"]) for answer in answers] == [*range(59, -1, -1), 0, 0]
    assert answers[-1].headers["Retry-After"] == "50"
    assert len(seen) == 2


def test_a_refusal_takes_one_statement_too(ask: Ask, client: FlaskClient) -> None:
    with limited(client, 0), counted(db.engine) as statements:
        assert ask().status_code == 429
    assert len(statements) == 1


def test_they_are_measured(ask: Ask, client: FlaskClient) -> None:
    def told() -> float:
        wanted = f'portal_requests_total{{method="POST",route="{CHECK}",status="200"}}'
        lines = client.get("/metrics").get_data(as_text=True).splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(wanted))

    before = told()
    with usual_way(client.application) as seen:
        ask()
    assert told() == before + 1 and seen == []


def test_the_use_of_the_key_is_noted_though(ask: Ask) -> None:
    """Once a minute. Tried without looking for it: then never again."""

    def noted() -> object:
        with db.engine.connect() as connection:
            return connection.scalar(sql("SELECT last_used_at FROM api_keys"))

    before = noted()
    with time_machine.travel(clock.wall() + timedelta(seconds=61)):
        ask()
    assert before is not None and noted() != before


def test_connections_that_broke_are_made_anew(ask: Ask) -> None:
    """The server ends them all: the next answer comes by a new one, and is proved by it."""
    with db.engine.connect() as connection:
        connection.execute(
            sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()")
        )  # fmt: skip
    assert [ask().status_code for _ in range(3)] == [200] * 3


def test_asking_for_the_head_alone_brings_no_body(client: FlaskClient, ada: Someone) -> None:
    headers = bearer(key(ada.vendor_id))
    bodies = [client.open(RIGHTS, method=method, headers=headers).data for method in ("HEAD", "GET", "HEAD", "GET")]
    assert [bool(body) for body in bodies] == [False, True, False, True] and bodies[1] == bodies[3]

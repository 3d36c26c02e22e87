"""Asking the gate by program (LIM-1, LIM-2): asking changes nothing, taking counts, a refusal says what helps.

The professional tier allows 500 orders a month, essential 100.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from portal.usage.models import UsageCounter, UsageEvent
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import bearer, key
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
CHECK = "/api/v1/entitlements/check"


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="professional")


@pytest.fixture
def ask(client: FlaskClient, ada: Someone) -> Callable[..., TestResponse]:
    """Ask for Ada's vendor with the platform's key."""
    text = key(None)

    def send(path: str = CHECK, **body: Any) -> TestResponse:
        return client.post(path, json=body, headers=bearer(text, ada.code))

    return send


def used(who: Someone, number: int) -> None:
    with unit_of_work():
        gate.admit(who.vendor_id, Metric.ORDERS, number, key=f"used-{number}", now=clock.business())


def orders(who: Someone) -> int:
    db.session.rollback()
    statement = select(UsageCounter.used).where(
        UsageCounter.vendor_id == who.vendor_id, UsageCounter.metric == "orders"
    )
    return db.session.scalar(statement) or 0


def test_what_the_vendor_may_do(client: FlaskClient, ada: Someone) -> None:
    for path in ("/api/v1/entitlements", "/api/v1/entitlements/"):
        told = client.get(path, headers=bearer(key(None), ada.code)).get_json()
        assert (told["vendor"], told["standing"], told["limits"]["orders"]) == (ada.code, "trial", 500)
        assert told["sources"]["orders"] == "tier"
        assert "api_access" not in told["features"]
        assert told["period"]["start"] < told["period"]["end"]
        assert told["version"] >= 1


def test_asking_changes_nothing(ask: Callable[..., TestResponse], ada: Someone) -> None:
    used(ada, 499)
    for _ in range(3):
        told = ask(metric="orders").get_json()
        assert (told["allowed"], told["usage"], told["limit"], told["left"]) == (True, 499, 500, 1)
        assert (told["taken"], told["code"], told["next_url"]) == (False, None, None)
    assert orders(ada) == 499


def test_too_much_is_said_without_an_error(ask: Callable[..., TestResponse], ada: Someone) -> None:
    """499 + 2 = 501 is one too many."""
    used(ada, 499)
    answer = ask(metric="orders", quantity=2)
    told = answer.get_json()
    assert (answer.status_code, told["allowed"], told["code"], told["left"]) == (200, False, "limit_reached", 1)
    assert told["next_url"] == f"http://localhost/vendor/{ada.code}/plans"


def test_taking_counts_once_for_its_key(ask: Callable[..., TestResponse], ada: Someone) -> None:
    first = ask(metric="orders", take=True, key="order-1").get_json()
    again = ask(metric="orders", take=True, key="order-1").get_json()
    assert (first["taken"], first["usage"], first["replayed"]) == (True, 1, False)
    assert (again["taken"], again["usage"], again["replayed"]) == (True, 1, True)
    assert orders(ada) == 1
    other = ask(metric="orders", quantity=2, take=True, key="order-1")
    assert (other.status_code, other.get_json()["code"]) == (409, "key_reused")


def test_the_header_names_what_is_taken_where_the_body_does_not(
    client: FlaskClient, ask: Callable[..., TestResponse], ada: Someone
) -> None:
    sent = {**bearer(key(None), ada.code), "Idempotency-Key": "order-9"}
    answers = [client.post(CHECK, json={"metric": "orders", "take": True}, headers=sent).get_json() for _ in range(2)]
    assert [each["replayed"] for each in answers] == [False, True]
    assert orders(ada) == 1


def test_at_the_limit_taking_is_refused_with_what_helps(ask: Callable[..., TestResponse], ada: Someone) -> None:
    used(ada, 500)
    answer = ask(metric="orders", take=True, key="order-1")
    told = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")
    assert (told["code"], told["metric"], told["limit"], told["usage"]) == ("limit_reached", "orders", 500, 500)
    assert told["upgrade"] == {"tier": "business", "name": "Business", "limit": 2000}
    assert told["next_url"] == f"http://localhost/vendor/{ada.code}/plans"
    assert orders(ada) == 500


def test_many_at_once_take_exactly_what_fits(client: FlaskClient, ada: Someone) -> None:
    """500 − 495 = 5 of 16 get in; the gate's own race test is in tests/entitlements."""
    used(ada, 495)
    text, app = key(None), client.application

    def take(number: int) -> int:
        body = {"metric": "orders", "take": True, "key": f"order-{number}"}
        return app.test_client().post(CHECK, json=body, headers=bearer(text, ada.code)).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(take, range(16)))
    assert sorted(statuses) == [200] * 5 + [403] * 11
    assert orders(ada) == 500


@pytest.mark.parametrize(
    ("feature", "level", "allowed", "held"),
    [
        ("analytics", None, True, "advanced"),
        ("analytics", "basic", True, "advanced"),
        ("analytics", "advanced", True, "advanced"),
        ("support", "dedicated", False, "priority"),
        ("white_label", None, False, None),
    ],
)
def test_features(
    ask: Callable[..., TestResponse], feature: str, level: str | None, allowed: bool, held: str | None
) -> None:
    told = ask(feature=feature, **({"level": level} if level else {})).get_json()
    assert (told["allowed"], told["level"]) == (allowed, held)
    assert (told["code"] is None) == allowed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"metric": "orders", "feature": "support"}, "body"),
        ({"metric": "no_such"}, "metric"),
        ({"metric": 7}, "metric"),
        ({"feature": "no_such"}, "feature"),
        ({"metric": "orders", "quantity": 0}, "quantity"),
        ({"metric": "orders", "quantity": -1}, "quantity"),
        ({"metric": "orders", "quantity": 1.5}, "quantity"),
        ({"metric": "orders", "quantity": True}, "quantity"),
        ({"metric": "orders", "quantity": 10**30}, "quantity"),
        ({"metric": "orders", "vendor_id": 1}, "vendor_id"),
        ({"metric": "orders", "take": True}, "key"),
        ({"metric": "orders", "take": True, "key": ""}, "key"),
        ({"metric": "orders", "take": True, "key": "x" * 121}, "key"),
        ({"metric": "orders", "take": True, "key": "a\u0000b"}, "key"),
        ({"metric": "orders", "take": True, "key": "\ud800"}, "key"),
        ({"feature": "support", "take": True, "key": "k"}, "take"),
        ({"metric": "team_members", "take": True, "key": "k"}, "metric"),
    ],
)
def test_what_is_no_question_is_refused_at_its_field(
    ask: Callable[..., TestResponse], ada: Someone, body: dict[str, Any], field: str
) -> None:
    answer = ask(**body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field]), answer.get_json()
    assert db.session.scalars(select(UsageEvent).where(UsageEvent.metric != "team_members")).all() == []


def test_a_closed_vendor_takes_nothing(ask: Callable[..., TestResponse], ada: Someone) -> None:
    with unit_of_work():
        lock(ada.vendor_id).status = Status.SUSPENDED
    for body in ({"metric": "orders"}, {"metric": "orders", "take": True, "key": "order-1"}):
        answer = ask(**body)
        assert (answer.status_code, answer.get_json()["code"]) == (402, "SUSPENDED")
    assert orders(ada) == 0


def test_scopes_divide_asking_from_taking(client: FlaskClient, ada: Someone) -> None:
    reads, writes = key(None, "entitlements:read"), key(None, "usage:write")
    asked, taken = {"metric": "orders"}, {"metric": "orders", "take": True, "key": "k"}

    def status(text: str, body: dict[str, Any]) -> int:
        return client.post(CHECK, json=body, headers=bearer(text, ada.code)).status_code

    assert [status(reads, asked), status(reads, taken), status(writes, asked), status(writes, taken)] == [
        200, 403, 403, 200,
    ]  # fmt: skip


@pytest.mark.parametrize("metric", ["orders", "products"])
def test_a_question_takes_one_statement_with_everything(
    client: FlaskClient, ada: Someone, ask: Callable[..., TestResponse], metric: str
) -> None:
    """P7: key, vendor, standing, rights and counter, also when the rights are not known to the process yet."""
    from portal.accounts import callers

    used(ada, 7)
    ask(metric=metric)  # notes that the key was used
    for known in (True, False):
        if not known:
            callers.forget()
        with counted(db.engine) as seen:
            told = ask(metric=metric).get_json()
        assert len(seen) == 1
        assert told["usage"] == {"orders": 7, "products": 0}[metric]


def test_the_counter_is_that_of_the_running_month(ask: Callable[..., TestResponse], ada: Someone, travel: Any) -> None:
    """A trial of 14 days from 15 January: what was used in it counts until it ends, and is never read from before."""
    used(ada, 7)
    travel.on(days=13)
    assert ask(metric="orders").get_json()["usage"] == 7

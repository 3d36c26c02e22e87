"""Usage by program (LIM-3): events by key, batches with faults among them, levels, days, hostile requests."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from portal.kit import clock
from portal.kit.db import db
from portal.usage.models import UsageAlert, UsageCounter, UsageDaily, UsageEvent
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import bearer, key

pytestmark = pytest.mark.usefixtures("unscoped")
EVENTS, LEVELS, NOW, HISTORY = (
    "/api/v1/usage/events", "/api/v1/usage/levels", "/api/v1/usage", "/api/v1/usage/history"
)  # fmt: skip


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="professional")


@pytest.fixture
def send(client: FlaskClient, ada: Someone) -> Callable[..., TestResponse]:
    """Send a body as the platform, for Ada's vendor."""
    text = key(None)

    def request(body: Any, path: str = EVENTS, method: str = "POST", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(path, method=method, json=body, headers={**bearer(text, ada.code), **named})

    return request


def meter(client: FlaskClient, who: Someone, metric: str) -> dict[str, Any]:
    told = client.get(NOW, headers=bearer(key(None, "usage:read"), who.code)).get_json()
    return next(item for item in told["items"] if item["metric"] == metric)


def rows(model: Any) -> int:
    """Of what programs report; the owner's seat is counted by the portal itself."""
    db.session.rollback()
    statement = select(func.count()).select_from(model).where(model.metric != "team_members")
    return int(db.session.scalar(statement) or 0)


@pytest.mark.parametrize("path", [EVENTS, EVENTS + "/"])
def test_one_event_counts_once(client: FlaskClient, ada: Someone, send: Callable[..., TestResponse], path: str) -> None:
    event = {"key": "order-1", "metric": "orders", "quantity": 2, "subject": "Order 1"}
    assert send(event, path).get_json() == {"received": 1, "counted": 1, "known": 0, "refused": 0, "problems": []}
    assert send(event, path).get_json() == {"received": 1, "counted": 0, "known": 1, "refused": 0, "problems": []}
    told = meter(client, ada, "orders")
    assert (told["usage"], told["limit"], told["left"], told["per_period"]) == (2, 500, 498, True)


def test_one_event_that_crosses_a_line_counts_together_with_its_alert(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 500 orders is 250. Tried on PostgreSQL without the transaction: then 250 stood there, and no alert."""
    event = {"key": "many", "metric": "orders", "quantity": 250}
    with monkeypatch.context() as broken:
        broken.setattr("portal.entitlements.alerts._publish", lambda *_: 1 / 0)
        assert send(event).status_code == 500
    assert (rows(UsageEvent), rows(UsageCounter), rows(UsageDaily), rows(UsageAlert)) == (0, 0, 0, 0)
    assert send(event).get_json()["counted"] == 1
    assert (rows(UsageEvent), rows(UsageCounter), rows(UsageDaily), rows(UsageAlert)) == (1, 1, 1, 1)


def test_a_key_says_one_thing(client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]) -> None:
    """Also where no limit could be crossed: conversations are in no tier."""
    event = {"key": "talk", "metric": "conversations"}
    assert [send(event).get_json()["counted"] for _ in range(2)] == [1, 0]
    assert send({**event, "quantity": 2}).get_json()["code"] == "key_reused"
    assert (rows(UsageEvent), rows(UsageCounter), rows(UsageDaily)) == (1, 1, 1)


def test_a_thousand_at_once(client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]) -> None:
    events = [{"key": f"order-{n}", "metric": "orders"} for n in range(1000)]
    assert send({"events": events}).get_json()["counted"] == 1000
    assert meter(client, ada, "orders")["usage"] == 1000, "what happened is counted beyond the limit of 500 too"
    assert send({"events": events}).get_json()["known"] == 1000
    assert meter(client, ada, "orders")["usage"] == 1000


def test_good_ones_count_whatever_the_others_are(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]
) -> None:
    """Of eleven, one and a level count, one stands twice in the batch, eight are wrong; each named by its place."""
    now = clock.business()
    events = [
        {"key": "good", "metric": "orders", "quantity": 3},
        {"key": "good", "metric": "orders", "quantity": 3},
        {"key": "future", "metric": "orders", "at": (now + timedelta(hours=1)).isoformat()},
        {"key": "late", "metric": "orders", "at": (now - timedelta(days=40)).isoformat()},
        {"key": "negative", "metric": "orders", "quantity": -1},
        {"key": "what", "metric": "no_such"},
        {"key": "ours", "metric": "team_members"},
        "not even an object",
        {"key": "", "metric": "orders"},
        {"key": "level", "metric": "products", "quantity": 5},
        {"key": "naive", "metric": "orders", "at": "2027-01-15T12:00:00"},
    ]
    told = send({"events": events}).get_json()
    assert (told["received"], told["counted"], told["known"], told["refused"]) == (11, 2, 1, 8)
    assert [(each["index"], each["code"]) for each in told["problems"]] == [
        (2, "in_future"), (3, "too_late"), (4, "wrong_quantity"), (5, "unknown_metric"), (6, "counted_here"),
        (7, "wrong_shape"), (8, "wrong_key"), (10, "wrong_shape"),
    ]  # fmt: skip
    assert (meter(client, ada, "orders")["usage"], meter(client, ada, "products")["usage"]) == (3, 5)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"key": "k", "metric": "orders", "at": "2099-01-01T00:00:00Z"}, "in_future"),
        ({"key": "k", "metric": "orders", "at": "0001-01-01T00:00:00+14:00"}, "too_late"),
        ({"key": "k", "metric": "orders", "at": "9999-12-31T23:59:59-14:00"}, "in_future"),
        ({"key": "k", "metric": "orders", "quantity": -3}, "wrong_quantity"),
        ({"key": "k", "metric": "orders", "quantity": 0}, "wrong_quantity"),
        ({"key": "k", "metric": "orders", "quantity": 10**40}, "wrong_quantity"),
        ({"key": "k", "metric": "products", "quantity": -3}, "below_zero"),
        ({"key": "k", "metric": "nothing"}, "unknown_metric"),
        ({"key": "k", "metric": "storage_gb"}, "counted_here"),
        ({"key": "a\u0000b", "metric": "orders"}, "wrong_key"),
        ({"key": "\ud800", "metric": "orders"}, "wrong_key"),
        ({"key": "k", "metric": "orders", "subject": "\udfff"}, "wrong_subject"),
        ({"key": "x" * 121, "metric": "orders"}, "wrong_key"),
    ],
)
def test_a_single_event_that_is_wrong_is_an_error(
    send: Callable[..., TestResponse], event: dict[str, Any], code: str
) -> None:
    answer = send(event)
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.get_json()["code"] == code
    assert (rows(UsageEvent), rows(UsageDaily)) == (0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ("text", "body"),
        (7, "body"),
        ({"events": "text"}, "events"),
        ({"events": []}, "events"),
        ({"events": [{"key": str(n), "metric": "orders"} for n in range(1001)]}, "events"),
        ({"events": [{"key": "a", "metric": "orders"}], "key": "b"}, "events"),
        ({}, "key"),
        ({"key": "k", "metric": "orders", "vendor_id": 7}, "vendor_id"),
        ({"key": "k", "metric": "orders", "quantity": "3"}, "quantity"),
        ({"key": "k", "metric": "orders", "quantity": 1.0}, "quantity"),
        ({"key": "k", "metric": "orders", "quantity": True}, "quantity"),
        ({"key": "k", "metric": "orders", "at": "yesterday"}, "at"),
        ({"key": "k", "metric": "orders", "at": 7}, "at"),
        ({"key": ["k"], "metric": "orders"}, "key"),
    ],
)
def test_what_is_no_report_is_refused_at_its_field(send: Callable[..., TestResponse], body: Any, field: str) -> None:
    answer = send(body)
    assert (answer.status_code, field in answer.get_json()["errors"]) == (422, True), answer.get_json()
    assert rows(UsageEvent) == 0


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 422),
        (b"key=k&metric=orders", "application/x-www-form-urlencoded", 415),
        (b'{"key":"k"}', "text/plain", 415),
        (b'{"events":[' + b" " * 10_000_000 + b"]}", "application/json", 413),
    ],
)
def test_bodies_that_are_no_request(client: FlaskClient, ada: Someone, data: bytes, kind: str, status: int) -> None:
    answer = client.post(EVENTS, data=data, headers=bearer(key(None), ada.code), content_type=kind)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.get_json()["status"] == status


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_with_those_there_are(client: FlaskClient, method: str) -> None:
    answer = client.open(EVENTS, method=method)
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v1/usage/events/7"])
def test_what_is_not_there_is_a_problem_too(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype, answer.get_json()["code"]) == (
        404, "application/problem+json", "not_found",
    )  # fmt: skip


def test_a_fault_of_ours_says_nothing_of_its_inside(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.entitlements import metering

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret place")

    for way in ("record_batch", "record_plain"):
        monkeypatch.setattr(metering, way, fails)
    answer = send({"events": [{"key": "k", "metric": "orders"}]})
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "secret place" not in answer.get_data(as_text=True)


def test_a_request_with_an_idempotency_key_is_answered_alike(send: Callable[..., TestResponse]) -> None:
    body = {"events": [{"key": "a", "metric": "orders"}, {"key": "b", "metric": "nothing"}]}
    first, again = (send(body, Idempotency_Key="batch-1").get_json() for _ in range(2))
    assert first == again
    assert (first["counted"], first["refused"]) == (1, 1)
    other = send({"events": [{"key": "c", "metric": "orders"}]}, Idempotency_Key="batch-1")
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_mismatch")
    assert rows(UsageEvent) == 1


def test_a_refused_request_may_be_put_right_under_its_key(send: Callable[..., TestResponse]) -> None:
    assert send({"key": "a", "metric": "nothing"}, Idempotency_Key="x").status_code == 422
    assert send({"key": "a", "metric": "orders"}, Idempotency_Key="x").status_code == 200


def test_one_vendors_idempotency_key_says_nothing_to_another(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]
) -> None:
    bob = people.register("bob@example.com", business="Bobs Books")
    send({"key": "a", "metric": "orders"}, Idempotency_Key="x")
    sent = {**bearer(key(None), bob.code), "Idempotency-Key": "x"}
    assert client.post(EVENTS, json={"key": "b", "metric": "orders"}, headers=sent).get_json()["counted"] == 1


def test_a_key_of_one_vendor_is_free_for_another(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]
) -> None:
    bob = people.register("bob@example.com", business="Bobs Books")
    event = {"key": "order-1", "metric": "orders"}
    send(event)
    assert client.post(EVENTS, json=event, headers=bearer(key(None), bob.code)).get_json()["counted"] == 1
    assert meter(client, bob, "orders")["usage"] == meter(client, ada, "orders")["usage"] == 1


def test_a_level_is_what_was_measured_last(
    client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]
) -> None:
    def measured(value: int, minutes_ago: int) -> bool:
        at = clock.business() - timedelta(minutes=minutes_ago)
        body = {"metric": "products", "value": value, "at": at.isoformat()}
        return send(body, LEVELS, "PUT").get_json()["applied"]

    assert [measured(40, 30), measured(35, 10), measured(90, 20)] == [True, True, False]
    assert meter(client, ada, "products")["usage"] == 35
    assert send({"metric": "products", "value": 36}, LEVELS, "PUT").get_json()["applied"] is True
    assert meter(client, ada, "products")["usage"] == 36


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"metric": "orders", "value": 3}, "metric"),
        ({"metric": "nothing", "value": 3}, "metric"),
        ({"metric": "team_members", "value": 3}, "metric"),
        ({"metric": "products", "value": -1}, "value"),
        ({"metric": "products", "value": 10**13}, "value"),
        ({"metric": "products"}, "value"),
        ({"metric": "products", "value": 3, "at": "2099-01-01T00:00:00Z"}, "at"),
        ({"metric": "products", "value": 3, "used": 3}, "used"),
    ],
)
def test_what_is_no_level_is_refused_at_its_field(
    send: Callable[..., TestResponse], body: dict[str, Any], field: str
) -> None:
    answer = send(body, LEVELS, "PUT")
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert rows(UsageCounter) == 0


@pytest.mark.parametrize("path", [NOW, NOW + "/", "/api/v1/billing/usage", "/api/billing/usage/"])
def test_what_is_used_now(client: FlaskClient, ada: Someone, path: str) -> None:
    told = client.get(path, headers=bearer(key(None, "usage:read"), ada.code)).get_json()
    assert (told["vendor"], told["standing"]) == (ada.code, "trial")
    storage = next(item for item in told["items"] if item["metric"] == "storage_gb")
    assert (storage["unit"], storage["limit"] % 10**9) == ("bytes", 0)


def test_days_come_page_by_page(client: FlaskClient, ada: Someone, send: Callable[..., TestResponse]) -> None:
    now = clock.business()
    for n in range(5):  # all on the day that the period began: by metric within it
        send({"key": f"o{n}", "metric": "orders", "quantity": n + 1, "at": now.isoformat()})
    send({"key": "p", "metric": "products", "quantity": 4})
    headers = bearer(key(None), ada.code)
    found, cursor = [], ""
    while cursor is not None:
        told = client.get(f"{HISTORY}?size=1{cursor and '&cursor=' + cursor}", headers=headers).get_json()
        found += [item for item in told["items"] if item["metric"] != "team_members"]
        cursor = told["next"]
    today = now.date().isoformat()
    assert found == [
        {"day": today, "metric": "orders", "quantity": 1 + 2 + 3 + 4 + 5},
        {"day": today, "metric": "products", "quantity": 4},
    ]
    assert client.get(f"{HISTORY}?metric=products", headers=headers).get_json()["items"] == found[1:]
    before = (now - timedelta(days=1)).date().isoformat()
    assert client.get(f"{HISTORY}?last={before}", headers=headers).get_json() == {"items": [], "next": None}
    assert len(client.get(f"{HISTORY}?first={today}", headers=headers).get_json()["items"]) == 3, "and the owner's seat"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("metric=nothing", 422), ("size=0", 422), ("size=501", 422), ("size=x", 422), ("first=x", 422),
        ("first=2027-02-30", 422),
        ("last=0.0", 422), ("last=0", 422), ("first=2027-01-15T00:00:00Z", 422), ("size=5.0", 422),
        ("size=5&size=6", 422), ("vendor_id=7", 422), ("cursor=%00", 404),
        ("cursor=bm90aGluZw", 404), ("cursor=" + "x" * 1001, 422),
    ],
)  # fmt: skip
def test_addresses_that_lead_nowhere(client: FlaskClient, ada: Someone, query: str, status: int) -> None:
    answer = client.get(f"{HISTORY}?{query}", headers=bearer(key(None), ada.code))
    assert answer.status_code == status, answer.get_json()


def test_the_answer_is_plain_json(send: Callable[..., TestResponse]) -> None:
    answer = send({"key": "a", "metric": "orders"})
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("application/json", "no-store")
    assert json.loads(answer.get_data())["counted"] == 1

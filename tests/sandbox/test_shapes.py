"""Every answer has the shape that Stripe publishes, and none of the fields that Stripe took away."""

import json
from typing import Any

import pytest
import requests

from portal.sandbox import routes
from tests.sandbox import openapi
from tests.sandbox.conftest import DAY, Box
from tests.sandbox.stories import everything

pytestmark = pytest.mark.once


def call(box: Box, method: str, path: str, params: list[tuple[str, str]] | None = None) -> Any:
    """The raw JSON of a call, as the SDK would see it."""
    where: Any = {"params": params} if method == "GET" else {"data": params}
    return requests.request(method, box.url + path, headers={"Authorization": f"Bearer {box.key}"}, timeout=10, **where)


def test_every_answer_and_every_event_is_valid_by_stripes_document(sandbox: Box) -> None:
    seen: dict[str, int] = {}
    for name, answer in everything(sandbox):
        assert openapi.problems(answer) == [], f"{name}: {json.dumps(answer)[:400]}"
        seen[name] = seen.get(name, 0) + 1
    # A call that is answered but tried nowhere here would never be judged.
    assert {f"{call.method} {call.path}" for call in routes.CALLS} - set(seen) == set()


@pytest.mark.thorough
def test_events_of_a_whole_life_are_valid(sandbox: Box) -> None:
    list(everything(sandbox))
    for event in sandbox.v1.events.list({"limit": 100}).auto_paging_iter():
        shown = event.to_dict()
        if event.type == "invoice.upcoming":  # has no id by nature
            shown["data"]["object"]["id"] = "upcoming_in_1"
        assert openapi.problems(json.loads(json.dumps(shown, default=str))) == [], event.type


def test_removed_fields_stay_away(sandbox: Box) -> None:
    subscription = sandbox.subscribe()
    raw = call(sandbox, "GET", f"/v1/subscriptions/{subscription.id}", [("expand[]", "latest_invoice")]).json()
    invoice = raw["latest_invoice"]
    assert "current_period_end" not in raw and raw["items"]["data"][0]["current_period_end"] > raw["created"] + 27 * DAY
    assert not {"subscription", "payment_intent", "paid", "charge", "tax"} & set(invoice)
    assert "price" not in invoice["lines"]["data"][0]
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription.id


def test_the_judge_finds_a_removed_an_unknown_and_a_wrong_field(sandbox: Box) -> None:
    good = call(sandbox, "GET", f"/v1/subscriptions/{sandbox.subscribe().id}").json()
    assert openapi.problems(good) == []
    for broken in ({"current_period_end": 1}, {"made_up": 1}, {"status": "happy"}, {"created": "yesterday"}):
        assert openapi.problems({**good, **broken}) != []


@pytest.mark.parametrize("status", ["404", "400", "401"])
def test_errors_have_stripes_shape(sandbox: Box, status: str) -> None:
    if status == "401":
        answer = requests.get(
            f"{sandbox.url}/v1/customers", headers={"Authorization": "Bearer sk_test_wrong_key_1"}, timeout=10
        )
        assert "sk_test_wrong_key_1" not in answer.text
    elif status == "404":
        answer = call(sandbox, "GET", "/v1/customers/cus_nobody")
        assert answer.json()["error"]["code"] == "resource_missing"
    else:
        answer = call(sandbox, "GET", "/v1/customers", [("limit", "1000")])
        assert answer.json()["error"]["param"] == "limit"
    assert answer.status_code == int(status)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["Request-Id"].startswith("req_") and answer.headers["Stripe-Version"] == "2026-10-28.endive"

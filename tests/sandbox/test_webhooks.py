"""Events: signed so that Stripe's own library accepts them; delivered, retried, doubled, reordered, delayed, lost."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import SECRETS, Box

pytestmark = pytest.mark.once


def waiting(box: Box) -> list[dict[str, Any]]:
    """The deliveries that wait, in their order."""
    found: list[dict[str, Any]] = box.control("deliveries", method="GET")["data"]
    return found


@pytest.mark.parametrize("secret", SECRETS)
def test_each_of_two_secrets_verifies(sandbox: Box, secret: str) -> None:
    sandbox.customer()
    for shown in waiting(sandbox):
        event = sandbox.client.construct_event(shown["body"].encode(), shown["headers"]["Stripe-Signature"], secret)
        assert (event.id, event.type, event.api_version) == (shown["event"], shown["type"], "2026-10-28.endive")


def test_an_edited_body_or_another_secret_does_not_verify(sandbox: Box) -> None:
    sandbox.customer()
    shown = waiting(sandbox)[0]
    header = shown["headers"]["Stripe-Signature"]
    for body, secret in ((shown["body"].replace("vendor", "vandal"), SECRETS[0]), (shown["body"], "whsec_other")):
        with pytest.raises(stripe.SignatureVerificationError):
            sandbox.client.construct_event(body.encode(), header, secret)


def test_signatures_carry_wall_time_whatever_the_business_clock_says(sandbox: Box) -> None:
    sandbox.advance(days=400)
    sandbox.customer()
    shown = waiting(sandbox)[0]
    stamp = int(shown["headers"]["Stripe-Signature"].split(",")[0].removeprefix("t="))
    assert json.loads(shown["body"])["created"] - stamp > 399 * 86_400
    sandbox.client.construct_event(shown["body"].encode(), shown["headers"]["Stripe-Signature"], SECRETS[0])


def test_updates_tell_what_was_before(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    start = subscription["items"].data[0].current_period_start
    end = subscription["items"].data[0].current_period_end
    sandbox.travel_to(end)
    newest = sandbox.v1.events.list({"type": "customer.subscription.updated", "limit": 1}).data[0]
    before = newest.data.previous_attributes
    assert before["items"].data[0].current_period_start == start
    assert newest.data.object["items"].data[0].current_period_start == end
    assert before.latest_invoice != newest.data.object.latest_invoice


def test_an_acknowledged_delivery_waits_no_more(sandbox: Box) -> None:
    sandbox.customer(card=None)
    shown = waiting(sandbox)[0]
    assert sandbox.v1.events.retrieve(shown["event"]).pending_webhooks == 1
    sandbox.control(f"deliveries/{shown['id']}/ack")
    assert shown["id"] not in [left["id"] for left in waiting(sandbox)]
    assert sandbox.v1.events.retrieve(shown["event"]).pending_webhooks == 0
    assert "error" in sandbox.control(f"deliveries/{shown['id']}/ack")
    delivered = sandbox.v1.events.list({"delivery_success": True}).data
    assert [event.id for event in delivered] == [shown["event"]]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "drop_events"}, ["product.created", "price.created"]),
        ({"kind": "duplicate_events"}, ["customer.created", "customer.created", "product.created", "price.created"]),
        ({"kind": "reorder_events", "times": 3}, ["price.created", "product.created", "customer.created"]),
        ({"kind": "drop_events", "types": "^price"}, ["customer.created", "product.created"]),
    ],
)
def test_mischief_on_order(sandbox: Box, fault: dict[str, Any], expected: list[str]) -> None:
    sandbox.fault(**fault)
    sandbox.customer(card=None)
    sandbox.price(100)
    assert [shown["type"] for shown in waiting(sandbox)] == expected
    # Lost or not, the list of events has them all, which is what a reconciler relies on.
    assert sandbox.event_types() == ["customer.created", "product.created", "price.created"]


def test_lost_events_are_found_as_not_delivered(sandbox: Box) -> None:
    sandbox.fault(kind="drop_events")
    sandbox.customer(card=None)
    found = sandbox.v1.events.list({"delivery_success": False, "types": ["customer.created"]}).data
    assert [event.type for event in found] == ["customer.created"] and waiting(sandbox) == []


class Receiver:
    """An endpoint that answers as it is told and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[str, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["Stripe-Signature"], body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real endpoint."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def states(box: Box, event: str) -> list[tuple[str, int]]:
    """State and attempts of the deliveries of an event, read from the page's own data."""
    with box.app.extensions["sandbox"].begin() as tx:
        return tx.conn.execute(
            "SELECT state, attempts FROM deliveries WHERE event = ? ORDER BY id", (event,)
        ).fetchall()


def only_endpoint(box: Box, url: str, events: list[str]) -> str:
    """Replace the configured endpoint; returns the secret of the new one."""
    for endpoint in box.v1.webhook_endpoints.list().data:
        box.v1.webhook_endpoints.delete(endpoint.id)
    return str(box.v1.webhook_endpoints.create({"url": url, "enabled_events": events}).secret)


def test_delivery_sends_only_what_the_endpoint_wants(sandbox: Box, receiver: Receiver) -> None:
    secret = only_endpoint(sandbox, receiver.url, ["customer.created"])
    sandbox.customer(card=None)
    sandbox.price(100)
    assert sandbox.control("deliver")["attempts"] == 1
    header, body = receiver.got[0]
    assert sandbox.client.construct_event(body, header, secret).type == "customer.created"
    assert sandbox.control("status", method="GET")["deliveries_pending"] == 0


@pytest.mark.parametrize("answer", [500, 302, 404])
def test_a_refused_delivery_is_tried_again_later(
    sandbox: Box, receiver: Receiver, answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_endpoint(sandbox, receiver.url, ["customer.created"])
    receiver.answers = [answer]
    sandbox.customer(card=None)
    event = sandbox.v1.events.list().data[0].id
    assert sandbox.control("deliver")["attempts"] == 1
    assert states(sandbox, event) == [("pending", 1)]
    assert sandbox.control("deliver")["attempts"] == 0  # its gap has not passed
    real = time.time
    monkeypatch.setattr("portal.sandbox.delivery.time.time", lambda: real() + 2)
    assert sandbox.control("deliver")["attempts"] == 1
    assert states(sandbox, event) == [("delivered", 2)] and len(receiver.got) == 2


def test_nobody_listening_is_a_failed_attempt_and_not_an_error(sandbox: Box) -> None:
    sandbox.customer(card=None)
    assert sandbox.control("deliver")["attempts"] == 1
    assert sandbox.control("status", method="GET")["deliveries_pending"] == 1


def test_the_page_resends_duplicates_and_drops(sandbox: Box, receiver: Receiver) -> None:
    only_endpoint(sandbox, receiver.url, ["*"])
    sandbox.customer(card=None)
    sandbox.control("deliver")
    event = sandbox.v1.events.list().data[0].id
    for act, copies in (("resend", 1), ("duplicate", 2)):
        answer = requests.post(f"{sandbox.url}/events/{event}", data={"do": act}, allow_redirects=False, timeout=10)
        assert answer.status_code == 303
        assert sandbox.control("deliver")["attempts"] == copies
    requests.post(f"{sandbox.url}/events/{event}", data={"do": "delay"}, timeout=10)
    assert sandbox.control("deliver")["attempts"] == 0
    requests.post(f"{sandbox.url}/events/{event}", data={"do": "drop"}, timeout=10)
    assert states(sandbox, event)[-1][0] == "dropped" and len(receiver.got) == 4

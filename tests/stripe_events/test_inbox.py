"""The inbox at its worst: forged, edited, old, repeated, unknown; what it takes is stored once, before it answers."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portal.kit import jobs
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.stripe_events.models import WebhookEvent
from tests.stripe_events.life import HOOK, post, signature
from tests.support.servers import Sandbox
from tests.support.stories import push_catalog, stripe_post

pytestmark = pytest.mark.usefixtures("unscoped", "sandbox")


def event(ident: str = "evt_1", kind: str = "customer.subscription.updated", **about: Any) -> dict[str, Any]:
    """An event as Stripe sends it, about an object of our choice."""
    return {"id": ident, "object": "event", "type": kind, "data": {"object": {"id": "sub_nobody", **about}}}


def stored() -> list[WebhookEvent]:
    db.session.rollback()
    return list(db.session.query(WebhookEvent).populate_existing().order_by(WebhookEvent.id))


def job_count() -> int:
    return db.session.query(OutboxJob).filter_by(task="stripe_events.handle").count()


def send(client: FlaskClient, body: bytes, header: str) -> int:
    return client.post(HOOK, data=body, headers={"Stripe-Signature": header}).status_code


@pytest.mark.parametrize("path", ["/api/v1/webhooks/stripe", "/api/v1/webhooks/stripe/", "/api/webhooks/stripe"])
def test_a_signed_event_is_stored_with_its_job_before_the_answer(client: FlaskClient, path: str) -> None:
    body = json.dumps(event()).encode()
    answer = client.post(path, data=body, headers={"Stripe-Signature": signature(body)})
    assert (answer.status_code, answer.json) == (200, {"received": True, "known": False})
    assert [(e.stripe_event_id, e.state, e.object_id) for e in stored()] == [("evt_1", "received", "sub_nobody")]
    assert job_count() == 1


def test_the_same_event_again_is_known_and_does_nothing(client: FlaskClient) -> None:
    assert [post(client, event()).json["known"] for _ in range(10)] == [False] + [True] * 9
    assert (len(stored()), job_count()) == (1, 1)
    jobs.run_all()
    assert post(client, event()).json["known"] is True
    assert jobs.run_all() == 0


def test_ten_at_once_are_one(client: FlaskClient, catalog: Flask) -> None:
    gate = Barrier(10)

    def one(_: int) -> tuple[int, bool]:
        gate.wait(10)
        answer = post(catalog.test_client(), event())
        return answer.status_code, answer.json["known"]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(one, range(10)))
    assert sorted(answers) == [(200, False)] + [(200, True)] * 9
    assert (len(stored()), job_count()) == (1, 1)


def hostile(trick: str) -> tuple[bytes, str]:
    """Body and header that must not be believed."""
    body = json.dumps(event()).encode()
    good = signature(body)
    stamp = int(good[2:].split(",")[0])
    return {
        "no signature": (body, ""),
        "empty signature": (body, "t=,v1="),
        "nonsense": (body, "nonsense"),
        "another secret": (body, signature(body, secret="whsec_somebody_elses")),
        "edited body": (body.replace(b"sub_nobody", b"sub_nobodx"), good),
        "one space more": (body + b" ", good),
        "older than 300 seconds": (body, signature(body, age=301)),
        "edited stamp": (body, good.replace(f"t={stamp}", f"t={stamp + 1}")),
        "a scheme of old": (body, good.replace("v1=", "v0=")),
        "no text": (b"\xff\xfe", signature(b"\xff\xfe")),
    }[trick]


TRICKS = ["no signature", "empty signature", "nonsense", "another secret", "edited body", "one space more",
          "older than 300 seconds", "edited stamp", "a scheme of old", "no text"]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_what_stripe_did_not_sign_is_refused(client: FlaskClient, trick: str) -> None:
    assert send(client, *hostile(trick)) == 400
    assert stored() == []
    assert job_count() == 0


def test_just_in_time_is_taken(client: FlaskClient) -> None:
    body = json.dumps(event()).encode()
    assert send(client, body, signature(body, age=295)) == 200


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b'{"id": 5, "object": "event"}'])
def test_a_signed_body_that_is_no_event_is_refused(client: FlaskClient, body: bytes) -> None:
    assert 400 <= send(client, body, signature(body)) < 500
    assert stored() == []


def test_both_secrets_are_good_while_one_is_rolled(
    client: FlaskClient, catalog: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.extensions["portal_config"].__dict__, "webhook_secrets", ["whsec_new", "whsec_old"])
    for number, secret in enumerate(("whsec_new", "whsec_old")):
        body = json.dumps(event(f"evt_{number}")).encode()
        assert send(client, body, signature(body, secret=secret)) == 200
    body = json.dumps(event("evt_both")).encode()
    # While a secret is rolled Stripe signs with both: one mark for each.
    both = f"{signature(body, secret='whsec_gone')},{signature(body, secret='whsec_old').split(',')[1]}"
    assert send(client, body, both) == 200
    body = json.dumps(event("evt_gone")).encode()
    assert send(client, body, signature(body, secret="whsec_gone")) == 400
    assert [e.stripe_event_id for e in stored()] == ["evt_0", "evt_1", "evt_both"]


@pytest.mark.parametrize(
    ("kind", "about", "why"),
    [
        ("customer.subscription.updated", {"customer": "cus_unknown"}, "unknown customer"),
        ("invoice.paid", {"customer": "cus_unknown",
                          "parent": {"subscription_details": {"subscription": "sub_x"}}}, "unknown customer"),
        ("invoice.paid", {"customer": "cus_unknown"}, "no subscription"),
        ("checkout.session.completed", {"client_reference_id": "99999"}, "no order of ours"),
        ("checkout.session.completed", {"client_reference_id": "not a number"}, "no order of ours"),
        ("invoice_payment.paid", {}, "no invoice"),
        ("radar.early_fraud_warning.created", {}, "not needed"),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_ignored_with_a_reason(client: FlaskClient, kind: str, about: dict, why: str) -> None:
    assert post(client, event(kind=kind, **about)).status_code == 200
    jobs.run_all()
    assert [(e.state, e.error) for e in stored()] == [("ignored", why)]


def test_an_unknown_customers_real_subscription_changes_nothing(client: FlaskClient, sandbox: Sandbox) -> None:
    """Somebody sells something else through the same account of Stripe's."""
    push_catalog()
    customer = stripe_post(sandbox, "customers", email="stranger@else.example")["id"]
    post(client, event(kind="customer.subscription.created", id="sub_else", customer=customer))
    jobs.run_all()
    assert [(e.state, e.error, e.vendor_id) for e in stored()] == [("ignored", "unknown customer", None)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(
    ["checkout.session.completed", "customer.subscription.updated", "subscription_schedule.released", "invoice.paid",
     "invoice_payment.paid", "invoice.upcoming", "v2.core.event", ""]
)  # fmt: skip
ABOUT = st.dictionaries(
    st.sampled_from(
        ["id", "customer", "subscription", "parent", "metadata", "client_reference_id", "invoice", "status"]
    )
    | st.text(max_size=8),
    JSON,
    max_size=6,
)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kind=KINDS | JSON, about=ABOUT | JSON, data=JSON, more=st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_no_shape_of_event_is_a_server_error_or_kills_a_job(
    client: FlaskClient, kind: Any, about: Any, data: Any, more: dict[str, Any]
) -> None:
    for number, body in enumerate(({"object": about}, data)):
        shaped = {**more, "id": f"evt_{len(stored())}_{number}", "object": "event", "type": kind, "data": body}
        assert post(client, shaped).status_code < 500
    jobs.run_all()
    assert {e.state for e in stored()} <= {"handled", "ignored"}

"""Stripe tells of one change in several events: those that wait together ask Stripe once, and none is lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.gateways.stripe import StripeGateway
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.errors import Unavailable
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import service
from portal.stripe_events.models import WebhookEvent
from portal.subscriptions.models import VendorSubscription
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import opens_checkout, pays, push_catalog, settle, signs_up, stripe_get

pytestmark = pytest.mark.usefixtures("unscoped")


@dataclass
class Stripe:
    """What the portal asked about one paid subscription, and what happens while it waits for the first answer."""

    vendor_id: int
    document: dict[str, Any]
    calls: list[str] = field(default_factory=list)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def tells(self, name: str, **about: Any) -> None:
        """An event about the subscription is stored, as the inbox does it."""
        body = {"id": name, "type": "customer.subscription.updated", "data": {"object": {**self.document, **about}}}
        with unit_of_work():
            service.receive(body, now=clock.business())


@pytest.fixture
def stripe(scene: Scene, client: FlaskClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Stripe:
    def paid() -> tuple[int, str]:
        push_catalog()
        who = signs_up()
        pays(opens_checkout(who))
        settle(sandbox, client)
        return who.id, str(db.session.scalars(select(VendorSubscription.stripe_subscription_id)).one())

    vendor_id, ident = scene("a paid subscription and its events", paid)
    found = Stripe(vendor_id, stripe_get(sandbox, f"subscriptions/{ident}"))
    fetch = StripeGateway.subscription

    def counted(gateway: StripeGateway, subscription_id: str) -> dict[str, Any]:
        found.calls.append(subscription_id)
        if found.meanwhile:
            found.meanwhile.pop()()
        return fetch(gateway, subscription_id)

    monkeypatch.setattr(StripeGateway, "subscription", counted)
    return found


def outcomes() -> dict[str, tuple[str, int | None, str]]:
    """What became of the test's events: state, vendor, and the state of the job."""
    db.session.rollback()
    rows = db.session.execute(
        select(WebhookEvent.stripe_event_id, WebhookEvent.state, WebhookEvent.vendor_id, OutboxJob.state)
        .join(OutboxJob, OutboxJob.dedupe_key == "stripe-event:" + WebhookEvent.stripe_event_id)
        .where(WebhookEvent.stripe_event_id.startswith("evt_test"))
    )
    return {name: (state, vendor_id, job) for name, state, vendor_id, job in rows}


def test_events_that_wait_together_are_settled_by_one_look(stripe: Stripe) -> None:
    for n in range(4):
        stripe.tells(f"evt_test{n}")
    jobs.run_all()
    assert stripe.calls == [stripe.document["id"]]
    assert outcomes() == {f"evt_test{n}": ("handled", stripe.vendor_id, "done") for n in range(4)}


def test_what_comes_after_the_look_began_is_looked_at_again(stripe: Stripe) -> None:
    stripe.tells("evt_test0")
    stripe.meanwhile.append(lambda: stripe.tells("evt_test1"))
    jobs.run_all()
    assert len(stripe.calls) == 2
    assert outcomes() == {f"evt_test{n}": ("handled", stripe.vendor_id, "done") for n in range(2)}


def test_events_that_ask_for_something_else_are_acted_on_by_themselves(stripe: Stripe) -> None:
    stripe.tells("evt_test0")
    stripe.tells("evt_test1", default_payment_method="pm_another")
    jobs.run_all()
    assert len(stripe.calls) == 3  # one for each event, and one for the payment method that the second names
    assert {state for state, *_ in outcomes().values()} == {"handled"}


def test_one_that_fails_takes_nobody_along(stripe: Stripe) -> None:
    def away() -> None:
        raise Unavailable(code="stripe_unavailable")

    stripe.meanwhile.append(away)
    stripe.tells("evt_test0")
    stripe.tells("evt_test1")
    jobs.run_all()
    assert len(stripe.calls) == 2
    assert outcomes()["evt_test0"][::2] == ("failed", "pending")
    assert outcomes()["evt_test1"] == ("handled", stripe.vendor_id, "done")

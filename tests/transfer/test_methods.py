"""Card and transfer side by side: whichever is chosen last counts, and nobody is asked for money twice (SUB-11)."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.billing.models import BankTransfer, Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout.models import Order
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Provider, Status
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import PASSWORD, Somebody, pays, push_catalog, settle, stripe_get
from tests.transfer.steps import change, offer, payer


@pytest.fixture
def who(catalog: Flask, sandbox: Sandbox, client: FlaskClient, unscoped: None) -> Somebody:
    """In its trial, at an operator that takes both; signed in."""
    push_catalog()
    offer()
    made = payer()
    people.sign_in(client, made.email, PASSWORD)
    return made


def chooses(client: FlaskClient, who: Somebody, method: str) -> str:
    found = catalog.offer("professional", Cycle.MONTHLY)
    assert found is not None
    answer = people.post(client, f"/vendor/{who.code}/pay", {"price": str(found.id), "method": method})
    assert answer.status_code == 303, text_of(answer)
    return str(answer.headers["Location"])


def states(model: Any, who: Somebody) -> list[str]:
    db.session.rollback()
    return [row.state for row in db.session.query(model).filter_by(vendor_id=who.id).order_by(model.id)]


def standing(who: Somebody) -> Status:
    db.session.rollback()
    return subscriptions.held(who.id).status


def test_all_ways_are_shown_alike(who: Somebody, client: FlaskClient) -> None:
    found = catalog.offer("professional", Cycle.MONTHLY)
    assert found is not None
    words = text_of(client.get(f"/vendor/{who.code}/pay?price={found.id}"))
    assert words.index("Card") < words.index("Bank transfer") < words.index("PayPal coming soon")
    change(pay_by_stripe="coming_soon", pay_by_transfer="hidden")
    words = text_of(client.get(f"/vendor/{who.code}/pay?price={found.id}"))
    assert "Card coming soon" in words and "Bank transfer" not in words


def test_where_only_the_card_is_live_nothing_is_asked(who: Somebody, client: FlaskClient) -> None:
    change(pay_by_transfer="hidden")
    answer = people.post(client, f"/vendor/{who.code}/billing/checkout", {"tier": "professional"})
    assert answer.status_code == 303
    assert "/vendor/" not in answer.headers["Location"]  # straight to the card's page


def test_a_card_after_a_transfer_voids_the_proforma(who: Somebody, client: FlaskClient, sandbox: Sandbox) -> None:
    chooses(client, who, "transfer")
    url = chooses(client, who, "stripe")
    assert states(BankTransfer, who) == ["cancelled"]
    assert [i.status for i in db.session.query(Invoice).filter_by(vendor_id=who.id)] == ["void"]
    assert pays(url).status_code in (302, 303)
    settle(sandbox, client)
    now = subscriptions.held(who.id)
    assert (now.status, now.provider) == (Status.ACTIVE, Provider.STRIPE)
    assert states(Order, who) == ["cancelled", "fulfilled"]


def test_a_transfer_after_the_cards_page_closes_that_page(who: Somebody, client: FlaskClient, sandbox: Sandbox) -> None:
    chooses(client, who, "stripe")
    chooses(client, who, "transfer")
    order = db.session.query(Order).filter_by(vendor_id=who.id).order_by(Order.id).first()
    assert order is not None and order.state == "cancelled"
    assert stripe_get(sandbox, f"checkout/sessions/{order.stripe_session_id}")["status"] == "expired"
    assert states(BankTransfer, who) == ["awaiting"]


def test_who_waits_for_a_transfer_may_pay_by_card_instead(who: Somebody, client: FlaskClient) -> None:
    with unit_of_work():
        subscription = lock(who.id)
        subscription.status, subscription.trial_ends_at = Status.TRIAL_ENDED, clock.business()
    chooses(client, who, "transfer")
    assert standing(who) == Status.PENDING_PAYMENT
    chooses(client, who, "stripe")
    assert (standing(who), states(BankTransfer, who)) == (Status.TRIAL_ENDED, ["cancelled"])
    chooses(client, who, "transfer")
    assert standing(who) == Status.PENDING_PAYMENT
    with tenancy.unscoped("a test"):
        assert states(Order, who) == ["cancelled", "cancelled", "open"]

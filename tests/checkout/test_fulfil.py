"""Money becomes rights only when what was paid is what was asked; a page that nobody pays changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from portal.audit.models import AuditEntry
from portal.billing.models import Invoice
from portal.checkout import flows
from portal.checkout.models import Order, Purchase
from portal.credits import queries as credits
from portal.gateways.stripe import StripeGateway
from portal.kit import jobs
from portal.kit.db import db
from portal.subscriptions import queries
from portal.subscriptions.rules import Status
from tests.stripe_events.life import end_trial
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    mails_to,
    opens_checkout,
    own_card,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
Document = dict[str, Any]


@pytest.fixture
def buyer(scene: Scene) -> Somebody:
    """A vendor in its trial, and a Stripe that knows the catalog."""

    def in_trial() -> Somebody:
        push_catalog()
        return signs_up()

    return scene("in a trial", in_trial)


def orders() -> list[tuple[str, str | None]]:
    db.session.rollback()
    return [(str(o.state), o.note) for o in db.session.query(Order).populate_existing().order_by(Order.id)]


def other(**line: Any) -> Callable[[Document], None]:
    """Something in the line that was paid is different."""

    def change(session: Document) -> None:
        item = session["line_items"]["data"][0]
        item.update({k: v for k, v in line.items() if k == "quantity"})
        item["price"] = {**item["price"], **{k: v for k, v in line.items() if k != "quantity"}}

    return change


WRONG = {
    "amount": other(unit_amount=1),
    "currency": other(currency="jpy"),
    "price": other(id="price_of_another_tier"),
    "quantity": other(quantity=2),
    "customer": lambda session: session.update(customer="cus_somebody_else"),
    "order": lambda session: session.update(client_reference_id="4711"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_was_not_asked_for_grants_nothing(
    client: FlaskClient, sandbox: Sandbox, buyer: Somebody, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pays(opens_checkout(buyer), own_card(1))
    fetch = StripeGateway.checkout_session

    def changed(self: StripeGateway, session_id: str) -> Document:
        session = fetch(self, session_id)
        WRONG[what](session)
        return session

    monkeypatch.setattr(StripeGateway, "checkout_session", changed)
    settle(sandbox, client)
    assert orders() == [("refused", what)]
    assert db.session.query(Purchase).count() == 0
    assert (queries.held(buyer.id).status, queries.held(buyer.id).stripe_subscription_id) == (Status.TRIAL, None)
    assert [(e.kind, e.amount) for e in credits.ledger(buyer.id)] == [("grant", 2000)]
    (entry,) = db.session.query(AuditEntry).filter_by(action="order.refused")
    assert (entry.vendor_id, entry.data["differs"]) == (buyer.id, what)
    assert "subscription_active" not in mails_to(buyer)
    assert flows.fulfil(db.session.query(Order).one().id) == "refused"


def test_a_declined_card_can_be_followed_by_a_good_one(client: FlaskClient, sandbox: Sandbox, buyer: Somebody) -> None:
    url = opens_checkout(buyer)
    assert pays(url, "4000000000000002").status_code == 402
    settle(sandbox, client)
    assert (orders(), queries.held(buyer.id).status) == ([("open", None)], Status.TRIAL)
    assert opens_checkout(buyer) == url
    assert pays(url, own_card(1)).status_code == 303
    settle(sandbox, client)
    assert (orders(), queries.held(buyer.id).status) == ([("fulfilled", None)], Status.ACTIVE)


@pytest.mark.parametrize("event_first", [True, False])
def test_the_success_page_is_right_before_and_after_the_event(
    client: FlaskClient, sandbox: Sandbox, buyer: Somebody, event_first: bool
) -> None:
    pays(opens_checkout(buyer), own_card(1))
    order = db.session.query(Order).one().id
    if event_first:
        settle(sandbox, client)
    assert flows.fulfil(order) == "fulfilled"
    settle(sandbox, client)
    assert flows.fulfil(order) == "fulfilled"
    assert db.session.query(Purchase).count() == 1
    assert mails_to(buyer)["subscription_active"] == 1


def test_an_address_alone_activates_nothing(sandbox: Sandbox, buyer: Somebody) -> None:
    """The page is opened with the session's id, but nobody has paid."""
    opens_checkout(buyer)
    assert flows.fulfil(db.session.query(Order).one().id) == "open"
    assert queries.held(buyer.id).status == Status.TRIAL


def test_a_page_that_expires_leaves_all_as_it_was_and_a_new_one_opens(
    client: FlaskClient, sandbox: Sandbox, buyer: Somebody, travel: Travel
) -> None:
    first = opens_checkout(buyer)
    travel.on(hours=2)
    sandbox.run_due()
    settle(sandbox, client)
    assert (orders(), queries.held(buyer.id).status) == ([("expired", None)], Status.TRIAL)
    assert requests.get(first, timeout=20).status_code == 410
    second = opens_checkout(buyer)
    assert second != first
    pays(second, own_card(1))
    settle(sandbox, client)
    assert orders() == [("expired", None), ("fulfilled", None)]


def test_another_choice_closes_the_first_page(client: FlaskClient, sandbox: Sandbox, buyer: Somebody) -> None:
    first = opens_checkout(buyer, "professional")
    second = opens_checkout(buyer, "business")
    assert requests.get(first, timeout=20).status_code == 410
    pays(second, own_card(1))
    settle(sandbox, client)
    assert orders() == [("cancelled", None), ("fulfilled", None)]
    assert queries.overview(buyer.id).tier_code == "business"


def test_who_pays_already_cannot_buy_a_second_time(client: FlaskClient, sandbox: Sandbox, buyer: Somebody) -> None:
    from portal.kit.errors import Conflict

    pays(opens_checkout(buyer), own_card(1))
    settle(sandbox, client)
    with pytest.raises(Conflict, match="already_paid"):
        opens_checkout(buyer, "business")


@pytest.mark.parametrize("status", [429, 500, 502])
@pytest.mark.parametrize("when", ["before", "after"])
def test_stripe_stumbles_over_a_page_that_is_opened_once(
    client: FlaskClient, sandbox: Sandbox, buyer: Somebody, status: int, when: str
) -> None:
    fault = {"kind": "status", "status": status, "when": when, "path": "^POST /v1/checkout/sessions", "times": 1}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    from portal.kit.errors import Unavailable

    try:
        url = opens_checkout(buyer)
    except Unavailable:
        url = opens_checkout(buyer)
    assert len(stripe_get(sandbox, "checkout/sessions")["data"]) == 1
    end_trial(buyer)
    pays(url, own_card(1))
    settle(sandbox, client)
    assert orders() == [("fulfilled", None)]
    assert jobs.run_all() == 0


@pytest.mark.parametrize("hiccup", [None, "after"])
def test_what_was_paid_for_a_refused_order_goes_back_whole(
    client: FlaskClient, sandbox: Sandbox, buyer: Somebody, monkeypatch: pytest.MonkeyPatch, hiccup: str | None
) -> None:
    """The trial is over, so 99.00 are charged at once; the order is refused, and all of it goes back once."""
    end_trial(buyer)
    pays(opens_checkout(buyer), own_card(1))
    fetch = StripeGateway.checkout_session

    def changed(self: StripeGateway, session_id: str) -> Document:
        session = fetch(self, session_id)
        WRONG["amount"](session)
        return session

    monkeypatch.setattr(StripeGateway, "checkout_session", changed)
    if hiccup:
        fault = {"kind": "status", "status": 500, "when": hiccup, "path": "^POST /v1/refunds", "times": 1}
        requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20)
    settle(sandbox, client)
    (charge,) = stripe_get(sandbox, "charges")["data"]
    assert (charge["amount"], charge["amount_refunded"]) == (9900, 9900)
    (ended,) = stripe_get(sandbox, "subscriptions", status="all")["data"]
    assert ended["status"] == "canceled"
    # no credit beside the refund
    assert stripe_get(sandbox, f"customers/{charge['customer']}")["balance"] == 0
    db.session.rollback()
    invoice = db.session.query(Invoice).filter_by(vendor_id=buyer.id).one()
    assert (invoice.status, invoice.paid_minor, invoice.refunded_minor) == ("paid", 9900, 9900)
    assert mails_to(buyer)["refunded"] == 1 and orders() == [("refused", "amount")]
    flows.cancel_refused(ended["id"])  # once more changes nothing
    settle(sandbox, client)
    assert len(stripe_get(sandbox, "refunds")["data"]) == 1 and mails_to(buyer)["refunded"] == 1

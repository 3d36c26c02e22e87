"""Staff let a vendor pay for an add-on: the amount first, then exactly that, once, or nothing at all."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.addons.rules import Origin
from portal.billing.models import Invoice
from portal.checkout import addon_charges
from portal.checkout.models import Order
from portal.gateways.stripe import CardRefused, StripeGateway
from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.kit.errors import Conflict, Unavailable
from portal.subscriptions.models import SubscriptionEvent
from tests.addons.buying import live, price_of, wish
from tests.addons.test_buying_stripe import payer, trial
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, settle, stripe_get

__all__ = ["payer", "trial"]
pytestmark = pytest.mark.usefixtures("unscoped")


def sends(staff: FlaskClient, who: Somebody, **data: str) -> TestResponse:
    given = {"pay": "paid", "quantity": "1", "reason": "Asked on the phone", "csrf_token": people.csrf_token(staff)}
    return staff.post(f"/admin/vendors/{who.id}/add-ons/give", data={**given, **data}, headers=PARTIAL)


def confirmed(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the page that shows the amount."""
    return dict(re.findall(r'type="hidden" name="(due_minor|at)" value="([^"]+)"', page.get_data(as_text=True)))


def own_subscriptions(sandbox: Sandbox) -> list[str]:
    """The states of the subscriptions that are add-ons, as Stripe has them."""
    documents = stripe_get(sandbox, "subscriptions", limit="100")["data"]
    return [d["status"] for d in documents if d["metadata"].get("kind") == "addon"]


def orders() -> list[str]:
    db.session.rollback()
    return [str(order.state) for order in db.session.query(Order).filter_by(kind="addon").populate_existing()]


def test_the_amount_is_shown_and_exactly_that_is_charged_once(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody
) -> None:
    """Storage comes onto the plan: the month began today, so two times 500 are charged whole, 1000. A domain is paid by
    the year, 1500, so it has a subscription of its own, which the card on file pays.
    """
    finance = paid.staff_client(client, StaffKind.FINANCE)
    storage = {"price": str(price_of("extra-storage")), "quantity": "2"}
    shown = sends(finance, payer, **storage)
    assert (shown.status_code, live(payer)) == (200, [])
    assert "Charge €10.00 and add it" in text_of(shown)
    assert sends(finance, payer, **storage, **confirmed(shown) | {"due_minor": "999"}).status_code == 409
    assert live(payer) == []
    assert sends(finance, payer, **storage, **confirmed(shown)).status_code == 200
    domain = {"price": str(price_of("custom-domain")), "domain": "www.ada.de"}
    shown = sends(finance, payer, **domain)
    assert "Charge €15.00 and add it" in text_of(shown)
    assert sends(finance, payer, **domain, **confirmed(shown)).status_code == 200
    again = sends(finance, payer, **domain, **confirmed(shown))
    assert again.status_code == 422 and "You have this for that domain already" in text_of(again)
    settle(sandbox, client)
    found = {had.code: had for had in live(payer)}
    assert {had.origin for had in found.values()} == {Origin.BOUGHT}
    assert (found["extra-storage"].quantity, found["extra-storage"].stripe_subscription_id) == (2, None)
    assert (found["custom-domain"].shown, own_subscriptions(sandbox)) == ("www.ada.de", ["active"])
    assert {1000, 1500} <= {invoice.paid_minor for invoice in db.session.query(Invoice)}
    noted = db.session.query(SubscriptionEvent).filter_by(kind="addon_charged").order_by(SubscriptionEvent.id)
    assert [(event.reason, event.data["minor"], event.actor_kind) for event in noted] == [
        ("Asked on the phone", 1000, "staff"),
        ("Asked on the phone", 1500, "staff"),
    ]


def test_an_answer_that_was_lost_is_asked_for(
    sandbox: Sandbox, payer: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the asking (addon_flows._fulfil_own) the vendor would have paid for nothing: tried once, it failed."""
    real = StripeGateway.subscription_create

    def loses(self: StripeGateway, params: Any, key: str) -> Any:
        real(self, params, key)
        raise Unavailable

    monkeypatch.setattr(StripeGateway, "subscription_create", loses)
    shown = addon_charges.prospect(payer.id, wish("custom-domain"))
    addon_charges.charge(payer.id, wish("custom-domain"), shown=shown.due, at=shown.at, reason="x", actor=payer.actor)
    assert (len(live(payer)), orders(), own_subscriptions(sandbox)) == (1, ["fulfilled"], ["active"])


def test_a_card_that_is_refused_buys_nothing(
    sandbox: Sandbox, payer: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> Any:
        raise CardRefused(detail="insufficient_funds")

    monkeypatch.setattr(StripeGateway, "subscription_create", refuses)
    shown = addon_charges.prospect(payer.id, wish("custom-domain"))
    with pytest.raises(CardRefused):
        addon_charges.charge(
            payer.id, wish("custom-domain"), shown=shown.due, at=shown.at, reason="x", actor=payer.actor
        )
    assert (live(payer), orders()) == ([], ["cancelled"])


def test_without_a_card_and_for_support_it_is_refused_kindly(
    client: FlaskClient, sandbox: Sandbox, trial: Somebody
) -> None:
    with pytest.raises(Conflict) as refused:
        addon_charges.prospect(trial.id, wish("custom-domain"))
    assert refused.value.code == "no_way_to_pay"
    support = paid.staff_client(client, StaffKind.SUPPORT)
    answer = sends(support, trial, price=str(price_of("extra-storage")))
    assert answer.status_code == 403
    assert "Admins and finance may charge a vendor" in text_of(answer)
    assert sends(support, trial, price=str(price_of("extra-storage")), pay="free").status_code == 200

"""Somebody owes a month, leaves, comes again, and then pays what was open: it is known to be paid, and grants nothing.

Found by the state machine of subscriptions. Without ``follow_former`` the invoice stays open for ever, whoever asks.
"""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from portal.billing.models import Invoice
from portal.credits import queries as credits
from portal.kit.db import db
from portal.stripe_events import reconcile
from portal.subscriptions import ending_flows, queries
from portal.subscriptions.endings import Wish
from tests.stripe_events.life import end_trial
from tests.stripe_events.test_orders_of_events import now_has_a_card_that_fails
from tests.subscriptions.conftest import ADMIN
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    lives_on,
    mails_to,
    opens_checkout,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def returned(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene) -> Somebody:
    """Professional again since 17 February; the renewal of 15 February, 99.00, was never paid."""

    def lived() -> Somebody:
        push_catalog()
        who = signs_up()
        end_trial(who)
        assert pays(opens_checkout(who)).status_code == 303
        settle(sandbox, client)
        now_has_a_card_that_fails(sandbox, str(queries.held(who.id).stripe_customer_id))
        lives_on(sandbox, client, travel, days=33)
        ending_flows.cancel(who.id, Wish(at_once=True), actor=ADMIN, base_version=queries.held(who.id).version)
        assert pays(opens_checkout(who)).status_code == 303
        settle(sandbox, client)
        return who

    return scene("came again with a debt", lived)


def pays_the_debt(who: Somebody, sandbox: Sandbox) -> str:
    """Gives the invoice's id."""
    customer = str(queries.held(who.id).stripe_customer_id)
    (owed,) = stripe_get(sandbox, "invoices", customer=customer, status="open")["data"]
    assert pays(owed["hosted_invoice_url"]).status_code == 303
    return str(owed["id"])


def test_events_tell_of_a_debt_that_is_paid_after_its_vendor_came_again(
    returned: Somebody, client: FlaskClient, sandbox: Sandbox
) -> None:
    receipts, balance = mails_to(returned)["receipt"], credits.balance(returned.id)
    ident = pays_the_debt(returned, sandbox)
    settle(sandbox, client)
    db.session.rollback()
    debt = db.session.query(Invoice).filter_by(stripe_invoice_id=ident).one()
    assert (debt.status, debt.paid_minor) == ("paid", 9900)
    assert (mails_to(returned)["receipt"], credits.balance(returned.id)) == (receipts + 1, balance)
    assert queries.held(returned.id).status == "active"
    assert reconcile.compare(returned.id) == []


def test_the_nightly_comparison_brings_what_was_lost_of_it(
    returned: Somebody, sandbox: Sandbox, travel: Travel
) -> None:
    ident = pays_the_debt(returned, sandbox)
    sandbox.ack_all(sandbox.deliveries())
    travel.to(travel.now + timedelta(hours=12))
    assert {each.field for each in reconcile.repair(returned.id)} >= {"invoice", "invoice_paid"}
    assert db.session.query(Invoice.status).filter_by(stripe_invoice_id=ident).scalar() == "paid"
    assert reconcile.compare(returned.id) == []

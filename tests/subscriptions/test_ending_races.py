"""Many hands at once on an ending and on a debt: one effect, and paying always wins in the end."""

from functools import partial

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import dunning, ending_flows, queries
from portal.subscriptions.endings import Wish
from portal.subscriptions.flows import sync
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from tests.kit.conftest import pass_time
from tests.stripe_events.test_orders_of_events import now_has_a_card_that_fails
from tests.subscriptions.conftest import ADMIN, OTHER_ADMIN
from tests.subscriptions.test_races import at_once
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, mails_to, pays, settle, stripe_get, vendor_row
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")


def test_ended_by_six_at_once_it_ends_once(
    catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel
) -> None:
    travel.on(days=10)
    version = queries.held(payer.id).version
    db.session.rollback()
    wish = Wish(at_once=True, comment="Six hands")
    answers = at_once(catalog, [
        partial(ending_flows.cancel, payer.id, wish, actor=who, base_version=version)
        for who in (ADMIN, OTHER_ADMIN) * 3
    ])  # fmt: skip
    assert sum(isinstance(a, Conflict) for a in answers) == 5
    pass_time(60)
    settle(pushed, client)
    assert queries.held(payer.id).status == Status.CANCELLED
    # The first period and one credit for what was unused of it, not two.
    customer = str(vendor_row(payer).stripe_customer_id)
    reasons = [i["billing_reason"] for i in stripe_get(pushed, "invoices", customer=customer)["data"]]
    assert sorted(reasons) == ["subscription_create", "subscription_update"]
    assert mails_to(payer)["cancelled"] == 1


def test_cancelled_and_taken_back_by_many_both_sides_agree(
    catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    wish = Wish(at_once=False)
    ending_flows.cancel(payer.id, wish, actor=payer.actor, base_version=queries.held(payer.id).version)
    version = queries.held(payer.id).version
    db.session.rollback()
    answers = at_once(catalog, [
        partial(ending_flows.resume, payer.id, actor=payer.actor, base_version=version) for _ in range(6)
    ])  # fmt: skip
    assert answers.count(True) == 1
    pass_time(60)
    settle(pushed, client)
    assert not queries.ending(payer.id).at_period_end
    held = queries.held(payer.id).stripe_subscription_id
    assert not stripe_get(pushed, f"subscriptions/{held}")["cancel_at_period_end"]
    assert mails_to(payer)["resumed"] == 1


def test_paid_in_the_moment_in_which_it_would_close(
    catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel
) -> None:
    customer = str(vendor_row(payer).stripe_customer_id)
    now_has_a_card_that_fails(pushed, customer)
    travel.on(days=32)
    pushed.run_due()
    settle(pushed, client)
    assert queries.held(payer.id).status == Status.PAST_DUE
    travel.on(days=8)
    [invoice] = stripe_get(pushed, "invoices", customer=customer, status="open")["data"]
    assert pays(invoice["hosted_invoice_url"]).status_code == 303
    held = str(queries.held(payer.id).stripe_subscription_id)
    db.session.rollback()

    def tend() -> None:
        with unit_of_work():
            dunning.tend(lock(payer.id), now=clock.business())

    at_once(catalog, [tend, partial(sync, payer.id, held)] * 4)
    settle(pushed, client)
    for _ in range(2):
        with unit_of_work():
            dunning.tend_vendor(payer.id, now=clock.business())
    assert queries.held(payer.id).status == Status.ACTIVE
    written = mails_to(payer)
    assert written.get("suspended", 0) == written.get("reactivated", 0) <= 1

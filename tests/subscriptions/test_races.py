"""Many hands at once, on the database of this run: one effect, and whoever came too late is told."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.accounts import service as accounts
from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.models import Order, Purchase
from portal.credits import queries as credits
from portal.identity.models import User, Vendor
from portal.kit import clock, jobs, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows, queries
from portal.subscriptions.models import TierChange
from portal.subscriptions.rules import ChangeState, When
from tests.stripe_events.life import post
from tests.subscriptions.conftest import ADMIN, OTHER_ADMIN
from tests.support.servers import Sandbox
from tests.support.stories import PASSWORD, Somebody, mails_to, opens_checkout, pays, settle, signs_up, stripe_get

pytestmark = pytest.mark.usefixtures("unscoped")


def at_once(app: Flask, works: list[Callable[[], Any]]) -> list[Any]:
    """Run these in threads that begin together; gives each one's answer, or the error it was told."""
    gate = Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        with app.app_context(), tenancy.unscoped("a test"):
            gate.wait(20)
            try:
                return work()
            except (Conflict, Invalid) as error:
                return error
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def price(tier: str) -> int:
    found = catalog_queries.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


def test_two_admins_change_the_tier_at_once_and_one_wins(
    catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    version = queries.held(payer.id).version
    wishes = [(ADMIN, price("business")), (OTHER_ADMIN, price("essential"))]
    db.session.rollback()
    answers = at_once(catalog, [
        partial(change_flows.change_tier, payer.id, p, When.NOW, actor=a, base_version=version) for a, p in wishes
    ])  # fmt: skip
    settle(pushed, client)
    assert sorted(type(a).__name__ for a in answers) == ["ChangeState", "Conflict"]
    won = answers.index(ChangeState.APPLIED)
    assert queries.held(payer.id).price_id == wishes[won][1]
    assert db.session.query(TierChange).count() == 1
    updates = [e for e in stripe_get(pushed, "events", type="customer.subscription.updated", limit="100")["data"]
               if "items" in e["data"].get("previous_attributes", {})]  # fmt: skip
    assert len(updates) == 1
    assert mails_to(payer)["tier_changed"] == 1


def test_one_admin_who_presses_twice_changes_once(
    catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    """The second press finds the first one's intent and carries it on with the same key, or finds it done."""
    version, business = queries.held(payer.id).version, price("business")
    db.session.rollback()
    at_once(catalog, [
        partial(change_flows.change_tier, payer.id, business, When.NOW, actor=ADMIN, base_version=version)
        for _ in range(3)
    ])  # fmt: skip
    settle(pushed, client)
    assert queries.held(payer.id).price_id == business
    assert [c.state for c in db.session.query(TierChange)] == [ChangeState.APPLIED]
    invoices = stripe_get(pushed, "invoices", limit="100")["data"]
    assert [i["billing_reason"] for i in invoices] == ["subscription_update", "subscription_create"]


def test_fulfilled_by_ten_at_once_is_fulfilled_once(catalog: Flask, client: FlaskClient, pushed: Sandbox) -> None:
    who = signs_up()
    pays(opens_checkout(who))
    order = db.session.query(Order).one().id
    db.session.rollback()
    at_once(catalog, [lambda: checkout.fulfil(order) for _ in range(10)])
    settle(pushed, client)
    assert [o.state for o in db.session.query(Order)] == ["fulfilled"]
    assert db.session.query(Purchase).count() == 1
    assert credits.balance(who.id) == 2000
    assert len(credits.ledger(who.id)) == 1
    assert credits.verify() == []
    assert mails_to(who)["subscription_active"] == 1


def test_checkout_opened_by_five_at_once_is_one_page(catalog: Flask, pushed: Sandbox) -> None:
    who = signs_up()
    urls = at_once(catalog, [lambda: opens_checkout(who) for _ in range(5)])
    assert len({str(url) for url in urls if not isinstance(url, Conflict)}) == 1
    assert len(stripe_get(pushed, "checkout/sessions")["data"]) == 1


def test_an_address_registered_by_eight_at_once_has_one_account(catalog: Flask, pushed: Sandbox) -> None:
    wanted = accounts.prepare(
        business_name="Ada's Shop", name="Ada", email="ada@shop.example", password=PASSWORD, tier_code="professional"
    )
    db.session.rollback()

    def register() -> int:
        with unit_of_work():
            return accounts.register(wanted, now=clock.business()).vendor.id

    answers = at_once(catalog, [register] * 8)
    assert sorted(type(a).__name__ for a in answers) == ["Invalid"] * 7 + ["int"]
    assert all("email" in a.fields for a in answers if isinstance(a, Invalid))
    jobs.run_all()
    assert (db.session.query(User).count(), db.session.query(Vendor).count()) == (1, 1)
    assert len(stripe_get(pushed, "customers")["data"]) == 1
    vendor = db.session.query(Vendor).one().id
    assert [(e.kind, e.amount) for e in credits.ledger(vendor)] == [("grant", 2000)]


def test_one_event_in_ten_threads_grants_once(catalog: Flask, client: FlaskClient, pushed: Sandbox) -> None:
    from tests.stripe_events.life import end_trial

    who = signs_up()
    end_trial(who)
    pays(opens_checkout(who))
    paid = stripe_get(pushed, "events", type="invoice.paid")["data"][0]
    db.session.rollback()
    answers = at_once(catalog, [lambda: post(catalog.test_client(), paid).json["known"] for _ in range(10)])
    assert sorted(answers) == [False] + [True] * 9
    at_once(catalog, [jobs.run_all] * 4)
    settle(pushed, client)
    # 2,000 to start with lapse unspent when the paid period brings its own 2,000.
    assert [(e.kind, e.amount) for e in credits.ledger(who.id)] == [("grant", 2000), ("expiry", -2000), ("grant", 2000)]
    assert mails_to(who)["receipt"] == 1

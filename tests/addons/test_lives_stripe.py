"""Lives of add-ons at Stripe: many hands, lost events, a card that fails, a plan that ends or shrinks."""

import threading
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from portal.addons import endings, included, keeping_flows, service
from portal.addons.queries import Had
from portal.addons.rules import AddonStatus, Origin
from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Cycle
from portal.checkout import addon_flows
from portal.checkout.models import Purchase
from portal.gateways import stripe
from portal.kit import clock, jobs, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Unavailable
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import reconcile
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.history import lock, note
from portal.subscriptions.queries import Held
from portal.subscriptions.rules import Status, When
from tests.addons.buying import MYSHOP, buys, live, price_of, row, wish
from tests.stripe_events.life import end_trial
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    lives_on,
    mails_to,
    opens_checkout,
    own_card,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
HANDS = 20


@pytest.fixture
def payer(client: FlaskClient, sandbox: Sandbox, scene: Scene) -> Somebody:
    """Professional, which includes a domain, paid monthly by card since today."""

    def pay() -> Somebody:
        push_catalog()
        who = signs_up("professional")
        end_trial(who)
        pays(opens_checkout(who, "professional"), own_card(1))
        settle(sandbox, client)
        return who

    return scene("a professional payer", pay)


def test_twenty_hands_fulfil_once(catalog: Flask, client: FlaskClient, sandbox: Sandbox, payer: Somebody) -> None:
    """Tried once without the check of the order's state: the second hand refused what the first one had fulfilled."""
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    db.session.remove()
    ready, out = threading.Barrier(HANDS), []

    def hand() -> None:
        with catalog.app_context(), tenancy.unscoped("a test"):
            ready.wait(timeout=30)
            try:
                out.append(str(addon_flows.fulfil(started.order_id)))
            finally:
                db.session.remove()

    threads = [threading.Thread(target=hand) for _ in range(HANDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert out == ["fulfilled"] * HANDS
    assert len(live(payer)) == 1
    assert db.session.query(Purchase).filter_by(kind="addon").count() == 1


def test_lost_events_are_made_good(client: FlaskClient, sandbox: Sandbox, payer: Somebody) -> None:
    """Nobody hears of the payment: the nightly comparison finds the order and brings the add-on."""
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    reconcile.repair(payer.id, actor=SYSTEM)
    (addon,) = live(payer)
    assert addon.stripe_subscription_id is not None
    jobs.run_all()
    assert reconcile.repair(payer.id, actor=SYSTEM) == []


def test_what_was_paid_a_moment_ago_does_not_end(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(payer)
    with unit_of_work():
        found = service.locked(addon.id, payer.id)
        service.fell_behind(found, since=clock.business(), now=clock.business())
    travel.on(days=8)
    assert [addon_id for _, addon_id, _ in endings.due_unpaid(clock.business())] == [addon.id]
    endings.end_unpaid(payer.id, addon.id)
    assert not row(addon.id).is_over, "Stripe says it is paid: that is seen before anything ends"
    assert row(addon.id).past_due_since is None


def included_domain(who: Somebody) -> int:
    """The domain that the tier includes, set up."""
    product = db.session.scalar(db.select(AddonProduct.id).where(AddonProduct.code == "custom-domain"))
    with unit_of_work():
        made = included.set_up(who.id, product or 0, dict(MYSHOP), actor=who.actor, now=clock.business())
        addon_id = made.id
    jobs.run_all()
    return addon_id


def goes_down(who: Somebody) -> None:
    """To Essential with the next period; the domain is kept for 15.00 a year."""
    decided = {"addons": [{"code": "custom-domain", "name": "Custom domain", "variant": "", "quantity": 1, "keep": True,
                           "price_id": price_of("custom-domain"), "cycle": "yearly", "minor": 1500,
                           "currency": "EUR"}]}  # fmt: skip
    change_flows.change_tier(
        who.id, catalog_price("essential"), When.NEXT, actor=who.actor,
        base_version=subscriptions.held(who.id).version, choices=decided,
    )  # fmt: skip


@pytest.mark.thorough
def test_the_included_domain_is_kept_as_it_was_confirmed(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    """Down to Essential: 1500 a year from the card on file, on a subscription of its own; the same row goes on."""
    addon_id = included_domain(payer)
    goes_down(payer)
    settle(sandbox, client)
    lives_on(sandbox, client, travel, step=24, days=33)
    kept = row(addon_id)
    assert (kept.origin, kept.provider, kept.is_over) == (Origin.BOUGHT, "stripe", False)
    assert kept.stripe_subscription_id is not None and kept.total is not None and kept.total.minor == 1500
    assert "addon_ended" not in mails_to(payer)


@pytest.mark.thorough
@pytest.mark.parametrize("dies", [False, True], ids=["a 500 after the effect", "and the worker dies"])
def test_what_is_kept_is_charged_once_whatever_stripe_answers(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """Tried once with ``keeping_flows._made`` that never finds: two subscriptions, the second by the next try's key."""
    addon_id = included_domain(payer)
    goes_down(payer)
    settle(sandbox, client)
    fault = {"kind": "status", "when": "after", "status": 500, "path": "POST /v1/subscriptions$"}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    look, looks = keeping_flows._made, []

    def deaf_once(held: Held, had: Had) -> dict[str, Any] | None:
        """The first look finds nothing; the one after the 500 gets no answer where the worker dies."""
        looks.append(had.version)
        if dies and len(looks) == 2:
            raise Unavailable
        return look(held, had)

    monkeypatch.setattr(keeping_flows, "_made", deaf_once)
    lives_on(sandbox, client, travel, step=24, days=33)
    keeping_flows.keep(addon_id, payer.id, price_of("custom-domain"))
    assert len(looks) == (3 if dies else 2)
    kept = row(addon_id)
    assert (kept.origin, kept.is_over) == (Origin.BOUGHT, False)
    customer = str(subscriptions.held(payer.id).stripe_customer_id)
    own = [each for each in stripe.current().subscriptions(customer) if each["metadata"].get("addon") == str(addon_id)]
    assert [each["id"] for each in own] == [kept.stripe_subscription_id]
    settle(sandbox, client)
    paid = db.session.query(Invoice).filter_by(stripe_subscription_id=kept.stripe_subscription_id).all()
    assert [invoice.paid_minor for invoice in paid] == [1500]


def catalog_price(tier: str) -> int:
    found = catalog.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


@pytest.mark.thorough
def test_the_plan_ends_and_a_paid_year_stays_until_its_end(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(payer)
    held = subscriptions.held(payer.id)
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", cancel_at_period_end="true")
    settle(sandbox, client)
    lives_on(sandbox, client, travel, step=24, days=32)
    assert subscriptions.held(payer.id).status == Status.CANCELLED
    assert (row(addon.id).cancel_at_period_end, row(addon.id).ends_at) == (True, addon.period_end)
    assert not row(addon.id).is_over


@pytest.mark.parametrize("pays_again", [False, True])
def test_closed_for_thirty_days_after_two_mails(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel, pays_again: bool
) -> None:
    """Grace 7 days: suspended on day 7, warned on days 23 and 34, over on day 37."""
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(payer)
    with unit_of_work():
        subscription = lock(payer.id)
        subscription.status, subscription.past_due_since = Status.SUSPENDED, clock.business()
        note(subscription, "status_changed", actor=SYSTEM, now=clock.business(), before="past_due", after="suspended")

    def day(number: int) -> list[int]:
        travel.on(days=number)
        found = [(due.vendor_id, due.day) for due in endings.due(clock.business())]
        for vendor_id, which in found:
            endings.tend(vendor_id, which)
            endings.tend(vendor_id, which)
        return [which for _, which in found]

    assert day(7 + 15) == []
    assert day(1) == [16]
    assert day(11) == [27]
    assert mails_to(payer)["addons_closing"] == 2
    if pays_again:
        with unit_of_work():
            lock(payer.id).status = Status.ACTIVE
        assert day(3) == []
        assert not row(addon.id).is_over
        return
    assert day(3) == [30]
    assert row(addon.id).status == AddonStatus.CANCELLED
    assert mails_to(payer)["addon_ended"] == 1


@pytest.mark.thorough
def test_an_own_subscription_that_is_not_paid_ends_alone(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    """The year's second payment fails: told once, the plan stays active, and after the grace the add-on is over."""
    started = buys(payer, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(payer)
    customer = subscriptions.held(payer.id).stripe_customer_id
    method = stripe_post(sandbox, "payment_methods/pm_card_chargeCustomerFail/attach", customer=str(customer))
    stripe_post(sandbox, f"subscriptions/{addon.stripe_subscription_id}", default_payment_method=method["id"])
    settle(sandbox, client)
    lives_on(sandbox, client, travel, step=24 * 14, days=365)
    lives_on(sandbox, client, travel, step=24, days=3)
    assert row(addon.id).past_due_since is not None
    assert subscriptions.held(payer.id).status == Status.ACTIVE
    assert mails_to(payer)["addon_unpaid"] == 1
    owed = db.session.query(Invoice).filter_by(stripe_subscription_id=addon.stripe_subscription_id, status="open").one()
    assert owed.due_minor == 1500
    # Tried once with ``changes.owes`` counting every open invoice: Conflict, "An invoice is unpaid."
    version = subscriptions.held(payer.id).version
    change_flows.change_tier(payer.id, catalog_price("business"), When.NOW, actor=payer.actor, base_version=version)
    settle(sandbox, client)
    assert subscriptions.held(payer.id).price_id == catalog_price("business")
    lives_on(sandbox, client, travel, step=24, days=9)
    assert row(addon.id).is_over
    assert subscriptions.held(payer.id).status == Status.ACTIVE


def test_a_card_that_must_be_confirmed(client: FlaskClient, sandbox: Sandbox, payer: Somebody) -> None:
    """An item waits for the payment that its owner confirms; nothing is set up before, and nothing twice after."""
    held = subscriptions.held(payer.id)
    method = stripe_post(
        sandbox, "payment_methods/pm_card_authenticationRequired/attach", customer=str(held.stripe_customer_id)
    )
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=method["id"])
    settle(sandbox, client)
    started = buys(payer, wish("extra-storage"))
    assert (started.state, started.url is not None) == ("open", True)
    settle(sandbox, client)
    assert live(payer) == []
    pays(str(started.url), own_card(4))
    settle(sandbox, client)
    (addon,) = live(payer)
    assert (addon.code, addon.stripe_subscription_id) == ("extra-storage", None)
    assert addon_flows.fulfil(started.order_id) == "fulfilled"
    assert len(live(payer)) == 1

"""Add-ons that Stripe and the portal see differently: named field by field, and repaired by the events' own verbs."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.addons import flows
from portal.addons import queries as addons
from portal.addons.rules import AddonStatus
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import clock
from portal.kit.db import db
from portal.stripe_events import reconcile
from portal.stripe_events.compare import compare
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import When
from portal.web.vendor.outlook import outlook
from tests.addons.buying import buys, live, price_of, row, wish
from tests.stripe_events.life import end_trial
from tests.subscriptions.test_item_table import FIVE, addon_price
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    lives_on,
    opens_checkout,
    own_card,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
DOMAIN = {"domain_id": 1, "name": "myshop.de", "shown": "myshop.de"}


@pytest.fixture
def payer(client: FlaskClient, sandbox: Sandbox, scene: Scene) -> Somebody:
    """Pays for Essential by the month, with storage as an item and a domain on a subscription of its own."""

    def pay() -> Somebody:
        push_catalog()
        who = signs_up("essential")
        end_trial(who)
        pays(opens_checkout(who, "essential"), own_card(1))
        settle(sandbox, client)
        buys(who, wish("extra-storage", quantity=2))
        pays(str(buys(who, wish("custom-domain")).url), own_card(1))
        settle(sandbox, client)
        return who

    return scene("essential with storage and a domain", pay)


@pytest.fixture
def deaf(sandbox: Sandbox, payer: Somebody) -> None:
    """From now on Stripe's events are lost."""
    sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000_000)


def told(who: Somebody) -> list[tuple[str, Any, Any, bool]]:
    db.session.rollback()
    return [(d.field, _plain(d.ours), _plain(d.theirs), d.repairable) for d in compare(who.id)]


def _plain(value: Any) -> Any:
    return value.minor if hasattr(value, "minor") else value


def named(who: Somebody, code: str) -> Any:
    return next(found for found in live(who) if found.code == code)


def tier_at_stripe(who: Somebody) -> str:
    return str(subscriptions.held(who.id).stripe_subscription_id)


def test_what_agrees_is_no_difference(payer: Somebody) -> None:
    assert {found.code for found in live(payer)} == {"extra-storage", "custom-domain"}
    assert told(payer) == []


def test_the_next_charge_is_the_plan_with_what_is_charged_beside_it(payer: Somebody) -> None:
    """Essential 4900 and 2 × 500 on the same day; the domain has a subscription of its own. Then one, then none."""
    storage = named(payer, "extra-storage")
    assert next_charge(payer) == (5900, storage.period_end)
    fewer = wish("extra-storage", quantity=1)
    shown = flows.preview(storage.id, payer.id, fewer)
    flows.change(
        storage.id, payer.id, fewer, shown=shown.due, at=shown.at, base_version=row(storage.id).version,
        actor=payer.actor,
    )  # fmt: skip
    assert next_charge(payer) == (5400, storage.period_end)
    flows.undo_plan(storage.id, payer.id, actor=payer.actor)
    flows.cancel(storage.id, payer.id, actor=payer.actor)
    assert next_charge(payer) == (4900, storage.period_end)


@pytest.mark.thorough
def test_storage_by_the_month_is_charged_before_a_plan_by_the_year(
    client: FlaskClient, payer: Somebody, sandbox: Sandbox
) -> None:
    yearly = catalog.offer("essential", Cycle.YEARLY)
    assert yearly is not None
    version = subscriptions.held(payer.id).version
    change_flows.change_tier(payer.id, yearly.id, When.NOW, actor=payer.actor, base_version=version)
    settle(sandbox, client)
    storage = named(payer, "extra-storage")
    assert storage.period_end < subscriptions.held(payer.id).period_end
    assert next_charge(payer) == (1000, storage.period_end)
    assert told(payer) == []


def next_charge(who: Somebody) -> tuple[int, Any]:
    db.session.rollback()
    held = subscriptions.overview(who.id, *addons.beside_plan())
    coming = outlook(held, clock.business()).next_charge
    assert held is not None and coming is not None
    return coming.amount.minor, coming.at


def test_another_quantity_made_in_stripe_shows_and_is_repaired(payer: Somebody, sandbox: Sandbox, deaf: None) -> None:
    storage = named(payer, "extra-storage")
    stripe_post(sandbox, f"subscription_items/{storage.stripe_item_id}", quantity="5", proration_behavior="none")
    assert told(payer) == [("addon_price", 1000, 2500, True)]
    assert [d.field for d in reconcile.repair(payer.id)] == ["addon_price"]
    assert row(storage.id).quantity == 5 and told(payer) == []


def test_an_item_taken_off_in_stripe_shows_and_has_ended_then(payer: Somebody, sandbox: Sandbox, deaf: None) -> None:
    import requests

    from tests.support.servers import KEY

    storage = named(payer, "extra-storage")
    url = f"{sandbox.url}/v1/subscription_items/{storage.stripe_item_id}"
    assert requests.delete(url, auth=(KEY, ""), timeout=20).status_code == 200
    assert told(payer) == [("addon", "active", None, True)]
    reconcile.repair(payer.id)
    assert row(storage.id).status == AddonStatus.CANCELLED
    assert [d[0] for d in told(payer)] == []


def test_an_item_that_nobody_bought_here_is_named_and_left_alone(payer: Somebody, sandbox: Sandbox, deaf: None) -> None:
    stripe_post(
        sandbox, "subscription_items", subscription=tier_at_stripe(payer), price=addon_price(FIVE),
        proration_behavior="none",
    )  # fmt: skip
    assert told(payer) == [("addon_unknown", None, 500, False)]
    assert reconcile.repair(payer.id) == []


def test_a_subscription_of_an_add_on_that_ends_shows_and_is_repaired(
    payer: Somebody, sandbox: Sandbox, deaf: None
) -> None:
    domain = named(payer, "custom-domain")
    stripe_post(sandbox, f"subscriptions/{domain.stripe_subscription_id}", cancel_at_period_end="true")
    assert told(payer) == [("addon_ends", None, domain.period_end, True)]
    reconcile.repair(payer.id)
    assert row(domain.id).cancel_at_period_end and told(payer) == []


def test_an_end_on_another_day_shows_for_the_plan_and_its_items(payer: Somebody, sandbox: Sandbox, deaf: None) -> None:
    """Set in Stripe for a week before the month is over: the plan ends then, and storage with it; the domain stays."""
    held = subscriptions.held(payer.id)
    day = int(held.period_end.timestamp()) - 7 * 86_400
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", cancel_at=str(day))
    fields = [(field, repairable) for field, _ours, _theirs, repairable in told(payer)]
    assert fields == [("cancel_at_period_end", True), ("cancel_at", True), ("addon_ends", True)]
    reconcile.repair(payer.id)
    after = subscriptions.overview(payer.id)
    assert after is not None and int(after.ends_at.timestamp()) == day and told(payer) == []


@pytest.mark.thorough
def test_a_smaller_package_takes_the_place_of_the_larger_and_keeps_its_row(
    client: FlaskClient, payer: Somebody, sandbox: Sandbox, travel: Travel
) -> None:
    """Stripe makes another item of another price; without ``heir`` the row would have ended (tried once)."""
    buys(payer, wish("email-package", "10", config=DOMAIN))
    settle(sandbox, client)
    package = named(payer, "email-package")
    smaller = wish("email-package", "5", config=DOMAIN)
    shown = flows.preview(package.id, payer.id, smaller)
    made = flows.change(
        package.id, payer.id, smaller, shown=shown.due, at=shown.at, base_version=row(package.id).version,
        actor=payer.actor,
    )  # fmt: skip
    assert made.state == "planned" and told(payer) == []
    lives_on(sandbox, client, travel, step=48, days=33)
    after = row(package.id)
    assert (after.status != AddonStatus.CANCELLED, after.variant, after.price_id) == (
        True, "5", price_of("email-package", "5"),
    )  # fmt: skip
    assert after.stripe_item_id != package.stripe_item_id and told(payer) == []
    items = stripe_get(sandbox, "subscription_items", subscription=tier_at_stripe(payer))["data"]
    assert sorted(i["price"]["unit_amount"] * i["quantity"] for i in items) == [500, 1000, 4900]

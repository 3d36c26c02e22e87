"""Add-ons on the tier's subscription on bad days: refused, repeated, lost, not shown so, or not possible."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from portal.gateways.stripe import StripeMismatch
from portal.kit import clock, tenancy
from portal.kit.errors import Conflict, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.subscriptions import ending_flows, item_flows, queries
from portal.subscriptions.endings import Wish
from portal.subscriptions.item_flows import ItemState
from portal.subscriptions.rules import When
from tests.subscriptions.items import (
    CHALLENGE,
    FAILS,
    GOOD,
    adds,
    at_stripe,
    card,
    faults,
    stands,
    switches,
    tier_of,
)
from tests.subscriptions.test_item_table import FIVE, STORAGE, addon_price
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    opens_checkout,
    own_card,
    pays,
    settle,
    signs_up,
    stripe_get,
)

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.mark.parametrize("bad", [FAILS, CHALLENGE])
def test_a_refused_card_leaves_everything_as_it_was_until_the_invoice_is_paid(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, bad: str
) -> None:
    card(pushed, payer, bad)
    waiting = adds(payer)
    assert (waiting.state, waiting.item) == (ItemState.AWAITING_PAYMENT, None)
    assert stands(pushed, payer) == [(9900, 1)] and waiting.pay_url
    with pytest.raises(PaymentRequired) as owed:  # nothing more while this is open, and where to pay it
        adds(payer, FIVE, 1, key="other")
    assert owed.value.code == "invoice_unpaid" and owed.value.action and owed.value.action[1] == waiting.pay_url
    with pytest.raises(Conflict, match="invoice_unpaid"):
        switches(payer, "business", When.NOW)
    assert pays(waiting.pay_url).status_code == 303
    settle(pushed, client)
    assert stands(pushed, payer) == [(9900, 1), (500, 2)]
    assert at_stripe(pushed, payer)["pending_update"] is None


def test_what_nobody_pays_lapses_and_may_be_tried_again(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    card(pushed, payer, FAILS)
    adds(payer)
    much_later(hours=24)
    assert stands(pushed, payer) == [(9900, 1)] and tier_of(payer)[0] == "professional"
    card(pushed, payer, GOOD)
    settle(pushed, client)
    assert adds(payer, key="again").state == ItemState.APPLIED


def test_the_same_key_adds_once_and_another_key_is_told(pushed: Sandbox, payer: Somebody) -> None:
    now = clock.business()
    at = now.replace(microsecond=0)
    for _ in range(3):
        done = item_flows.add_item(payer.id, addon_price(STORAGE), 2, key="once", at=at, shown=None, now=now)
        assert done.item is not None and done.item.quantity == 2
    with pytest.raises(Conflict) as told:
        adds(payer, key="other")
    assert told.value.code == "item_exists"
    assert stands(pushed, payer) == [(9900, 1), (500, 2)]


def test_twenty_at_once_with_one_key_add_one(app: Flask, pushed: Sandbox, payer: Somebody) -> None:
    stripe_price, now = addon_price(STORAGE), clock.business()

    def one(_: int) -> str:
        with app.app_context(), tenancy.unscoped("a race"):
            try:
                item_flows.add_item(
                    payer.id, stripe_price, 2, key="race", at=now.replace(microsecond=0), shown=None, now=now
                )
            except (Conflict, Unavailable, StripeMismatch) as error:
                return error.code
            return "added"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(20)))
    assert "added" in answers
    assert stands(pushed, payer) == [(9900, 1), (500, 2)]
    customer = str(queries.held(payer.id).stripe_customer_id)
    made = stripe_get(pushed, "invoices", customer=customer, limit="100")["data"]
    assert len([i for i in made if i["billing_reason"] == "subscription_update"]) == 1


@pytest.mark.parametrize(("when", "status"), [("before", 503), ("after", 500)])
def test_an_answer_that_got_lost_is_found_by_asking(pushed: Sandbox, payer: Somebody, when: str, status: int) -> None:
    faults(pushed, kind="status", status=status, when=when, path="POST /v1/subscription_items", times=9)
    now = clock.business()
    wanted: dict[str, Any] = {"key": "lost", "at": now.replace(microsecond=0), "shown": None, "now": now}
    if when == "before":
        with pytest.raises(Unavailable):
            item_flows.add_item(payer.id, addon_price(STORAGE), 2, **wanted)
        assert requests.delete(f"{pushed.url}/_sandbox/faults", timeout=20).status_code == 200
    done = item_flows.add_item(payer.id, addon_price(STORAGE), 2, **wanted)
    assert done.state == ItemState.APPLIED and stands(pushed, payer) == [(9900, 1), (500, 2)]


def test_another_amount_than_was_shown_is_not_charged(pushed: Sandbox, payer: Somebody) -> None:
    """With the check of ``shown`` removed this charges 1000 and fails (tried once)."""
    with pytest.raises(Conflict) as told:
        adds(payer, shown=Money(999, "EUR"))
    assert told.value.code == "preview_changed"
    now = clock.business()
    with pytest.raises(Conflict) as old:
        item_flows.add_item(payer.id, addon_price(STORAGE), 2, key="k", at=now - timedelta(minutes=16),
                            shown=Money(1000, "EUR"), now=now)  # fmt: skip
    assert old.value.code == "preview_expired"
    assert stands(pushed, payer) == [(9900, 1)]


def test_in_free_days_and_for_a_cancelled_plan_add_ons_go_elsewhere(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    free = signs_up(email="grace@shop.example", name="Grace's Shop")
    assert not item_flows.takes_items(free.id, clock.business())
    assert pays(opens_checkout(free), own_card(7)).status_code == 303
    settle(pushed, client)
    held = queries.held(free.id)
    assert (held.status, held.has_card) == ("active", True)
    assert not item_flows.takes_items(free.id, clock.business()), "the card is on file, the free days run still"
    assert item_flows.takes_items(payer.id, clock.business())
    ending_flows.cancel(payer.id, Wish(at_once=False), actor=payer.actor, base_version=queries.held(payer.id).version)
    assert not item_flows.takes_items(payer.id, clock.business())
    with pytest.raises(Conflict) as told:
        adds(payer)
    assert told.value.code == "no_items"


def test_an_item_of_nobody_is_not_found(payer: Somebody, pushed: Sandbox) -> None:
    now = clock.business()
    with pytest.raises(NotFound):
        item_flows.change_item(payer.id, "si_nobody", addon_price(STORAGE), 3, key="k", at=now, shown=None, now=now)
    with pytest.raises(NotFound):
        item_flows.plan_item(payer.id, "si_nobody", addon_price(STORAGE), 1, key="k")
    with pytest.raises(NotFound):  # the tier's own item is no add-on
        item_flows.plan_item(payer.id, str(queries.held(payer.id).stripe_item_id), addon_price(STORAGE), 0, key="k")
    item_flows.remove_item(payer.id, "si_nobody", at_period_end=False, key="k", at=now)

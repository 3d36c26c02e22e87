"""Add-ons on the tier's subscription on good days and bad ones, and what is planned for them beside a planned tier."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.gateways.stripe import StripeMismatch
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.subscriptions import change_flows, coming_flows, ending_flows, item_flows, queries, remote
from portal.subscriptions.endings import Wish
from portal.subscriptions.item_flows import ItemOutcome, ItemState
from portal.subscriptions.models import TierChange
from portal.subscriptions.remote import Planned
from portal.subscriptions.rules import When
from tests.subscriptions.conftest import ADMIN
from tests.subscriptions.test_item_table import FIVE, MANY, STORAGE, addon_price
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    mails_to,
    opens_checkout,
    own_card,
    pays,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)

pytestmark = pytest.mark.usefixtures("unscoped")
FAILS, CHALLENGE, GOOD = "pm_card_chargeCustomerFail", "pm_card_authenticationRequired", "pm_card_visa"


def price(tier: str) -> int:
    found = catalog.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


def adds(who: Somebody, addon=STORAGE, quantity: int = 2, key: str = "k", shown: Money | None = None) -> ItemOutcome:
    now = clock.business()
    at = now.replace(microsecond=0)
    return item_flows.add_item(who.id, addon_price(addon), quantity, key=key, at=at, shown=shown, now=now)


def switches(who: Somebody, tier: str, when: When) -> None:
    version = queries.held(who.id).version
    change_flows.change_tier(who.id, price(tier), when, actor=ADMIN, base_version=version)


def at_stripe(sandbox: Sandbox, who: Somebody) -> dict:
    return stripe_get(sandbox, f"subscriptions/{queries.held(who.id).stripe_subscription_id}")


def stands(sandbox: Sandbox, who: Somebody) -> list[tuple[int, int]]:
    return [(i["price"]["unit_amount"], i["quantity"]) for i in at_stripe(sandbox, who)["items"]["data"]]


def amount_of(sandbox: Sandbox, price_id: str) -> int:
    return stripe_get(sandbox, f"prices/{price_id}")["unit_amount"]


def to_come(sandbox: Sandbox, who: Somebody) -> list[list[tuple[int, int]]]:
    """The items of every phase that is to come (cents of one, how many)."""
    held = at_stripe(sandbox, who)
    if held["schedule"] is None:
        return []
    schedule = stripe_get(sandbox, f"subscription_schedules/{held['schedule']}")
    begun = schedule["current_phase"]["start_date"]
    later = [p for p in schedule["phases"] if p["start_date"] > begun]
    return [[(amount_of(sandbox, i["price"]), i["quantity"]) for i in phase["items"]] for phase in later]


def last_invoice(sandbox: Sandbox, who: Somebody) -> list[int]:
    customer = str(queries.held(who.id).stripe_customer_id)
    newest = stripe_get(sandbox, "invoices", customer=customer, limit="1")["data"][0]
    return [line["amount"] for line in newest["lines"]["data"]]


def card(sandbox: Sandbox, who: Somebody, method: str) -> None:
    held = queries.held(who.id)
    made = stripe_post(sandbox, f"payment_methods/{method}/attach", customer=str(held.stripe_customer_id))["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=made)


def tier_of(who: Somebody) -> tuple[str, bool, list[str]]:
    """Tier, is its end planned, and where its changes stand."""
    db.session.rollback()
    held = queries.overview(who.id)
    assert held is not None
    changes = db.session.query(TierChange).populate_existing().order_by(TierChange.id)
    return held.tier_code, held.cancel_at_period_end, [str(c.state) for c in changes]


def faults(sandbox: Sandbox, **fault: object) -> None:
    assert requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).status_code == 200


@pytest.fixture
def kept(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> str:
    """The payer has two times storage; gives its item."""
    item = adds(payer, key="kept").item
    settle(pushed, client)
    assert item is not None
    return item.id


# bad days ------------------------------------------------------------------------------------------------------------


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
    wanted = {"key": "lost", "at": now.replace(microsecond=0), "shown": None, "now": now}
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


# what is planned -----------------------------------------------------------------------------------------------------


def test_a_smaller_number_comes_with_the_next_period(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    item_flows.plan_item(payer.id, kept, addon_price(STORAGE), 1, key="down")
    assert stands(pushed, payer) == [(9900, 1), (500, 2)] and to_come(pushed, payer) == [[(9900, 1), (500, 1)]]
    there = remote.read(at_stripe(pushed, payer))
    assert there.planned == {kept: Planned(addon_price(STORAGE), 1)}
    much_later(days=33)
    assert stands(pushed, payer) == [(9900, 1), (500, 1)] and last_invoice(pushed, payer) == [9900, 500]
    assert remote.read(at_stripe(pushed, payer)).planned == {}
    much_later(days=31)
    assert last_invoice(pushed, payer) == [9900, 500] and at_stripe(pushed, payer)["schedule"] is None


def test_an_item_ends_with_its_period_or_is_kept_after_all(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    at = clock.business()
    item_flows.remove_item(payer.id, kept, at_period_end=True, key="end", at=at)
    assert to_come(pushed, payer) == [[(9900, 1)]]
    item_flows.keep_item(payer.id, kept, key="keep")
    assert at_stripe(pushed, payer)["schedule"] is None
    item_flows.remove_item(payer.id, kept, at_period_end=True, key="end-2", at=at)
    assert to_come(pushed, payer) == [[(9900, 1)]]
    much_later(days=33)
    assert stands(pushed, payer) == [(9900, 1)] and last_invoice(pushed, payer) == [9900]


def test_another_package_takes_the_place_of_the_old_one(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    item = adds(payer, MANY, 1).item
    assert item is not None
    item_flows.plan_item(payer.id, item.id, addon_price(FIVE), 1, key="smaller")
    much_later(days=33)
    assert stands(pushed, payer) == [(9900, 1), (500, 1)] and last_invoice(pushed, payer) == [9900, 500]
    there = remote.read(at_stripe(pushed, payer))
    heir = there.heir(item.id)
    assert heir is not None and heir.id == there.addon_items[0].id != item.id, "who held the old item holds this one"
    assert there.heir(heir.id) is None and there.spent_plans == []


def test_plans_of_items_that_are_gone_are_forgotten(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    item_flows.remove_item(payer.id, kept, at_period_end=True, key="end", at=clock.business())
    much_later(days=33)
    assert remote.read(at_stripe(pushed, payer)).spent_plans == [kept]
    new = adds(payer, FIVE, 1, key="new").item
    assert new is not None
    item_flows.remove_item(payer.id, new.id, at_period_end=True, key="end-new", at=clock.business())
    there = remote.read(at_stripe(pushed, payer))
    assert there.spent_plans == [] and there.planned == {new.id: Planned(addon_price(FIVE), 0)}


def test_a_planned_downgrade_keeps_its_add_ons(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    switches(payer, "essential", When.NEXT)
    assert to_come(pushed, payer) == [[(4900, 1), (500, 2)]]
    much_later(days=33)
    assert tier_of(payer) == ("essential", False, ["applied"])
    assert stands(pushed, payer) == [(4900, 1), (500, 2)] and last_invoice(pushed, payer) == [4900, 1000]


def test_an_add_on_that_comes_under_a_planned_downgrade_is_carried_into_it(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    switches(payer, "essential", When.NEXT)
    settle(pushed, client)
    adds(payer, key="later")
    assert to_come(pushed, payer) == [[(4900, 1), (500, 2)]]
    much_later(days=33)
    assert stands(pushed, payer) == [(4900, 1), (500, 2)] and tier_of(payer)[2] == ["applied"]


@pytest.mark.parametrize("pay", [True, False])
def test_one_that_is_paid_later_or_made_in_stripe_is_carried_into_it_too(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, pay: bool
) -> None:
    """Without the job that the mirror writes, the phase to come would drop it (tried once)."""
    switches(payer, "essential", When.NEXT)
    settle(pushed, client)
    if pay:
        card(pushed, payer, FAILS)
        waiting = adds(payer, key="later")
        assert to_come(pushed, payer) == [[(4900, 1)]]
        assert pays(str(waiting.pay_url)).status_code == 303
    else:
        sub = str(queries.held(payer.id).stripe_subscription_id)
        stripe_post(pushed, "subscription_items", subscription=sub, price=addon_price(STORAGE), quantity="2")
        assert to_come(pushed, payer) == [[(4900, 1)]]
    settle(pushed, client)
    assert to_come(pushed, payer) == [[(4900, 1), (500, 2)]]


def test_both_are_planned_and_one_is_taken_back(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    item_flows.plan_item(payer.id, kept, addon_price(STORAGE), 1, key="down")
    switches(payer, "essential", When.NEXT)
    assert to_come(pushed, payer) == [[(4900, 1), (500, 1)]]
    change_flows.undo_change(payer.id, actor=ADMIN, base_version=queries.held(payer.id).version)
    assert to_come(pushed, payer) == [[(9900, 1), (500, 1)]] and tier_of(payer)[2] == ["undone"]
    switches(payer, "essential", When.NEXT)
    settle(pushed, client)
    item_flows.keep_item(payer.id, kept, key="keep")
    assert to_come(pushed, payer) == [[(4900, 1), (500, 2)]]
    much_later(days=33)
    assert stands(pushed, payer) == [(4900, 1), (500, 2)] and tier_of(payer)[2] == ["undone", "applied"]


def test_an_upgrade_now_leaves_what_is_planned_for_add_ons(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    item_flows.remove_item(payer.id, kept, at_period_end=True, key="end", at=clock.business())
    switches(payer, "business", When.NOW)
    settle(pushed, client)
    assert tier_of(payer)[2] == ["applied"] and to_come(pushed, payer) == [[(19900, 1)]]
    much_later(days=33)
    assert stands(pushed, payer) == [(19900, 1)] and last_invoice(pushed, payer) == [19900]


def test_a_cancellation_that_is_taken_back_leaves_it_too(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str
) -> None:
    item_flows.remove_item(payer.id, kept, at_period_end=True, key="end", at=clock.business())
    for _ in range(2):
        version = queries.held(payer.id).version
        ending_flows.cancel(payer.id, Wish(at_once=False), actor=payer.actor, base_version=version)
        settle(pushed, client)
        assert at_stripe(pushed, payer)["cancel_at_period_end"] and to_come(pushed, payer) == []
        with pytest.raises(Conflict, match="already_cancelled"):
            item_flows.plan_item(payer.id, kept, addon_price(STORAGE), 1, key="down")
        assert ending_flows.resume(payer.id, actor=payer.actor, base_version=queries.held(payer.id).version)
        settle(pushed, client)
        assert to_come(pushed, payer) == [[(9900, 1)]]


def test_keeping_it_twice_writes_once(client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str) -> None:
    item_flows.plan_item(payer.id, kept, addon_price(STORAGE), 1, key="down")
    settle(pushed, client)
    version = queries.held(payer.id).version
    coming_flows.keep(payer.id)
    assert queries.held(payer.id).version == version, "nothing differs, so nothing is written"


def test_half_a_schedule_is_finished(client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str) -> None:
    faults(pushed, kind="status", status=503, when="before", path="POST /v1/subscription_schedules/.+", times=9)
    with pytest.raises(Unavailable):
        item_flows.plan_item(payer.id, kept, addon_price(STORAGE), 1, key="down")
    assert to_come(pushed, payer) == [] and at_stripe(pushed, payer)["schedule"]
    assert requests.delete(f"{pushed.url}/_sandbox/faults", timeout=20).status_code == 200
    settle(pushed, client)
    assert to_come(pushed, payer) == [[(9900, 1), (500, 1)]]


# the end where add-ons have another cycle ----------------------------------------------------------------------------


def test_a_yearly_plan_with_storage_by_the_month_ends_with_its_year(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, kept: str, much_later
) -> None:
    yearly = catalog.offer("professional", Cycle.YEARLY)
    assert yearly is not None
    change_flows.change_tier(payer.id, yearly.id, When.NOW, actor=ADMIN, base_version=queries.held(payer.id).version)
    settle(pushed, client)
    ends = queries.held(payer.id).period_end
    ending_flows.cancel(payer.id, Wish(at_once=False), actor=payer.actor, base_version=queries.held(payer.id).version)
    settle(pushed, client)
    there = at_stripe(pushed, payer)
    assert (there["cancel_at"], there["cancel_at_period_end"]) == (int(ends.timestamp()), False)
    held = queries.overview(payer.id)
    assert held is not None and held.cancel_at_period_end and held.ends_at == ends
    assert mails_to(payer)["cancel_scheduled"] == 1
    assert ending_flows.resume(payer.id, actor=payer.actor, base_version=held.version)
    settle(pushed, client)
    assert at_stripe(pushed, payer)["cancel_at"] is None and tier_of(payer)[1] is False
    assert mails_to(payer)["resumed"] == 1


def test_an_end_that_stripe_has_on_another_day_is_one_here(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    """Set in Stripe itself for the tenth day after the next renewal: told, charged until then, ended on that day."""
    held = queries.held(payer.id)
    day = held.period_end + timedelta(days=10)
    stripe_post(pushed, f"subscriptions/{held.stripe_subscription_id}", cancel_at=str(int(day.timestamp())))
    settle(pushed, client)
    shown = queries.overview(payer.id)
    assert shown is not None and shown.cancel_at_period_end and shown.ends_at == day.replace(microsecond=0)
    assert mails_to(payer)["cancel_scheduled"] == 1
    with pytest.raises(Conflict, match="already_cancelled"):
        switches(payer, "business", When.NOW)
    much_later(days=34)
    still = queries.overview(payer.id)
    assert still is not None and (still.status, still.ends_at) == ("active", day.replace(microsecond=0))
    much_later(days=10)
    assert queries.held(payer.id).status == "cancelled"
    assert mails_to(payer)["cancelled"] == 1

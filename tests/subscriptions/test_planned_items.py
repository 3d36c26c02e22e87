"""What is planned for add-ons beside a planned tier, and where add-ons of another cycle end."""

from datetime import timedelta

import pytest
import requests
from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import clock
from portal.kit.errors import Conflict, Unavailable
from portal.subscriptions import change_flows, coming_flows, ending_flows, item_flows, queries, remote
from portal.subscriptions.endings import Wish
from portal.subscriptions.remote import Planned
from portal.subscriptions.rules import When
from tests.subscriptions.conftest import ADMIN
from tests.subscriptions.items import (
    FAILS,
    adds,
    at_stripe,
    card,
    faults,
    last_invoice,
    stands,
    switches,
    tier_of,
    to_come,
)
from tests.subscriptions.test_item_table import FIVE, MANY, STORAGE, addon_price
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    mails_to,
    pays,
    settle,
    stripe_post,
)

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def kept(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> str:
    """The payer has two times storage; gives its item."""
    item = adds(payer, key="kept").item
    settle(pushed, client)
    assert item is not None
    return item.id


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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

"""Several items on one subscription: added, changed, taken off, renewed each on its own date; figures by hand.

Every subscription here begins on 1 April at noon: its first month has 30 days, its first year 366 (29 February 2028).
"""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import DAY, Box

pytestmark = pytest.mark.once
HOUR = 3_600
NOW = {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}


def at_noon(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, 12, tzinfo=UTC).timestamp())


@pytest.fixture
def april(sandbox: Box) -> Box:
    """The sandbox on 1 April 2027, at noon."""
    sandbox.travel_to(at_noon(2027, 4, 1))
    return sandbox


def begins(subscription: Any) -> int:
    return int(subscription["items"].data[0].current_period_start)


def periods(box: Box, ident: str) -> list[tuple[int, str, str]]:
    """(amount of one, first day, last day) of each item, as it is now."""
    items = box.v1.subscriptions.retrieve(ident)["items"].data
    return [(i.price.unit_amount, day(i.current_period_start), day(i.current_period_end)) for i in items]


def day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def amounts(invoice: Any) -> list[int]:
    return [line.amount for line in invoice.lines.data]


def previewed(box: Box, subscription: Any, items: list[dict[str, Any]], at: int) -> Any:
    change = {"items": items, "proration_behavior": "always_invoice", "proration_date": at}
    asked = {"customer": subscription.customer, "subscription": subscription.id, "subscription_details": change}
    return box.v1.invoices.create_preview(asked)


def test_an_item_is_added_for_the_rest_of_the_period_and_renews_with_it(april: Box) -> None:
    subscription = april.subscribe(4900)
    at = begins(subscription) + 15 * DAY
    april.travel_to(at)
    wanted = {"price": april.price(1500), "quantity": 2}
    shown = previewed(april, subscription, [wanted], at)
    added = april.v1.subscription_items.create({"subscription": subscription.id, **wanted, **NOW, "proration_date": at})
    # 15 of 30 days left: 2 × 1500 × 1/2 = 1500.
    invoice = april.invoices(subscription.id)[-1]
    assert (amounts(shown), shown.amount_due) == (amounts(invoice), invoice.amount_paid) == ([1500], 1500)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    line = invoice.lines.data[0].parent.subscription_item_details
    assert (line.subscription_item, line.proration) == (added.id, True)
    assert periods(april, subscription.id) == [(4900, "2027-04-01", "2027-05-01"), (1500, "2027-04-01", "2027-05-01")]
    assert april.v1.subscription_items.retrieve(added.id).quantity == 2
    april.travel_to(added.current_period_end + HOUR)
    assert amounts(april.invoices(subscription.id)[-1]) == [4900, 3000]


def test_a_quantity_changes_up_and_down_within_the_period(april: Box) -> None:
    subscription = april.subscribe(4900)
    start = begins(subscription)
    item = april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": april.price(1500), "quantity": 2, "proration_date": start, **NOW}
    )
    april.travel_to(start + 20 * DAY)
    shown = previewed(april, subscription, [{"id": item.id, "quantity": 3}], start + 20 * DAY)
    up = april.v1.subscription_items.update(item.id, {"quantity": 3, **NOW, "proration_date": start + 20 * DAY})
    # 10 of 30 days left: 3000/3 = 1000 back, 4500/3 = 1500 to pay: 500.
    charged = april.invoices(subscription.id)[-1]
    assert up.quantity == 3 and amounts(charged) == amounts(shown) == [-1000, 1500] and charged.amount_paid == 500
    april.travel_to(start + 25 * DAY)
    april.v1.subscription_items.update(item.id, {"quantity": 1, **NOW, "proration_date": start + 25 * DAY})
    # 5 of 30 days left: 4500/6 = 750 back, 1500/6 = 250 to pay: 500 of credit.
    assert amounts(april.invoices(subscription.id)[-1]) == [-750, 250]
    assert april.v1.customers.retrieve(subscription.customer).balance == -500


def test_an_item_taken_off_is_credited_and_the_last_one_stays(april: Box) -> None:
    subscription = april.subscribe(4900)
    start = begins(subscription)
    item = april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": april.price(1500), "proration_date": start, **NOW}
    )
    april.travel_to(start + 20 * DAY)
    gone = april.v1.subscription_items.delete(
        item.id, {"proration_behavior": "always_invoice", "proration_date": start + 20 * DAY}
    )
    # 10 of 30 days left: 1500/3 = 500 back.
    assert gone.deleted and april.v1.customers.retrieve(subscription.customer).balance == -500
    assert [i.id for i in april.v1.subscription_items.list({"subscription": subscription.id}).data] != []
    with pytest.raises(stripe.InvalidRequestError) as missing:
        april.v1.subscription_items.retrieve(item.id)
    assert missing.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError, match="at least one active plan"):
        april.v1.subscription_items.delete(subscription["items"].data[0].id)


def test_without_proration_only_the_next_invoice_tells(april: Box) -> None:
    subscription = april.subscribe(4900)
    item = april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": april.price(1500), "proration_behavior": "none"}
    )
    assert len(april.invoices(subscription.id)) == 1
    april.travel_to(item.current_period_end + HOUR)
    assert amounts(april.invoices(subscription.id)[-1]) == [4900, 1500]


@pytest.mark.parametrize("card", ["pm_card_chargeCustomerFail", "pm_card_authenticationRequired"])
def test_an_item_that_is_not_paid_waits_and_comes_with_its_payment(april: Box, card: str) -> None:
    subscription = april.subscribe(4900)
    april.give_card(subscription.customer, card)
    waiting = april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": april.price(1500), **NOW, "proration_date": begins(subscription)}
    )
    held = april.v1.subscriptions.retrieve(subscription.id)
    assert len(held["items"].data) == 1 and held.status == "active"
    assert [i.id for i in held.pending_update.subscription_items][-1] == waiting.id
    april.give_card(subscription.customer, "pm_card_visa")
    april.v1.invoices.pay(held.latest_invoice)
    after = april.v1.subscriptions.retrieve(subscription.id)
    assert [i.id for i in after["items"].data][-1] == waiting.id and after.pending_update is None
    assert "customer.subscription.pending_update_applied" in april.event_types()


def test_an_item_that_nobody_pays_is_forgotten_after_23_hours(april: Box) -> None:
    subscription = april.subscribe(4900)
    april.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    april.v1.subscription_items.create({"subscription": subscription.id, "price": april.price(1500), **NOW})
    april.advance(days=1)
    held = april.v1.subscriptions.retrieve(subscription.id)
    assert (len(held["items"].data), held.pending_update, held.status) == (1, None, "active")
    assert april.invoices(subscription.id)[-1].status == "void"


def test_items_of_two_intervals_renew_and_are_invoiced_each_on_its_date(april: Box) -> None:
    customer = april.customer()
    items = [{"price": april.price(1500)}, {"price": april.price(12000, "year")}]
    subscription = april.v1.subscriptions.create({"customer": customer.id, "items": items})
    assert [i.amount_due for i in april.invoices(subscription.id)] == [13500]
    assert periods(april, subscription.id) == [(1500, "2027-04-01", "2027-05-01"), (12000, "2027-04-01", "2028-04-01")]
    april.travel_to(at_noon(2027, 6, 2))
    assert [amounts(i) for i in april.invoices(subscription.id)] == [[1500, 12000], [1500], [1500]]
    assert periods(april, subscription.id) == [(1500, "2027-06-01", "2027-07-01"), (12000, "2027-04-01", "2028-04-01")]
    april.travel_to(at_noon(2028, 4, 2))
    # April 2027 to April 2028: thirteen months were invoiced; on 1 April 2028 both ends meet in one invoice.
    assert [amounts(i) for i in april.invoices(subscription.id)][-2:] == [[1500], [1500, 12000]]
    assert len(april.invoices(subscription.id)) == 13


def test_an_item_of_another_interval_joins_at_the_anchor(april: Box) -> None:
    subscription = april.subscribe(4900)
    at = begins(subscription) + 61 * DAY  # 1 June
    april.travel_to(at)
    wanted = {"price": april.price(12000, "year")}
    shown = previewed(april, subscription, [wanted], at)
    april.v1.subscription_items.create({"subscription": subscription.id, **wanted, **NOW, "proration_date": at})
    # A year that began on 1 April: 366 days, 61 are gone, 305 = 5/6 left: 12000 × 5/6 = 10000.
    assert amounts(shown) == amounts(april.invoices(subscription.id)[-1]) == [10000]
    assert periods(april, subscription.id)[1] == (12000, "2027-04-01", "2028-04-01")


def test_a_switch_of_the_interval_begins_everything_anew(april: Box) -> None:
    subscription = april.subscribe(4900)
    start = begins(subscription)
    april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": april.price(1500), "proration_date": start, **NOW}
    )
    april.travel_to(start + 15 * DAY)
    tier = {"id": subscription["items"].data[0].id, "price": april.price(49000, "year"), "quantity": 1}
    shown = previewed(april, subscription, [tier], start + 15 * DAY)
    april.v1.subscriptions.update(
        subscription.id,
        {
            "items": [tier],
            "proration_behavior": "always_invoice",
            "proration_date": start + 15 * DAY,
            "payment_behavior": "pending_if_incomplete",
        },
    )
    # 15 of 30 days left: 2450 and 750 back; a year and a month begin: 49000 + 1500. 50500 - 3200 = 47300.
    charged = april.invoices(subscription.id)[-1]
    assert amounts(shown) == amounts(charged) == [-2450, -750, 49000, 1500] and charged.amount_paid == 47300
    assert periods(april, subscription.id) == [(49000, "2027-04-16", "2028-04-16"), (1500, "2027-04-16", "2027-05-16")]


def mixed(box: Box) -> Any:
    """1500 a month and 12000 a year, since 1 April."""
    items = [{"price": box.price(12000, "year")}, {"price": box.price(1500)}]
    return box.v1.subscriptions.create({"customer": box.customer().id, "items": items})


def test_the_end_of_the_period_is_the_earliest_end_of_an_item(april: Box) -> None:
    subscription = mixed(april)
    leaving = april.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert day(leaving.cancel_at) == "2027-05-01"
    april.travel_to(at_noon(2027, 5, 2))
    gone = april.v1.subscriptions.retrieve(subscription.id)
    assert (gone.status, len(april.invoices(subscription.id))) == ("canceled", 1)
    assert april.v1.customers.retrieve(subscription.customer).balance == 0


@pytest.mark.parametrize(
    ("name", "ends", "invoices"), [("min_period_end", "2027-05-01", 2), ("max_period_end", "2028-04-01", 12)]
)
def test_a_named_end_is_frozen_as_a_moment(april: Box, name: str, ends: str, invoices: int) -> None:
    """Until April 2028 the month is invoiced eleven times more; in May 2027 the unused year is credited."""
    subscription = mixed(april)
    leaving = april.v1.subscriptions.update(subscription.id, {"cancel_at": name})
    assert (day(leaving.cancel_at), leaving.cancel_at_period_end) == (ends, False)
    april.travel_to(at_noon(2028, 4, 2))
    gone = april.v1.subscriptions.retrieve(subscription.id)
    assert (gone.status, day(gone.ended_at)) == ("canceled", ends)
    assert len(april.invoices(subscription.id)) == invoices
    # 30 of 366 days were used: 12000 × 336/366 = 11016.39 → 11016.
    credit = -11016 if name == "min_period_end" else 0
    assert april.v1.customers.retrieve(subscription.customer).balance == credit


def test_an_end_within_a_period_is_charged_and_credited_to_the_second(april: Box) -> None:
    now_ends, later_ends = april.subscribe(3000), april.subscribe(3100)
    start = begins(later_ends)
    april.v1.subscriptions.update(now_ends.id, {"cancel_at": begins(now_ends) + 10 * DAY})
    april.v1.subscriptions.update(later_ends.id, {"cancel_at": start + 40 * DAY})
    april.travel_to(start + 41 * DAY)
    # 20 of 30 days are left of the first: 3000 × 2/3 = 2000 back.
    assert april.v1.customers.retrieve(now_ends.customer).balance == -2000
    # From 1 May ten of 31 days: 3100 × 10/31 = 1000.
    assert [amounts(i) for i in april.invoices(later_ends.id)] == [[3100], [1000]]
    assert april.v1.subscriptions.retrieve(later_ends.id).status == "canceled"


def test_an_end_is_taken_back_in_the_way_it_was_set(april: Box) -> None:
    subscription = mixed(april)
    april.v1.subscriptions.update(subscription.id, {"cancel_at": "max_period_end"})
    still = april.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert still.cancel_at is not None
    assert april.v1.subscriptions.update(subscription.id, {"cancel_at": ""}).cancel_at is None
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        april.v1.subscriptions.update(subscription.id, {"cancel_at": "", "cancel_at_period_end": False})
    with pytest.raises(stripe.InvalidRequestError, match="in the future"):
        april.v1.subscriptions.update(subscription.id, {"cancel_at": april.now() - DAY})


def test_cancelled_at_once_every_item_is_credited(april: Box) -> None:
    subscription = mixed(april)
    start = begins(subscription)
    april.travel_to(start + 15 * DAY - 1)
    april.v1.subscriptions.cancel(subscription.id, {"invoice_now": True, "prorate": True})
    # 351 of 366 days: 12000 × 351/366 = 11508.20; 15 of 30 days: 750. To the cent for the seconds that pass here.
    assert amounts(april.invoices(subscription.id)[-1]) == [-11508, -750]
    assert april.v1.customers.retrieve(subscription.customer).balance == -12258


def phase_items(*items: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"price": price, "quantity": quantity} for price, quantity in items]


def test_a_schedule_carries_every_item_from_phase_to_phase(april: Box) -> None:
    """The tier goes down and the add-on from two to one, both with the month; what a phase leaves out goes."""
    subscription = april.subscribe(19900)
    start, addon = begins(subscription), april.price(1500)
    april.v1.subscription_items.create(
        {"subscription": subscription.id, "price": addon, "quantity": 2, "proration_date": start, **NOW}
    )
    schedule = april.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = phase_items((april.price(19900), 1), (addon, 2))
    month = {"interval": "month", "interval_count": 1}
    phases = [
        {"items": now, "start_date": start, "end_date": schedule.phases[0].end_date},
        {"items": phase_items((april.price(4900), 1), (addon, 1)), "duration": month, "proration_behavior": "none"},
        {"items": phase_items((april.price(4900), 1)), "duration": month, "proration_behavior": "none"},
    ]
    april.v1.subscription_schedules.update(schedule.id, {"end_behavior": "release", "phases": phases})
    assert amounts(april.v1.invoices.create_preview({"subscription": subscription.id})) == [4900, 1500]
    april.travel_to(at_noon(2027, 5, 2))
    assert amounts(april.invoices(subscription.id)[-1]) == [4900, 1500]
    april.travel_to(at_noon(2027, 6, 2))
    assert amounts(april.invoices(subscription.id)[-1]) == [4900]
    assert periods(april, subscription.id) == [(4900, "2027-06-01", "2027-07-01")]


def test_a_phase_may_turn_where_only_one_item_ends(april: Box) -> None:
    subscription = mixed(april)
    schedule = april.v1.subscription_schedules.create({"from_subscription": subscription.id})
    year = april.price(12000, "year")
    first = {"items": phase_items((year, 1), (april.price(1500), 1)), "start_date": begins(subscription)}
    first["end_date"] = at_noon(2027, 5, 1) + begins(subscription) - at_noon(2027, 4, 1)
    without = {"items": phase_items((year, 1)), "duration": {"interval": "year"}, "proration_behavior": "none"}
    april.v1.subscription_schedules.update(schedule.id, {"end_behavior": "release", "phases": [first, without]})
    april.travel_to(at_noon(2027, 6, 2))
    assert periods(april, subscription.id) == [(12000, "2027-04-01", "2028-04-01")]
    paid = [i for i in april.invoices(subscription.id) if i.total]
    assert [amounts(i) for i in paid] == [[12000, 1500]]


def test_each_subscription_of_a_customer_has_its_own_trouble(april: Box) -> None:
    customer = april.customer()
    plan = april.v1.subscriptions.create({"customer": customer.id, "items": [{"price": april.price(4900)}]})
    poor = april.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    extra = april.v1.subscriptions.create({"customer": customer.id, "items": [{"price": april.price(1500)}]})
    april.v1.subscriptions.update(extra.id, {"default_payment_method": poor.id})
    april.travel_to(at_noon(2027, 5, 2))
    held = {s.id: s.status for s in april.v1.subscriptions.list({"customer": customer.id}).data}
    assert held == {plan.id: "active", extra.id: "past_due"}
    april.travel_to(at_noon(2027, 5, 12))
    held = {s.id: s.status for s in april.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data}
    assert held[plan.id] == "active" and held[extra.id] != "active"


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"price": "same"}, None, "items"),
        ({"price": "week"}, None, "items"),
        ({"price": "price_nobody"}, "resource_missing", None),
        ({}, "parameter_missing", "price"),
        ({"price": "addon", "quantity": -1}, None, None),
        ({"price": "addon", "metadata": {"a": "b"}, **NOW}, None, "metadata"),
        ({"price": "addon", "tax_rates": ["txr_1"]}, "sandbox_unsupported", "tax_rates"),
    ],
)
def test_what_cannot_be_put_on_a_subscription_is_refused_and_changes_nothing(
    april: Box, more: dict[str, Any], code: str | None, param: str | None
) -> None:
    subscription = april.subscribe(4900)
    named = {"same": april.price(4900), "week": april.price(100, "week"), "addon": april.price(1500)}
    wanted = {**more, **({"price": named.get(more["price"], more["price"])} if "price" in more else {})}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        april.v1.subscription_items.create({"subscription": subscription.id, **wanted})
    assert (refused.value.http_status, refused.value.code) == (400, code)
    assert param is None or refused.value.param == param
    assert periods(april, subscription.id) == [(4900, "2027-04-01", "2027-05-01")]
    assert len(april.invoices(subscription.id)) == 1


def test_nothing_is_added_to_a_subscription_that_has_ended_or_that_is_not_there(april: Box) -> None:
    subscription = april.subscribe(4900)
    item = subscription["items"].data[0].id
    april.v1.subscriptions.cancel(subscription.id)
    for ident in (subscription.id, "sub_nobody"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            april.v1.subscription_items.create({"subscription": ident, "price": april.price(1500)})
        assert refused.value.http_status == 400
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        april.v1.subscription_items.update(item, {"quantity": 2})


def test_in_free_days_an_item_costs_nothing_until_they_end(april: Box) -> None:
    subscription = april.subscribe(4900, trial_end=april.now() + 10 * DAY)
    april.v1.subscription_items.create({"subscription": subscription.id, "price": april.price(1500), **NOW})
    assert [i.total for i in april.invoices(subscription.id)] == [0]
    april.travel_to(subscription.trial_end + HOUR)
    assert amounts(april.invoices(subscription.id)[-1]) == [4900, 1500]

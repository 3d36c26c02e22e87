"""Subscription schedules: a downgrade at the end of the period, its undoing, and what is refused under a schedule."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import DAY, Box

pytestmark = pytest.mark.once

HOUR = 3_600


def plan_downgrade(box: Box, subscription: Any, amount: int, **second: Any) -> Any:
    """A two-phase schedule that changes the price when the running period ends."""
    schedule = box.v1.subscription_schedules.create({"from_subscription": subscription.id})
    running = schedule.phases[0]
    items = [{"price": item.price, "quantity": item.quantity} for item in running["items"]]
    after = {"items": [{"price": box.price(amount), "quantity": 1}], "proration_behavior": "none"}
    after |= second or {"duration": {"interval": "month", "interval_count": 1}}
    first = {"items": items, "start_date": running.start_date, "end_date": running.end_date}
    wanted = {"end_behavior": "release", "metadata": {"change": "1"}, "phases": [first, after]}
    return box.v1.subscription_schedules.update(schedule.id, wanted)


def test_a_downgrade_happens_with_the_renewal_and_the_schedule_ends_by_itself(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    end = subscription["items"].data[0].current_period_end
    schedule = plan_downgrade(sandbox, subscription, 4900)
    assert (schedule.status, schedule.current_phase.end_date) == ("active", end)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).schedule == schedule.id
    preview = sandbox.v1.invoices.create_preview({"subscription": subscription.id})
    assert [line.amount for line in preview.lines.data] == [4900]

    sandbox.travel_to(end - 60)
    assert sandbox.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 19900
    sandbox.travel_to(end + HOUR)
    renewal = sandbox.invoices(subscription.id)[-1]
    # the whole new price, no proration: 49.00
    assert [(line.amount, line.period.start) for line in renewal.lines.data] == [(4900, end)]
    assert (renewal.status, renewal.billing_reason) == ("paid", "subscription_cycle")
    switched = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert switched["items"].data[0].price.unit_amount == 4900 and switched.schedule == schedule.id
    running = sandbox.v1.subscription_schedules.retrieve(schedule.id)
    assert running.current_phase.start_date == end == running.phases[1].start_date

    sandbox.travel_to(switched["items"].data[0].current_period_end + HOUR)
    over = sandbox.v1.subscription_schedules.retrieve(schedule.id)
    assert (over.status, over.released_subscription, over.current_phase) == ("released", subscription.id, None)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).schedule is None
    assert [invoice.total for invoice in sandbox.invoices(subscription.id)] == [19900, 4900, 4900]
    assert sandbox.event_types().count("subscription_schedule.released") == 1


def test_releasing_undoes_the_change_and_only_once(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    schedule = plan_downgrade(sandbox, subscription, 4900)
    released = sandbox.v1.subscription_schedules.release(schedule.id)
    assert (released.status, released.subscription, released.released_subscription) == (
        "released",
        None,
        subscription.id,
    )
    with pytest.raises(stripe.InvalidRequestError, match="currently in the `released` status"):
        sandbox.v1.subscription_schedules.release(schedule.id)
    sandbox.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    assert sandbox.invoices(subscription.id)[-1].total == 19900


def test_cancelling_a_schedule_cancels_the_subscription(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    schedule = plan_downgrade(sandbox, subscription, 4900)
    assert sandbox.v1.subscription_schedules.cancel(schedule.id).status == "canceled"
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_cancelling_the_subscription_cancels_its_schedule(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    schedule = plan_downgrade(sandbox, subscription, 4900)
    sandbox.v1.subscriptions.cancel(subscription.id)
    assert sandbox.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"


@pytest.mark.parametrize(
    "change", [{"cancel_at_period_end": True}, {"cancel_at_period_end": False}, {"cancel_at": "min_period_end"}]
)
def test_a_schedule_manages_the_end_of_its_subscription(sandbox: Box, change: dict[str, Any]) -> None:
    subscription = sandbox.subscribe(19900)
    plan_downgrade(sandbox, subscription, 4900)
    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule") as refused:
        sandbox.v1.subscriptions.update(subscription.id, change)
    assert refused.value.http_status == 400


def test_nothing_else_goes_with_from_subscription_and_one_schedule_is_enough(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    with pytest.raises(stripe.InvalidRequestError, match="if `from_subscription` is set"):
        sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id, "end_behavior": "release"})
    plan_downgrade(sandbox, subscription, 4900)
    with pytest.raises(stripe.InvalidRequestError, match="already attached to a schedule"):
        sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})


def test_an_update_under_a_schedule_splits_the_running_phase_and_the_next_one_overwrites_it(sandbox: Box) -> None:
    subscription = sandbox.subscribe(9900)
    schedule = plan_downgrade(sandbox, subscription, 4900)
    sandbox.advance(days=5)
    item = subscription["items"].data[0].id
    change = {
        "items": [{"id": item, "price": sandbox.price(19900), "quantity": 1}],
        "proration_behavior": "always_invoice",
    }
    sandbox.v1.subscriptions.update(subscription.id, change)
    split = sandbox.v1.subscription_schedules.retrieve(schedule.id)
    prices = [phase["items"][0].price for phase in split.phases]
    assert prices == [sandbox.price(9900), sandbox.price(19900), sandbox.price(4900)]
    sandbox.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    assert sandbox.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 4900


def test_a_phase_that_begins_within_a_period_is_prorated(sandbox: Box) -> None:
    subscription = sandbox.subscribe(9900)
    first = subscription["items"].data[0]
    start, end = first.current_period_start, first.current_period_end
    middle = start + 10 * DAY
    schedule = sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})
    items, after = [{"price": sandbox.price(9900)}], [{"price": sandbox.price(19900)}]
    phases = [
        {"items": items, "start_date": start, "end_date": middle},
        {"items": after, "end_date": end, "proration_behavior": "always_invoice"},
    ]
    sandbox.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    sandbox.travel_to(middle)
    invoice = sandbox.invoices(subscription.id)[-1]
    # -9900 and +19900 for what is left after 10 days, half away from zero
    rest, whole = end - middle, end - start
    expected = [-((2 * 9900 * rest + whole) // (2 * whole)), (2 * 19900 * rest + whole) // (2 * whole)]
    assert [line.amount for line in invoice.lines.data] == expected and invoice.created == middle


def test_month_to_year_at_the_end_of_the_period(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    end = subscription["items"].data[0].current_period_end
    schedule = sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})
    phases = [
        {"items": [{"price": sandbox.price(4900)}], "start_date": schedule.phases[0].start_date, "end_date": end},
        {
            "items": [{"price": sandbox.price(49000, "year")}],
            "duration": {"interval": "year"},
            "proration_behavior": "none",
        },
    ]
    sandbox.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    sandbox.travel_to(end + HOUR)
    changed = sandbox.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (changed.latest_invoice.total, changed.latest_invoice.status) == (49000, "paid")
    assert changed["items"].data[0].current_period_end - end in (365 * DAY, 366 * DAY)


def test_a_downgrade_in_a_trial_begins_with_the_first_charge(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900, trial_period_days=10)
    schedule = sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})
    running = schedule.phases[0]
    assert running.trial_end == subscription.trial_end == running.end_date
    first = {"items": [{"price": sandbox.price(19900)}], "start_date": running.start_date, "end_date": running.end_date}
    after = {"items": [{"price": sandbox.price(4900)}], "duration": {"interval": "month"}, "proration_behavior": "none"}
    with pytest.raises(stripe.InvalidRequestError) as forgotten:
        sandbox.v1.subscription_schedules.update(schedule.id, {"phases": [first, after]})
    assert forgotten.value.param == "phases[0][trial_end]"
    kept = {**first, "trial_end": running.trial_end}
    sandbox.v1.subscription_schedules.update(schedule.id, {"phases": [kept, after], "end_behavior": "release"})
    sandbox.travel_to(running.end_date + HOUR)
    assert [invoice.total for invoice in sandbox.invoices(subscription.id)] == [0, 4900]
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"


@pytest.mark.parametrize(
    ("phase", "param"),
    [
        ({"iterations": 1}, "phases[0][iterations]"),
        ({"start_date": 1}, "phases[0][start_date]"),
        ({"end_date": 5}, "phases[0][end_date]"),
        ({"duration": {"interval": "year", "interval_count": 9999}}, "phases[0][duration][interval_count]"),
        ({"end_date": 5, "duration": {"interval": "month"}}, "phases[0][end_date]"),
    ],
)
def test_wrong_phases_are_refused_and_change_nothing(sandbox: Box, phase: dict[str, Any], param: str) -> None:
    subscription = sandbox.subscribe(4900)
    schedule = sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        wanted = {"phases": [{"items": [{"price": sandbox.price(4900)}], **phase}], "metadata": {"a": "b"}}
        sandbox.v1.subscription_schedules.update(schedule.id, wanted)
    assert refused.value.param == param
    assert sandbox.v1.subscription_schedules.retrieve(schedule.id).metadata.to_dict() == {}

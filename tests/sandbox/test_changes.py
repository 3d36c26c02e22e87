"""Changing a subscription: prorations by hand, previews that equal their charge, the four payment behaviours."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import DAY, Box

pytestmark = pytest.mark.once


def change_to(box: Box, subscription: Any, amount: int, **more: Any) -> dict[str, Any]:
    """The parameters of a change of the first item to another price."""
    item = subscription["items"].data[0]
    return {"items": [{"id": item.id, "price": box.price(amount), "quantity": 1}], **more}


def preview(box: Box, subscription: Any, details: dict[str, Any]) -> Any:
    """What the change would be invoiced."""
    wanted = {"customer": subscription.customer, "subscription": subscription.id, "subscription_details": details}
    return box.v1.invoices.create_preview(wanted)


def period(subscription: Any) -> tuple[int, int]:
    """The current period of the first item."""
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def by_hand(amount: int, start: int, end: int, at: int) -> int:
    """amount * rest / period, half away from zero, in exact whole numbers."""
    return (2 * amount * (end - at) + (end - start)) // (2 * (end - start))


def test_an_upgrade_now_costs_the_rest_less_the_unused_part(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    start, end = period(subscription)
    sandbox.advance(days=10)
    at = start + 10 * DAY
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice", proration_date=at)
    shown = preview(sandbox, subscription, details)
    sandbox.advance(seconds=400)  # the customer thinks for a while
    changed = sandbox.v1.subscriptions.update(
        subscription.id, {**details, "payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]}
    )
    # A month of n days, 10 gone: -4900 * (n-10)/n + 19900 * (n-10)/n; with n = 30: -3267 + 13267 = 10000 cents
    credit, charge = -by_hand(4900, start, end, at), by_hand(19900, start, end, at)
    if end - start == 30 * DAY:
        assert (credit, charge) == (-3267, 13267)
    assert [line.amount for line in shown.lines.data] == [credit, charge]
    assert all(line.parent.subscription_item_details.proration for line in shown.lines.data)
    invoice = changed.latest_invoice
    assert invoice.amount_due == shown.amount_due == credit + charge
    assert [line.amount for line in invoice.lines.data] == [line.amount for line in shown.lines.data]
    assert (invoice.status, invoice.billing_reason, changed.pending_update) == ("paid", "subscription_update", None)
    assert changed["items"].data[0].price.unit_amount == 19900 and period(changed) == (start, end)


def test_a_second_change_in_the_same_period_credits_what_was_debited(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    start, end = period(subscription)
    sandbox.advance(days=5)
    sandbox.v1.subscriptions.update(subscription.id, change_to(sandbox, subscription, 19900, proration_behavior="none"))
    sandbox.advance(days=5)
    at = start + 10 * DAY
    details = change_to(sandbox, subscription, 9900, proration_behavior="always_invoice", proration_date=at)
    # Only 49.00 was ever debited (the change in between cost nothing), so only that is credited, not 199.00.
    expected = [-by_hand(4900, start, end, at), by_hand(9900, start, end, at)]
    assert [line.amount for line in preview(sandbox, subscription, details).lines.data] == expected


def test_create_prorations_waits_for_the_next_invoice(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    start, end = period(subscription)
    sandbox.advance(days=10)
    at = start + 10 * DAY
    details = change_to(sandbox, subscription, 9900, proration_behavior="create_prorations", proration_date=at)
    shown = preview(sandbox, subscription, details)
    sandbox.v1.subscriptions.update(subscription.id, details)
    assert len(sandbox.invoices(subscription.id)) == 1
    sandbox.travel_to(end + 3_600)
    renewal = sandbox.invoices(subscription.id)[-1]
    # -4900 and +9900 for the rest, then 9900 for the next period
    expected = [-by_hand(4900, start, end, at), by_hand(9900, start, end, at), 9900]
    assert [line.amount for line in renewal.lines.data] == [line.amount for line in shown.lines.data] == expected
    assert (renewal.billing_reason, renewal.status, renewal.total) == ("subscription_cycle", "paid", sum(expected))
    following = preview(sandbox, subscription, {})
    assert [line.amount for line in following.lines.data] == [9900]  # the prorations are not billed twice


def test_a_downgrade_now_becomes_credit_that_the_next_invoices_use_up(sandbox: Box) -> None:
    subscription = sandbox.subscribe(19900)
    start, end = period(subscription)
    at = start
    details = change_to(sandbox, subscription, 4900, proration_behavior="always_invoice", proration_date=at)
    changed = sandbox.v1.subscriptions.update(subscription.id, {**details, "expand": ["latest_invoice"]})
    # At the very start: -19900 + 4900 = -15000; nothing is due, 150.00 are kept for the customer.
    invoice = changed.latest_invoice
    assert (invoice.total, invoice.amount_due, invoice.status, invoice.ending_balance) == (-15000, 0, "paid", -15000)
    assert sandbox.v1.customers.retrieve(subscription.customer).balance == -15000
    shown = preview(sandbox, subscription, {})
    assert (shown.total, shown.starting_balance, shown.amount_due) == (4900, -15000, 0)
    sandbox.travel_to(end + 3_600)
    renewal = sandbox.invoices(subscription.id)[-1]
    # 49.00 out of 150.00 leaves 101.00
    assert (renewal.amount_due, renewal.starting_balance, renewal.ending_balance) == (0, -15000, -10100)
    assert sandbox.v1.customers.retrieve(subscription.customer).balance == -10100


def test_month_to_year_starts_a_new_period_at_once(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    start, end = period(subscription)
    sandbox.advance(days=10)
    item = subscription["items"].data[0]
    at = start + 10 * DAY
    details = {"items": [{"id": item.id, "price": sandbox.price(49000, "year"), "quantity": 1}], "proration_date": at}
    shown = preview(sandbox, subscription, details)
    changed = sandbox.v1.subscriptions.update(subscription.id, {**details, "expand": ["latest_invoice"]})
    assert [line.amount for line in shown.lines.data] == [-by_hand(4900, start, end, at), 49000]
    assert changed.latest_invoice.amount_due == shown.amount_due
    new_start, new_end = period(changed)
    assert new_start == changed.billing_cycle_anchor >= at and 364 * DAY < new_end - new_start <= 366 * DAY


def test_nothing_is_prorated_in_a_trial(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900, trial_period_days=14)
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    changed = sandbox.v1.subscriptions.update(subscription.id, details)
    assert changed.status == "trialing" and period(changed) == period(subscription)
    assert [invoice.total for invoice in sandbox.invoices(subscription.id)] == [0]
    assert preview(sandbox, subscription, {}).amount_due == 19900


def test_an_item_without_its_id_is_added_and_quantity_is_not_kept(sandbox: Box) -> None:
    customer = sandbox.customer()
    items = [{"price": sandbox.price(1000), "quantity": 3}]
    subscription = sandbox.v1.subscriptions.create({"customer": customer.id, "items": items})
    added = sandbox.v1.subscriptions.update(subscription.id, {"items": [{"price": sandbox.price(500)}]})
    assert [(item.price.unit_amount, item.quantity) for item in added["items"].data] == [(1000, 3), (500, 1)]
    first = added["items"].data[0].id
    swapped = sandbox.v1.subscriptions.update(subscription.id, {"items": [{"id": first, "price": sandbox.price(2000)}]})
    assert (swapped["items"].data[0].id, swapped["items"].data[0].quantity) == (first, 1)


def test_a_declined_upgrade_waits_as_a_pending_update_until_it_is_paid(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    before = len(sandbox.event_types())
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    changed = sandbox.v1.subscriptions.update(
        subscription.id, {**details, "payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]}
    )
    assert (changed.status, changed["items"].data[0].price.unit_amount) == ("active", 4900)
    assert changed.pending_update.subscription_items[0].price.unit_amount == 19900
    assert changed.latest_invoice.status == "open" and changed.latest_invoice.hosted_invoice_url
    assert "customer.subscription.pending_update_applied" not in sandbox.event_types(before)
    sandbox.give_card(subscription.customer, "pm_card_visa")
    sandbox.v1.invoices.pay(changed.latest_invoice.id)
    after = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert (after.pending_update, after["items"].data[0].price.unit_amount) == (None, 19900)
    assert sandbox.event_types(before).count("customer.subscription.pending_update_applied") == 1


def test_a_pending_update_that_nobody_pays_is_forgotten_and_its_invoice_voided(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    sandbox.v1.subscriptions.update(subscription.id, {**details, "payment_behavior": "pending_if_incomplete"})
    sandbox.advance(days=1)
    after = sandbox.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (after.pending_update, after.status, after["items"].data[0].price.unit_amount) == (None, "active", 4900)
    assert after.latest_invoice.status == "void"


@pytest.mark.parametrize(("hours", "lapses_in"), [(30, 23), (20, 20)])
def test_a_pending_update_lapses_at_the_earliest_of_23_hours_and_the_period(
    sandbox: Box, hours: int, lapses_in: int
) -> None:
    subscription = sandbox.subscribe()
    item = subscription["items"].data[0]
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.travel_to(item.current_period_end - hours * 3_600)
    changed = sandbox.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "price": sandbox.price(19900), "quantity": 1}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    lapses = changed.pending_update.expires_at
    assert round((lapses - sandbox.now()) / 3_600) == lapses_in
    before = len(sandbox.event_types())
    sandbox.travel_to(lapses)
    now = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert now.pending_update is None and now["items"].data[0].price.unit_amount == 4900
    assert sandbox.v1.invoices.retrieve(changed.latest_invoice).status == "void"
    told = sandbox.event_types(before)
    assert told.count("customer.subscription.pending_update_expired") == 1
    renewed = "invoice.created" in told
    assert renewed == (hours == lapses_in)
    if renewed:  # the renewal is at the old price, and the update was gone before it
        assert told.index("customer.subscription.pending_update_expired") < told.index("invoice.created")
        assert sandbox.invoices(subscription.id)[-1].total == 4900


def test_voiding_the_invoice_of_a_pending_update_drops_the_update(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    waiting = {**details, "payment_behavior": "pending_if_incomplete"}
    sandbox.v1.invoices.void_invoice(sandbox.v1.subscriptions.update(subscription.id, waiting).latest_invoice)
    after = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert (after.pending_update, after.status, after["items"].data[0].price.unit_amount) == (None, "active", 4900)


def test_voiding_gives_the_used_balance_back_and_ends_the_debt(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.v1.customers.update(subscription.customer, {"balance": -1000})
    sandbox.travel_to(period(subscription)[1] + 3_600)
    invoice = sandbox.invoices(subscription.id)[-1]
    # 49.00 less the credit of 10.00
    assert (invoice.status, invoice.amount_due) == ("open", 3900)
    assert sandbox.v1.customers.retrieve(subscription.customer).balance == 0
    sandbox.v1.invoices.void_invoice(invoice.id)
    assert sandbox.v1.customers.retrieve(subscription.customer).balance == -1000
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_error_if_incomplete_changes_nothing(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    events = len(sandbox.event_types())
    with pytest.raises(stripe.CardError) as declined:
        sandbox.v1.subscriptions.update(subscription.id, {**details, "payment_behavior": "error_if_incomplete"})
    assert (declined.value.http_status, declined.value.code) == (402, "card_declined")
    assert '"decline_code": "generic_decline"' in str(declined.value.http_body)
    assert sandbox.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 4900
    assert len(sandbox.invoices(subscription.id)) == 1 and len(sandbox.event_types()) == events


def test_error_if_incomplete_for_a_card_that_must_be_authenticated(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_authenticationRequired")
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice")
    with pytest.raises(stripe.CardError) as refused:
        sandbox.v1.subscriptions.update(subscription.id, {**details, "payment_behavior": "error_if_incomplete"})
    assert refused.value.code == "subscription_payment_intent_requires_action"


@pytest.mark.parametrize("behaviour", ["allow_incomplete", "default_incomplete"])
def test_the_other_behaviours_change_first_and_owe_afterwards(sandbox: Box, behaviour: str) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    details = change_to(sandbox, subscription, 19900, proration_behavior="always_invoice", payment_behavior=behaviour)
    changed = sandbox.v1.subscriptions.update(subscription.id, {**details, "expand": ["latest_invoice"]})
    assert (changed.status, changed["items"].data[0].price.unit_amount) == ("past_due", 19900)
    assert changed.latest_invoice.status == "open"
    assert changed.latest_invoice.attempt_count == (1 if behaviour == "allow_incomplete" else 0)


def test_only_a_few_parameters_go_with_a_pending_update(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    details = change_to(sandbox, subscription, 19900, payment_behavior="pending_if_incomplete", metadata={"a": "b"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.v1.subscriptions.update(subscription.id, details)
    assert refused.value.param == "metadata"


def test_a_trial_can_be_extended_and_ended(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900, trial_period_days=7)
    later = subscription.trial_end + 7 * DAY
    extended = sandbox.v1.subscriptions.update(subscription.id, {"trial_end": later, "proration_behavior": "none"})
    assert (extended.status, extended.trial_end, period(extended)[1]) == ("trialing", later, later)
    sandbox.advance(days=8)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "trialing"
    ended = sandbox.v1.subscriptions.update(subscription.id, {"trial_end": "now", "expand": ["latest_invoice"]})
    assert (ended.status, ended.latest_invoice.amount_due, ended.latest_invoice.status) == ("active", 4900, "paid")


def test_a_proration_date_outside_the_period_is_refused(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    details = change_to(sandbox, subscription, 9900, proration_date=period(subscription)[1] + 1)
    with pytest.raises(stripe.InvalidRequestError, match="within the current period"):
        preview(sandbox, subscription, details)

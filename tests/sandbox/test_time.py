"""Time is travelled: trial, first charge, renewals, a refused card and its retries, cancelling, notices."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import stripe

from portal.sandbox.periods import boundary_after
from tests.sandbox.conftest import DAY, Box, serve

pytestmark = pytest.mark.once

HOUR = 3_600


def test_trial_to_first_charge_to_renewal(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900, trial_period_days=14)
    assert subscription.status == "trialing"
    first = sandbox.invoices(subscription.id)[0]
    assert (first.total, first.status, first.billing_reason) == (0, "paid", "subscription_create")
    end = subscription.trial_end

    sandbox.travel_to(end - 3 * DAY)
    assert sandbox.event_types().count("customer.subscription.trial_will_end") == 1
    sandbox.travel_to(end)
    begun = sandbox.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (begun.status, begun.latest_invoice.status) == ("active", "draft")
    assert begun.latest_invoice.automatically_finalizes_at == end + HOUR
    assert begun["items"].data[0].current_period_start == end == begun.latest_invoice.created

    sandbox.travel_to(end + HOUR)
    paid = sandbox.invoices(subscription.id)[-1]
    assert (paid.status, paid.amount_paid, paid.status_transitions.paid_at) == ("paid", 4900, end + HOUR)
    assert paid.invoice_pdf and paid.number.endswith("-0002")

    next_end = begun["items"].data[0].current_period_end
    assert datetime.fromtimestamp(next_end, UTC).day in (datetime.fromtimestamp(end, UTC).day, 28, 29, 30)
    sandbox.travel_to(next_end + HOUR)
    assert [invoice.amount_paid for invoice in sandbox.invoices(subscription.id)] == [0, 4900, 4900]
    assert sandbox.event_types().count("customer.subscription.trial_will_end") == 1


def test_one_long_jump_does_each_thing_once_and_at_its_own_time(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.advance(days=100)
    invoices = sandbox.invoices(subscription.id)
    # the first, then one a month: 100 days hold three more period ends
    assert [invoice.status for invoice in invoices] == ["paid"] * 4
    for earlier, later in pairwise(invoices[1:]):
        assert 28 * DAY <= later.created - earlier.created <= 31 * DAY
    times = [event.created for event in sandbox.v1.events.list({"limit": 100}).auto_paging_iter()]
    assert times == sorted(times, reverse=True)
    assert sandbox.control("run-due")["ran"] == 0


def test_a_refused_renewal_is_tried_after_3_5_and_7_days_and_stays_past_due(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    end = subscription["items"].data[0].current_period_end
    sandbox.travel_to(end + HOUR)
    failed = sandbox.invoices(subscription.id)[-1]
    refused_at = end + HOUR
    assert (failed.status, failed.attempt_count, failed.next_payment_attempt) == ("open", 1, refused_at + 3 * DAY)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert sandbox.v1.customers.retrieve(subscription.customer).delinquent is True
    for days, attempts, following in ((3, 2, 5), (5, 3, 7), (7, 4, None)):
        sandbox.travel_to(refused_at + days * DAY)
        invoice = sandbox.v1.invoices.retrieve(failed.id)
        expected = refused_at + following * DAY if following else None
        assert (invoice.attempt_count, invoice.next_payment_attempt) == (attempts, expected)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert sandbox.event_types().count("invoice.payment_failed") == 4


def test_a_good_card_at_the_next_retry_makes_it_active(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    end = subscription["items"].data[0].current_period_end
    sandbox.travel_to(end + HOUR)
    sandbox.give_card(subscription.customer, "pm_card_visa")
    sandbox.travel_to(end + HOUR + 3 * DAY)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert sandbox.invoices(subscription.id)[-1].status == "paid"


def test_paying_an_open_invoice_by_api(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    invoice = sandbox.invoices(subscription.id)[-1]
    with pytest.raises(stripe.CardError) as declined:
        sandbox.v1.invoices.pay(invoice.id)
    assert declined.value.http_status == 402
    # The refused attempt is history, although the call was refused.
    assert sandbox.v1.invoices.retrieve(invoice.id).attempt_count == 2
    sandbox.give_card(subscription.customer, "pm_card_visa")
    assert sandbox.v1.invoices.pay(invoice.id).status == "paid"
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        sandbox.v1.invoices.pay(invoice.id)


def test_decline_the_next_payment(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.fault(kind="decline_next")
    sandbox.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    sandbox.advance(days=3)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_renewal_that_needs_the_customer(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.give_card(subscription.customer, "pm_card_authenticationRequired")
    sandbox.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    invoice = sandbox.v1.invoices.retrieve(
        sandbox.invoices(subscription.id)[-1].id, {"expand": ["confirmation_secret"]}
    )
    assert invoice.status == "open" and "_secret_" in invoice.confirmation_secret.client_secret
    assert "invoice.payment_action_required" in sandbox.event_types()


@pytest.mark.parametrize(
    ("wish", "status", "event"), [("cancel", "canceled", "deleted"), ("pause", "paused", "paused")]
)
def test_a_trial_that_ends_without_a_card(sandbox: Box, wish: str, status: str, event: str) -> None:
    customer = sandbox.customer(card=None)
    subscription = sandbox.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": sandbox.price(4900)}],
            "trial_period_days": 3,
            "trial_settings": {"end_behavior": {"missing_payment_method": wish}},
        }
    )
    sandbox.advance(days=4)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == status
    assert f"customer.subscription.{event}" in sandbox.event_types()
    assert len(sandbox.invoices(subscription.id)) == 1


def test_cancel_at_period_end_and_undo(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    end = subscription["items"].data[0].current_period_end
    why = {"feedback": "too_expensive", "comment": "Bye"}
    leaving = sandbox.v1.subscriptions.update(
        subscription.id, {"cancel_at_period_end": True, "cancellation_details": why}
    )
    assert (leaving.cancel_at_period_end, leaving.cancel_at, leaving.status) == (True, end, "active")
    assert leaving.cancellation_details.feedback == "too_expensive"
    with pytest.raises(stripe.InvalidRequestError) as none_due:
        sandbox.v1.invoices.create_preview({"subscription": subscription.id})
    assert none_due.value.code == "invoice_upcoming_none"
    back = sandbox.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (back.cancel_at_period_end, back.cancel_at, back.canceled_at) == (False, None, None)
    sandbox.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    sandbox.travel_to(end + HOUR)
    gone = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert (gone.status, gone.ended_at) == ("canceled", end)
    assert len(sandbox.invoices(subscription.id)) == 1
    assert sandbox.v1.subscriptions.list({"customer": subscription.customer}).data == []
    assert len(sandbox.v1.subscriptions.list({"customer": subscription.customer, "status": "all"}).data) == 1


def test_cancel_at_a_later_boundary_and_within_the_period(sandbox: Box) -> None:
    later, sooner = sandbox.subscribe(4900), sandbox.subscribe(1900)
    start, end = (getattr(later["items"].data[0], f"current_period_{name}") for name in ("start", "end"))
    boundary = boundary_after(start, {"interval": "month", "interval_count": 1}, end)
    sandbox.v1.subscriptions.update(later.id, {"cancel_at": boundary})
    sandbox.v1.subscriptions.update(sooner.id, {"cancel_at": start + 5 * DAY, "proration_behavior": "none"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.v1.subscriptions.update(later.id, {"cancel_at": start - DAY})
    assert refused.value.param == "cancel_at"
    sandbox.advance(days=6)
    assert sandbox.v1.subscriptions.retrieve(sooner.id).status == "canceled"
    sandbox.travel_to(boundary + HOUR)
    gone = sandbox.v1.subscriptions.retrieve(later.id)
    assert (gone.status, gone.ended_at) == ("canceled", boundary)
    assert [invoice.total for invoice in sandbox.invoices(later.id)] == [4900, 4900]


def test_a_price_that_is_no_longer_sold_stays_with_its_subscribers(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.v1.prices.update(sandbox.price(4900), {"active": False})
    item = subscription["items"].data[0]
    same = {"items": [{"id": item.id, "price": sandbox.price(4900), "quantity": 2}], "proration_behavior": "none"}
    assert sandbox.v1.subscriptions.update(subscription.id, same)["items"].data[0].quantity == 2
    sandbox.travel_to(item.current_period_end + HOUR)
    assert sandbox.invoices(subscription.id)[-1].total == 9800
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        sandbox.subscribe(4900)


def test_cancel_now_with_the_rest_credited(sandbox: Box) -> None:
    subscription = sandbox.subscribe(6000)
    start, end = (getattr(subscription["items"].data[0], f"current_period_{name}") for name in ("start", "end"))
    sandbox.travel_to((start + end) // 2 - 1)
    gone = sandbox.v1.subscriptions.cancel(subscription.id, {"invoice_now": True, "prorate": True})
    assert (gone.status, gone.cancellation_details.reason) == ("canceled", "cancellation_requested")
    # Half of 60.00 was not used: 30.00, to the cent for a few seconds more or less of a month.
    assert sandbox.v1.customers.retrieve(subscription.customer).balance == -3000
    assert sandbox.event_types()[-1] == "customer.subscription.deleted"
    with pytest.raises(stripe.InvalidRequestError) as twice:
        sandbox.v1.subscriptions.cancel(subscription.id)
    assert twice.value.code == "resource_missing"


def test_a_first_invoice_that_stays_unpaid_expires(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900, card="pm_card_chargeCustomerFail")
    assert subscription.status == "incomplete"
    sandbox.advance(days=1)
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"
    assert sandbox.invoices(subscription.id)[0].status == "void"


def test_data_and_appointments_outlive_the_process(tmp_path: Path) -> None:
    where = (tmp_path / "offset", str(tmp_path / "sandbox.db"))
    before = serve(*where)
    box = next(before)
    subscription = box.subscribe(4900)
    before.close()
    after = serve(*where)
    again = next(after)
    again.travel_to(subscription["items"].data[0].current_period_end + HOUR)
    assert [invoice.status for invoice in again.invoices(subscription.id)] == ["paid", "paid"]
    assert len(again.v1.webhook_endpoints.list().data) == 1  # the configured endpoint is not registered twice
    after.close()


def test_reset_forgets_everything_but_the_endpoint(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    sandbox.control("reset")
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.v1.subscriptions.retrieve(subscription.id)
    assert sandbox.v1.events.list().data == []
    assert len(sandbox.v1.webhook_endpoints.list().data) == 1
    assert sandbox.control("status", method="GET")["deliveries_pending"] == 0

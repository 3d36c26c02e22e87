"""Refunds, disputes, cards that are kept, things bought once, and what follows the last refused attempt."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import DAY, Box
from tests.sandbox.test_pages import answer_bank, pay

pytestmark = pytest.mark.once


def paid_charge(box: Box, card: str = "pm_card_visa", amount: int = 4900) -> Any:
    """The charge of a new subscription's first invoice."""
    subscription = box.subscribe(amount, card)
    found = box.v1.invoice_payments.list({"invoice": subscription.latest_invoice}).data[0]
    intent = box.v1.payment_intents.retrieve(found.payment.payment_intent, {"expand": ["latest_charge"]})
    return intent.latest_charge


def refused(call: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as error:
        call()
    return error.value


def test_a_charge_is_refunded_in_parts_and_never_more_than_it_was(sandbox: Box) -> None:
    charge = paid_charge(sandbox)
    first = sandbox.v1.refunds.create({"charge": charge.id, "amount": 1500})
    assert (first.status, first.amount, first.payment_intent) == ("succeeded", 1500, charge.payment_intent)
    # 49.00 - 15.00 = 34.00 are left
    too_much = refused(lambda: sandbox.v1.refunds.create({"charge": charge.id, "amount": 3401}))
    assert too_much.param == "amount" and "€34.01" in str(too_much) and "€34.00" in str(too_much)
    rest = sandbox.v1.refunds.create({"payment_intent": charge.payment_intent})
    assert rest.amount == 3400
    now = sandbox.v1.charges.retrieve(charge.id)
    assert (now.amount_refunded, now.refunded) == (4900, True)
    again = refused(lambda: sandbox.v1.refunds.create({"charge": charge.id}))
    assert again.code == "charge_already_refunded"
    assert [r.amount for r in sandbox.v1.refunds.list({"payment_intent": charge.payment_intent}).data] == [3400, 1500]
    told = sandbox.event_types()
    assert (told.count("refund.created"), told.count("charge.refunded")) == (2, 2)


def test_a_refund_can_be_under_way_or_come_back(sandbox: Box) -> None:
    slow, bad = paid_charge(sandbox, "pm_card_pendingRefund"), paid_charge(sandbox, "pm_card_refundFail")
    waiting = sandbox.v1.refunds.create({"charge": slow.id})
    coming_back = sandbox.v1.refunds.create({"charge": bad.id, "amount": 900})
    assert (waiting.status, coming_back.status) == ("pending", "succeeded")
    before = len(sandbox.event_types())
    sandbox.advance(seconds=3_601)
    assert sandbox.v1.refunds.retrieve(waiting.id).status == "succeeded"
    failed = sandbox.v1.refunds.retrieve(coming_back.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert sandbox.v1.charges.retrieve(bad.id).amount_refunded == 0
    assert sandbox.event_types(before).count("refund.failed") == 1


def test_what_did_not_succeed_is_not_refunded(sandbox: Box) -> None:
    subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
    found = sandbox.v1.invoice_payments.list({"invoice": subscription.latest_invoice}).data[0]
    error = refused(lambda: sandbox.v1.refunds.create({"payment_intent": found.payment.payment_intent}))
    assert error.param == "payment_intent"


@pytest.mark.parametrize(("button", "status", "funds"), [("win", "won", 1), ("lose", "lost", 0)])
def test_a_dispute_takes_the_money_and_only_a_won_one_gives_it_back(
    sandbox: Box, button: str, status: str, funds: int
) -> None:
    charge = paid_charge(sandbox, "pm_card_createDispute")
    dispute = sandbox.v1.disputes.list({"charge": charge.id}).data[0]
    assert (dispute.status, dispute.amount, dispute.evidence_details.due_by - dispute.created) == (
        "needs_response",
        4900,
        7 * DAY,
    )
    assert refused(lambda: sandbox.v1.refunds.create({"charge": charge.id})).code == "charge_disputed"
    page = requests.post(f"{sandbox.url}/objects/{dispute.id}", data={"do": button}, allow_redirects=False, timeout=10)
    assert page.status_code == 303
    assert sandbox.v1.disputes.retrieve(dispute.id).status == status
    told = sandbox.event_types()
    assert told.count("charge.dispute.closed") == 1 and told.count("charge.dispute.funds_reinstated") == funds
    again = requests.post(f"{sandbox.url}/objects/{dispute.id}", data={"do": button}, timeout=10)
    assert again.status_code == 409


def setup(box: Box, customer: str, **more: Any) -> Any:
    """An open page that asks for a card."""
    wanted = {"mode": "setup", "customer": customer, "currency": "eur", "success_url": "http://portal.example/{x}"}
    return box.v1.checkout.sessions.create({**wanted, **more})


def test_a_card_is_kept_without_a_charge(sandbox: Box) -> None:
    customer = sandbox.customer()
    session = setup(sandbox, customer.id, setup_intent_data={"metadata": {"vendor": "7"}})
    page = requests.get(session.url, timeout=10).text
    assert "Save card" in page and "Nothing is charged now" in page
    assert pay(session.url, "5555555555554444").status_code == 303
    done = sandbox.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent.payment_method"]})
    assert (done.status, done.payment_status, done.setup_intent.status) == (
        "complete",
        "no_payment_required",
        "succeeded",
    )
    assert done.setup_intent.metadata.vendor == "7"
    method = done.setup_intent.payment_method
    assert (method.customer, method.card.last4) == (customer.id, "4444")
    # the default stays what it was
    now = sandbox.v1.customers.retrieve(customer.id)
    assert now.invoice_settings.default_payment_method == customer.invoice_settings.default_payment_method
    assert sandbox.v1.charges.list({"customer": customer.id}).data == []


def test_a_card_that_is_refused_or_not_confirmed_is_not_kept(sandbox: Box) -> None:
    customer = sandbox.customer(card=None)
    session = setup(sandbox, customer.id)
    assert pay(session.url, "4000000000000002").status_code == 402
    intent = sandbox.v1.setup_intents.retrieve(session.setup_intent)
    assert (intent.status, intent.last_setup_error.code) == ("requires_payment_method", "card_declined")
    assert pay(session.url, "4000002500003155").headers["Location"].endswith("/authenticate")
    assert answer_bank(session.url, "fail").status_code == 402
    assert sandbox.v1.customers.payment_methods.list(customer.id).data == []
    assert sandbox.event_types().count("setup_intent.setup_failed") == 2
    pay(session.url, "4000002500003155")
    assert answer_bank(session.url, "complete").status_code == 303
    assert len(sandbox.v1.customers.payment_methods.list(customer.id).data) == 1


def test_setup_asks_for_a_currency(sandbox: Box) -> None:
    customer = sandbox.customer(card=None)
    wanted = {"mode": "setup", "customer": customer.id, "success_url": "http://portal.example/"}
    error = refused(lambda: sandbox.v1.checkout.sessions.create(wanted))
    assert (error.param, error.code) == ("currency", "parameter_missing")


def test_the_bank_renews_a_card(sandbox: Box) -> None:
    customer = sandbox.customer()
    method = customer.invoice_settings.default_payment_method
    before = sandbox.v1.payment_methods.retrieve(method).card.exp_year
    sandbox.control(f"objects/{method}/renew")
    assert sandbox.v1.payment_methods.retrieve(method).card.exp_year == before + 4
    assert sandbox.event_types()[-1] == "payment_method.automatically_updated"
    assert "error" in sandbox.control(f"objects/{customer.id}/renew")


def test_something_bought_once_with_an_invoice(sandbox: Box) -> None:
    customer = sandbox.customer(card=None)
    # 3 x 25.00, 19 % on top: 75.00 + 14.25 = 89.25
    rate = sandbox.v1.tax_rates.create({"display_name": "USt", "inclusive": False, "percentage": 19}).id
    line = {"price_data": {"currency": "eur", "unit_amount": 2500, "product_data": {"name": "Credits"}}, "quantity": 3}
    wanted = {
        "mode": "payment",
        "customer": customer.id,
        "line_items": [{**line, "tax_rates": [rate]}],
        "success_url": "http://portal.example/",
        "invoice_creation": {"enabled": True},
    }
    session = sandbox.v1.checkout.sessions.create(wanted)
    assert (session.amount_total, session.total_details.amount_tax) == (8925, 1425)
    assert "€89.25" in requests.get(session.url, timeout=10).text
    assert pay(session.url).status_code == 303
    done = sandbox.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice", "payment_intent"]})
    invoice = done.invoice
    assert (done.payment_status, done.payment_intent.amount_received) == ("paid", 8925)
    assert (invoice.status, invoice.amount_paid, invoice.subtotal, invoice.total) == ("paid", 8925, 7500, 8925)
    assert (invoice.parent, invoice.billing_reason, invoice.total_taxes[0].amount) == (None, "manual", 1425)
    assert requests.get(invoice.invoice_pdf, timeout=10).content.startswith(b"%PDF")
    # nobody asked to keep the card
    assert sandbox.v1.customers.payment_methods.list(customer.id).data == []
    assert sandbox.v1.refunds.create({"payment_intent": done.payment_intent.id}).amount == 8925


@pytest.mark.parametrize(
    ("wish", "status", "event"),
    [
        ("past_due", "past_due", None),
        ("unpaid", "unpaid", None),
        ("cancel", "canceled", "customer.subscription.deleted"),
    ],
)
def test_after_the_last_refused_attempt(sandbox: Box, wish: str, status: str, event: str | None) -> None:
    assert sandbox.control("settings", {"after_retries": wish}) == {"after_retries": wish}
    subscription = sandbox.subscribe()
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    end = subscription["items"].data[0].current_period_end
    sandbox.travel_to(end + 3_600)  # the draft's hour: the first attempt is refused
    renewal = sandbox.invoices(subscription.id)[-1]
    for days, attempts in ((0, 1), (3, 2), (5, 3), (7, 4)):
        sandbox.travel_to(end + 3_600 + days * DAY)
        assert sandbox.v1.invoices.retrieve(renewal.id).attempt_count == attempts
    now = sandbox.v1.subscriptions.retrieve(subscription.id)
    assert now.status == status
    open_one = sandbox.v1.invoices.retrieve(renewal.id)
    assert (open_one.status, open_one.next_payment_attempt) == ("open", None)
    assert event is None or event in sandbox.event_types()
    if status == "canceled":
        assert now.cancellation_details.reason == "payment_failed"
        return
    sandbox.give_card(subscription.customer, "pm_card_visa")
    assert sandbox.v1.invoices.pay(renewal.id).status == "paid"
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_an_unpaid_subscription_collects_nothing_by_itself(sandbox: Box) -> None:
    sandbox.control("settings", {"after_retries": "unpaid"})
    subscription = sandbox.subscribe()
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.advance(days=64)
    newest = sandbox.invoices(subscription.id)[-1]
    assert (newest.status, newest.auto_advance, newest.attempt_count) == ("draft", False, 0)
    assert "error" in sandbox.control("settings", {"after_retries": "shrug"})


def test_an_invoice_given_up_ends_the_debt_and_can_still_be_paid(sandbox: Box) -> None:
    subscription = sandbox.subscribe()
    sandbox.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.advance(days=32)
    renewal = sandbox.invoices(subscription.id)[-1]
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert sandbox.v1.invoices.mark_uncollectible(renewal.id).status == "uncollectible"
    assert sandbox.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert pay(renewal.hosted_invoice_url).status_code == 303
    assert sandbox.v1.invoices.retrieve(renewal.id).status == "paid"
    assert refused(lambda: sandbox.v1.invoices.mark_uncollectible(renewal.id)).http_status == 400

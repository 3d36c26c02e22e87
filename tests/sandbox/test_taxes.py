"""Taxes on top: preview equals charge, prorations are taxed both ways, schedules keep or drop them."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import DAY, Box
from tests.sandbox.test_pages import pay

pytestmark = pytest.mark.once


def rate(box: Box, percentage: float = 19, **more: Any) -> str:
    """The id of an exclusive rate."""
    wanted = {"display_name": "USt", "inclusive": False, "percentage": percentage, **more}
    return str(box.v1.tax_rates.create(wanted).id)


def test_a_rate_is_added_to_every_invoice_and_refund_credit(sandbox: Box) -> None:
    subscription = sandbox.subscribe(9900, default_tax_rates=[rate(sandbox)])
    first = sandbox.v1.invoices.retrieve(subscription.latest_invoice)
    # 99.00 x 19 % = 18.81
    assert (first.subtotal, first.total, first.amount_paid) == (9900, 11781, 11781)
    assert (first.total_taxes[0].amount, first.total_taxes[0].taxable_amount) == (1881, 9900)
    assert first.lines.data[0].taxes[0].amount == 1881
    item = subscription["items"].data[0]
    start, end = item.current_period_start, item.current_period_end
    sandbox.advance(seconds=(end - start) // 2)
    change = {
        "items": [{"id": item.id, "price": sandbox.price(19900), "quantity": 1}],
        "proration_behavior": "always_invoice",
        "proration_date": start + (end - start) // 2,
    }
    shown = sandbox.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    # half of 99.00 back: -49.50, tax -9.405 -> -9.41; half of 199.00: 99.50, tax 18.905 -> 18.91 (half away from zero)
    # 50.00 + 9.50 = 59.50
    assert [(line.amount, line.taxes[0].amount) for line in shown.lines.data] == [(-4950, -941), (9950, 1891)]
    assert (shown.subtotal, shown.total, shown.amount_due) == (5000, 5950, 5950)
    sandbox.v1.subscriptions.update(subscription.id, change)
    charged = sandbox.invoices(subscription.id)[-1]
    assert (charged.status, charged.total, charged.amount_paid) == ("paid", 5950, 5950)


@pytest.mark.parametrize(
    ("country", "exempt", "tax", "reason"),
    [
        ("DE", "none", 931, "standard_rated"),  # 49.00 x 19 % = 9.31
        ("AT", "reverse", 0, "reverse_charge"),
        ("DE", "exempt", 0, "customer_exempt"),
        ("US", "none", None, None),
    ],
)
def test_automatic_tax_follows_the_customers_country(
    sandbox: Box, country: str, exempt: str, tax: int | None, reason: str | None
) -> None:
    customer = sandbox.customer(address={"country": country}, tax_exempt=exempt)
    items = [{"price": sandbox.price(4900), "quantity": 1}]
    wanted = {"customer": customer.id, "items": items, "automatic_tax": {"enabled": True}}
    invoice = sandbox.v1.invoices.retrieve(sandbox.v1.subscriptions.create(wanted).latest_invoice)
    assert invoice.automatic_tax.enabled and invoice.automatic_tax.status == "complete"
    found = [(each.amount, each.taxability_reason) for each in invoice.total_taxes]
    assert found == ([] if reason is None else [(tax, reason)])
    assert invoice.total == 4900 + (tax or 0)


def test_automatic_tax_needs_an_address(sandbox: Box) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.session(sandbox.customer(card=None).id, automatic_tax={"enabled": True})
    assert refused.value.code == "customer_tax_location_invalid"


def test_checkout_shows_and_takes_the_tax(sandbox: Box) -> None:
    customer = sandbox.customer(card=None, address={"country": "DE"})
    session = sandbox.session(customer.id, automatic_tax={"enabled": True})
    assert (session.amount_subtotal, session.amount_total, session.total_details.amount_tax) == (4900, 5831, 931)
    assert pay(session.url).status_code == 303
    done = sandbox.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    assert done.subscription.latest_invoice.amount_paid == 5831 and done.subscription.automatic_tax.enabled
    sandbox.advance(days=32)
    assert sandbox.invoices(done.subscription.id)[-1].total == 5831


def test_a_free_trial_is_taxed_when_it_ends(sandbox: Box) -> None:
    data = {"trial_end": sandbox.now() + 10 * DAY, "default_tax_rates": [rate(sandbox, 20)]}
    session = sandbox.session(sandbox.customer(card=None).id, subscription_data=data)
    assert session.amount_total == 0 and pay(session.url).status_code == 303
    subscription = sandbox.v1.checkout.sessions.retrieve(session.id).subscription
    sandbox.advance(days=11)
    # 49.00 + 20 % = 58.80
    assert [invoice.total for invoice in sandbox.invoices(subscription)] == [0, 5880]


@pytest.mark.parametrize(("kept", "total"), [(True, 5831), (False, 4900)])
def test_a_schedule_keeps_what_its_phases_name_and_unsets_the_rest(sandbox: Box, kept: bool, total: int) -> None:
    rates = [rate(sandbox)]
    subscription = sandbox.subscribe(19900, default_tax_rates=rates)
    schedule = sandbox.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = schedule.phases[0]
    assert [each.id for each in now.default_tax_rates] == rates
    tax = {"default_tax_rates": rates} if kept else {}
    phases = [
        {
            "items": [{"price": sandbox.price(19900), "quantity": 1}],
            "start_date": now.start_date,
            "end_date": now.end_date,
            **tax,
        },
        {"items": [{"price": sandbox.price(4900), "quantity": 1}], "duration": {"interval": "month"}, **tax},
    ]
    sandbox.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    shown = sandbox.v1.invoices.create_preview({"subscription": subscription.id})
    sandbox.advance(days=32)
    assert (shown.total, sandbox.invoices(subscription.id)[-1].total) == (total, total)


def test_rates_that_cannot_be_used(sandbox: Box) -> None:
    old = rate(sandbox)
    sandbox.v1.tax_rates.update(old, {"active": False})
    for wanted, param in ((old, "default_tax_rates"), ("txr_nobody", "default_tax_rates")):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            sandbox.subscribe(default_tax_rates=[wanted])
        assert (refused.value.http_status, refused.value.param) == (400, param)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        rate(sandbox, 101)
    assert too_much.value.param == "percentage"

"""The hosted pages and the sandbox's own page, used by plain form posts as a browser without script would."""

import io
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pypdf
import pytest
import requests
import stripe

from tests.sandbox.conftest import DAY, Box, serve

pytestmark = pytest.mark.once

GOOD = "4242424242424242"


def pay(url: str, number: str = GOOD, **more: str) -> requests.Response:
    """Fill the card fields and press the button; the redirect is not followed."""
    form = {"number": number, "expiry": "12 / 34", "cvc": "123", "name": "Vera Vendor", **more}
    return requests.post(url, data=form, allow_redirects=False, timeout=10)


def answer_bank(url: str, answer: str) -> requests.Response:
    """Press one of the two buttons of the 3-D Secure page."""
    return requests.post(f"{url}/authenticate", data={"answer": answer}, allow_redirects=False, timeout=10)


def retrieve(box: Box, session: Any) -> Any:
    """The session as it is now."""
    return box.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})


def test_paying_makes_everything_and_returns(sandbox: Box) -> None:
    customer = sandbox.customer(card=None)
    session = sandbox.session(
        customer.id, subscription_data={"metadata": {"vendor": "7"}}, client_reference_id="order-1"
    )
    assert session.status == "open" and session.url.startswith(sandbox.url)
    page = requests.get(session.url, timeout=10)
    assert "Sandbox: no real money" in page.text and "€49.00" in page.text
    returned = pay(session.url)
    assert returned.status_code == 303
    assert parse_qs(urlsplit(returned.headers["Location"]).query) == {"session_id": [session.id]}
    done = retrieve(sandbox, session)
    assert (done.status, done.payment_status, done.url, done.client_reference_id) == (
        "complete",
        "paid",
        None,
        "order-1",
    )
    subscription = done.subscription
    assert (subscription.status, subscription.latest_invoice.status) == ("active", "paid")
    assert subscription.metadata.vendor == "7" and subscription.latest_invoice.amount_paid == 4900
    assert subscription.latest_invoice.parent.subscription_details.metadata.vendor == "7"
    card = sandbox.v1.payment_methods.retrieve(subscription.default_payment_method)
    assert (card.customer, card.card.last4) == (customer.id, "4242")
    told = sandbox.event_types()
    for kind in (
        "payment_method.attached",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice_payment.paid",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    ):
        assert told.count(kind) == 1, kind


def test_a_trial_charges_nothing_today(sandbox: Box) -> None:
    end = sandbox.now() + 10 * DAY
    session = sandbox.session(sandbox.customer(card=None).id, subscription_data={"trial_end": end})
    page = requests.get(session.url, timeout=10).text
    assert "€0.00" in page and "then €49.00 per month" in page and "Start trial" in page
    assert pay(session.url).status_code == 303
    done = retrieve(sandbox, session)
    assert (done.payment_status, done.amount_total, done.subscription.status) == ("no_payment_required", 0, "trialing")
    assert done.subscription.trial_end == end == done.subscription["items"].data[0].current_period_end


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
        ("4000000000000341", "Your card was declined."),
        ("4111111111111111", "used a non test card"),
    ],
)
def test_a_declined_card_leaves_the_page_open_and_nothing_behind(sandbox: Box, number: str, message: str) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    before = len(sandbox.event_types())
    declined = pay(session.url, number)
    assert declined.status_code == 402 and message in declined.text
    assert retrieve(sandbox, session).status == "open" and len(sandbox.event_types()) == before
    assert sandbox.v1.subscriptions.list().data == []
    assert pay(session.url).status_code == 303 and retrieve(sandbox, session).status == "complete"


def test_a_card_that_only_fails_later_is_accepted_in_a_trial(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None).id, subscription_data={"trial_period_days": 3})
    assert pay(session.url, "4000000000000341").status_code == 303
    sandbox.advance(days=4)
    assert retrieve(sandbox, session).subscription.status == "past_due"


def test_3d_secure_completed(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    step = pay(session.url, "4000002500003155")
    assert step.status_code == 303 and step.headers["Location"].endswith(f"{session.id}/authenticate")
    assert "€49.00" in requests.get(f"{session.url}/authenticate", timeout=10).text
    assert retrieve(sandbox, session).status == "open"
    assert answer_bank(session.url, "complete").status_code == 303
    done = retrieve(sandbox, session)
    assert (done.status, done.payment_status) == ("complete", "paid")
    # A card that asks once lets the renewal through.
    sandbox.travel_to(done.subscription["items"].data[0].current_period_end + 3_600)
    assert sandbox.invoices(done.subscription.id)[-1].status == "paid"


def test_3d_secure_failed_can_be_tried_again(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    pay(session.url, "4000002760003184")
    failed = answer_bank(session.url, "fail")
    assert failed.status_code == 402 and "unable to authenticate" in failed.text
    assert retrieve(sandbox, session).status == "open"
    assert pay(session.url).status_code == 303


def test_3d_secure_and_then_declined(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    pay(session.url, "4000008400001629")
    assert answer_bank(session.url, "complete").status_code == 402
    assert retrieve(sandbox, session).status == "open"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("number", "4242424242424241", "Your card number is invalid."),
        ("number", "not a card", "Your card number is invalid."),
        ("expiry", "13/34", "MM / YY"),
        ("expiry", "01/20", "in the past"),
        ("cvc", "12", "incomplete"),
        ("name", " ", "Enter the name"),
    ],
)
def test_wrong_fields_are_named_at_the_field(sandbox: Box, field: str, value: str, message: str) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    refused = pay(session.url, **{field: value}) if field != "number" else pay(session.url, value)
    assert refused.status_code == 422
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', refused.text)
    assert message in refused.text and retrieve(sandbox, session).status == "open"


def test_a_test_card_fills_its_number_in_and_keeps_what_was_typed(sandbox: Box) -> None:
    session = sandbox.session()
    typed = {"card": "4000000000000002", "name": "Nora New", "email": "nora@example.com"}
    page = requests.get(session.url, params=typed, timeout=10).text
    for value in ("4000 0000 0000 0002", "Nora New", "nora@example.com"):
        assert f'value="{value}"' in page


def test_hostile_text_is_shown_as_text(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None, name='<script>alert("x")</script>').id)
    for page in (requests.get(session.url, timeout=10), pay(session.url, "<img src=x onerror=alert(1)>")):
        assert "<script>" not in page.text and "<img" not in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_the_form_may_lead_back_to_the_shop_and_nowhere_else(sandbox: Box) -> None:
    policy = requests.get(sandbox.session().url, timeout=10).headers["Content-Security-Policy"]
    assert "form-action 'self' http://portal.example;" in policy


def test_paying_twice_charges_once(sandbox: Box) -> None:
    session = sandbox.session(sandbox.customer(card=None).id)
    assert pay(session.url).status_code == 303
    again = pay(session.url)
    assert again.status_code == 410 and "complete" in again.text
    assert len(sandbox.v1.subscriptions.list().data) == 1


def test_a_visitor_without_a_customer_becomes_one(sandbox: Box) -> None:
    session = sandbox.session()
    assert pay(session.url, email="nonsense").status_code == 422
    assert pay(session.url, email="new@example.com").status_code == 303
    done = retrieve(sandbox, session)
    customer = sandbox.v1.customers.retrieve(done.customer)
    assert (customer.email, done.customer_details.email) == ("new@example.com", "new@example.com")


def test_sessions_expire_on_their_date_by_call_and_by_button(sandbox: Box) -> None:
    customer = sandbox.customer(card=None).id
    on_date = sandbox.session(customer, expires_at=sandbox.now() + 3_600)
    by_call, by_button = sandbox.session(customer), sandbox.session(customer)
    sandbox.v1.checkout.sessions.expire(by_call.id)
    assert requests.post(f"{by_button.url}/expire", timeout=10).status_code == 410
    sandbox.advance(seconds=3_700)
    for session in (on_date, by_call, by_button):
        assert retrieve(sandbox, session).status == "expired"
        page = requests.get(session.url, timeout=10)
        assert page.status_code == 410 and "has expired" in page.text and "http://portal.example/billing" in page.text
        assert pay(session.url).status_code == 410
    assert sandbox.event_types().count("checkout.session.expired") == 3
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.v1.checkout.sessions.expire(by_call.id)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"expires_at": 600}, "expires_at"),
        ({"expires_at": 25 * 3_600}, "expires_at"),
        ({"subscription_data": {"trial_end": DAY}}, "subscription_data[trial_end]"),
        ({"success_url": "portal.example"}, "success_url"),
        ({"success_url": "http://portal.example;script-src/x"}, "success_url"),
        ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
    ],
)
def test_dates_and_addresses_that_stripe_refuses(sandbox: Box, more: dict[str, Any], param: str) -> None:
    now = sandbox.now()
    if "expires_at" in more:
        more = {"expires_at": now + more["expires_at"]}
    if "subscription_data" in more:
        more = {"subscription_data": {"trial_end": now + DAY}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.session(**more)
    assert refused.value.param == param


def test_one_off_mixed_and_inactive_prices_are_refused(sandbox: Box) -> None:
    product = sandbox.v1.products.create({"name": "Once"}).id
    once = sandbox.v1.prices.create({"product": product, "currency": "eur", "unit_amount": 100}).id
    gone = sandbox.price(700)
    sandbox.v1.prices.update(gone, {"active": False})
    for prices in ([once], [gone], ["price_nobody"], [sandbox.price(100), sandbox.price(1000, "year")]):
        with pytest.raises(stripe.InvalidRequestError):
            sandbox.session(line_items=[{"price": price, "quantity": 1} for price in prices])


def open_invoice(box: Box) -> Any:
    """An invoice that the customer's card refused."""
    subscription = box.subscribe(4900)
    box.give_card(subscription.customer, "pm_card_chargeCustomerFail")
    box.travel_to(subscription["items"].data[0].current_period_end + 3_600)
    return box.invoices(subscription.id)[-1]


def test_an_open_invoice_is_paid_on_its_page_and_the_card_stays(sandbox: Box) -> None:
    invoice = open_invoice(sandbox)
    page = requests.get(invoice.hosted_invoice_url, timeout=10).text
    assert "€49.00" in page and "Pay this invoice" in page
    assert pay(invoice.hosted_invoice_url, "4000000000000002").status_code == 402
    assert pay(invoice.hosted_invoice_url, "4242424242424242").status_code == 303
    assert "Invoice paid" in requests.get(invoice.hosted_invoice_url, timeout=10).text
    subscription = sandbox.v1.subscriptions.retrieve(
        invoice.parent.subscription_details.subscription, {"expand": ["default_payment_method"]}
    )
    assert (subscription.status, subscription.default_payment_method.card.last4) == ("active", "4242")
    assert subscription.default_payment_method.customer == invoice.customer


def test_3d_secure_on_the_invoice_page(sandbox: Box) -> None:
    invoice = open_invoice(sandbox)
    url = invoice.hosted_invoice_url
    assert pay(url, "4000002760003184").headers["Location"].endswith("/authenticate")
    assert answer_bank(url, "fail").status_code == 402
    pay(url, "4000002760003184")
    assert answer_bank(url, "complete").status_code == 303
    assert sandbox.v1.invoices.retrieve(invoice.id).status == "paid"


def test_the_pdf_is_one_and_says_what_was_paid(sandbox: Box) -> None:
    invoice = sandbox.invoices(sandbox.subscribe(4900).id)[0]
    answer = requests.get(invoice.invoice_pdf, timeout=10)
    assert answer.headers["Content-Type"] == "application/pdf"
    text = pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    assert invoice.number in text and "€49.00" in text


def test_the_console_shows_what_happened(sandbox: Box) -> None:
    empty = requests.get(sandbox.url, timeout=10)
    assert empty.status_code == 200 and "Nothing has happened yet" in empty.text
    subscription = sandbox.subscribe(4900)
    page = requests.get(sandbox.url, timeout=10).text
    assert subscription.id in page and "customer.subscription.created" in page and "Next charge" in page
    assert sandbox.key not in page and "whsec_" not in page


def test_the_console_offers_what_can_happen_to_an_object(sandbox: Box) -> None:
    sandbox.subscribe(4900)
    page = requests.get(sandbox.url, timeout=10).text
    assert "Open a dispute" in page and "The bank renews the card" in page and "left past due" in page
    chosen = requests.post(f"{sandbox.url}/after-retries", data={"end": "unpaid"}, timeout=10)
    assert '<option value="unpaid" selected>' in chosen.text
    assert requests.post(f"{sandbox.url}/after-retries", data={"end": "shrug"}, timeout=10).status_code == 400
    assert requests.post(f"{sandbox.url}/objects/ch_nobody", data={"do": "dispute"}, timeout=10).status_code == 404


def test_the_clock_buttons_move_the_sandboxes_own_clock(sandbox: Box) -> None:
    subscription = sandbox.subscribe(4900)
    before = sandbox.now()
    requests.post(f"{sandbox.url}/clock", data={"move": "day"}, timeout=10)
    assert DAY <= sandbox.now() - before <= DAY + 5
    requests.post(f"{sandbox.url}/clock", data={"move": "charge"}, timeout=10)
    assert [invoice.status for invoice in sandbox.invoices(subscription.id)] == ["paid", "paid"]
    assert requests.post(f"{sandbox.url}/clock", data={"move": "century"}, timeout=10).status_code == 400


def test_the_clock_buttons_start_the_conductor(tmp_path: Path) -> None:
    script = "import sys; print('moving', *sys.argv[1:])"
    running = serve(tmp_path / "offset", ":memory:", conductor=(sys.executable, "-c", script))
    box = next(running)
    requests.post(f"{box.url}/clock", data={"move": "day"}, timeout=10)
    until = time.monotonic() + 10
    while "Done." not in (page := requests.get(box.url, timeout=10).text) and time.monotonic() < until:
        pass
    assert "moving --days 1" in page and not (tmp_path / "offset").exists()
    running.close()


def test_bad_days_from_the_page(sandbox: Box) -> None:
    customer = sandbox.customer()
    price = sandbox.price(100)
    requests.post(f"{sandbox.url}/bad-days", data={"kind": "decline_next"}, timeout=10)
    wanted = {"customer": customer.id, "items": [{"price": price}], "payment_behavior": "error_if_incomplete"}
    with pytest.raises(stripe.CardError):
        sandbox.v1.subscriptions.create(wanted)
    assert sandbox.v1.subscriptions.create(wanted).status == "active"  # it was the next payment only
    requests.post(f"{sandbox.url}/bad-days", data={"kind": "status", "status": "429", "when": "before"}, timeout=10)
    with pytest.raises(stripe.RateLimitError):
        sandbox.v1.subscriptions.create(wanted)
    requests.post(f"{sandbox.url}/bad-days", data={"kind": "clear"}, timeout=10)
    assert sandbox.control("faults", method="GET")["data"] == []
    assert requests.post(f"{sandbox.url}/bad-days", data={"kind": "rain"}, timeout=10).status_code == 400


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_other_sites_cannot_press_the_buttons(sandbox: Box, headers: dict[str, str]) -> None:
    for path in ("/clock", "/_sandbox/reset", "/bad-days"):
        assert requests.post(sandbox.url + path, headers=headers, timeout=10).status_code == 403
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    assert requests.post(f"{sandbox.url}/_sandbox/reset", headers=rebound, timeout=10).status_code == 403
    own = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
    assert requests.post(f"{sandbox.url}/_sandbox/run-due", headers=own, timeout=10).status_code == 200

"""One long story that makes every call of the sandbox once, with parameters that exercise it."""

import json
from collections.abc import Iterator
from typing import Any

import requests

from tests.sandbox.conftest import DAY, Box

Answered = tuple[str, Any]


class Teller:
    """Makes calls by their pattern, so that a test knows which ones were tried."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.answers: list[Answered] = []

    def __call__(self, pattern: str, *ids: str, **params: Any) -> Any:
        """Call "POST /v1/x/{}" with these ids and (dotted by __) parameters; the answer must be a success."""
        method, path = pattern.split(" ")
        url = self.box.url + path.format(*ids)
        pairs = list(flat(params))
        where: Any = {"params": pairs} if method == "GET" else {"data": pairs}
        found = requests.request(method, url, headers={"Authorization": f"Bearer {self.box.key}"}, timeout=10, **where)
        assert found.status_code == 200, f"{pattern}: {found.text}"
        self.answers.append((pattern, json.loads(found.text)))
        return found.json()


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Stripe's way of writing nested parameters."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flat(part, f"{prefix}[{key}]" if prefix else key)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from flat(part, f"{prefix}[{place}]")
    else:
        yield prefix, str(value).lower() if isinstance(value, bool) else str(value)


def everything(box: Box) -> list[Answered]:
    """Tell the story; returns each call's pattern with its answer."""
    tell = Teller(box)
    price, other = _catalog(tell)
    customer = _customer(tell)
    subscription = _checkout(tell, customer, price)
    _invoices(tell, customer, subscription, other)
    _items(tell, price)
    _schedules(tell, subscription, price)
    _endings(tell, customer, price)
    _money_back(tell, customer)
    _card_kept(tell, customer)
    _taxes(tell, customer, price)
    _endpoints(tell)
    return tell.answers


def _catalog(tell: Teller) -> tuple[str, str]:
    product = tell("POST /v1/products", name="Pro", description="For most", metadata={"tier": "pro"})["id"]
    tell("GET /v1/products", active=True)
    tell("POST /v1/products/{}", product, name="Pro!")
    recurring = {"interval": "month", "interval_count": 1}
    wanted = {"product": product, "currency": "eur", "recurring": recurring}
    price = tell("POST /v1/prices", unit_amount=4900, lookup_key="pro", **wanted)["id"]
    other = tell("POST /v1/prices", unit_amount=19900, **wanted)["id"]
    tell("POST /v1/products/{}", product, default_price=price)
    tell("GET /v1/products/{}", product, expand=["default_price"])
    tell("GET /v1/prices", lookup_keys=["pro"], expand=["data.product"])
    tell("GET /v1/prices/{}", price, expand=["product"])
    tell("POST /v1/prices/{}", price, nickname="Monthly")
    return price, other


def _customer(tell: Teller) -> str:
    customer = tell("POST /v1/customers", email="a@example.com", name="A", address={"line1": "Weg 1", "country": "DE"})[
        "id"
    ]
    tell("GET /v1/customers", email="a@example.com")
    card = {"number": "4242424242424242", "exp_month": 3, "exp_year": 2034, "cvc": "314"}
    method = tell("POST /v1/payment_methods", type="card", card=card)["id"]
    tell("POST /v1/payment_methods/{}/attach", method, customer=customer)
    tell(
        "POST /v1/customers/{}", customer, invoice_settings={"default_payment_method": method}, metadata={"vendor": "7"}
    )
    tell("GET /v1/customers/{}", customer, expand=["invoice_settings.default_payment_method", "subscriptions"])
    tell("GET /v1/customers/{}/payment_methods", customer, type="card")
    tell("GET /v1/payment_methods", customer=customer, type="card")
    tell("GET /v1/payment_methods/{}", method, expand=["customer"])
    spare = tell("POST /v1/payment_methods/{}/attach", "pm_card_mastercard", customer=customer)["id"]
    tell("POST /v1/payment_methods/{}/detach", spare)
    return customer


def _checkout(tell: Teller, customer: str, price: str) -> str:
    wanted = {
        "mode": "subscription",
        "customer": customer,
        "line_items": [{"price": price, "quantity": 1}],
        "success_url": "http://portal.example/done?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://portal.example/",
        "client_reference_id": "order-1",
        "adaptive_pricing": {"enabled": False},
    }
    open_one = tell("POST /v1/checkout/sessions", **wanted)
    tell("POST /v1/checkout/sessions/{}/expire", open_one["id"])
    trial = {"trial_end": tell.box.now() + 14 * DAY, "metadata": {"vendor": "7"}, "billing_mode": {"type": "flexible"}}
    session = tell("POST /v1/checkout/sessions", **wanted, subscription_data=trial)
    form = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123", "name": "A"}
    requests.post(session["url"], data=form, allow_redirects=False, timeout=10)
    expand = ["line_items", "subscription.latest_invoice", "customer"]
    done = tell("GET /v1/checkout/sessions/{}", session["id"], expand=expand)
    tell("GET /v1/checkout/sessions/{}/line_items", session["id"])
    tell("GET /v1/checkout/sessions", customer=customer, status="complete")
    return str(done["subscription"]["id"])


def _invoices(tell: Teller, customer: str, subscription: str, other: str) -> None:
    tell.box.advance(days=15)
    shown = tell("GET /v1/subscriptions/{}", subscription, expand=["latest_invoice.payments", "default_payment_method"])
    item = shown["items"]["data"][0]["id"]
    tell("GET /v1/subscription_items", subscription=subscription)
    change = {"items": [{"id": item, "price": other, "quantity": 1}], "proration_behavior": "always_invoice"}
    tell("POST /v1/invoices/create_preview", customer=customer, subscription=subscription, subscription_details=change)
    changed = tell("POST /v1/subscriptions/{}", subscription, **change, expand=["latest_invoice.confirmation_secret"])
    invoice = changed["latest_invoice"]["id"]
    tell("GET /v1/invoices", subscription=subscription, status="paid", expand=["data.payments"])
    tell("GET /v1/invoices/{}", invoice, expand=["payments.data.payment.payment_intent", "customer"])
    tell("GET /v1/invoices/{}/lines", invoice)
    paid = tell("GET /v1/invoice_payments", invoice=invoice)["data"][0]
    intent = tell("GET /v1/payment_intents/{}", paid["payment"]["payment_intent"], expand=["latest_charge"])
    tell("GET /v1/charges/{}", intent["latest_charge"]["id"], expand=["payment_intent"])


def _items(tell: Teller, price: str) -> None:
    """A yearly add-on beside a monthly plan, two of them, then none."""
    held = tell("POST /v1/subscriptions", customer=tell.box.customer().id, items=[{"price": price}])
    product = held["items"]["data"][0]["price"]["product"]
    yearly = tell("POST /v1/prices", product=product, currency="eur", unit_amount=12000, recurring={"interval": "year"})
    paid = {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
    added = tell("POST /v1/subscription_items", subscription=held["id"], price=yearly["id"], quantity=1, **paid)["id"]
    tell("GET /v1/subscription_items/{}", added)
    tell("POST /v1/subscription_items/{}", added, quantity=2, **paid)
    tell("GET /v1/subscription_items", subscription=held["id"])
    tell("DELETE /v1/subscription_items/{}", added, proration_behavior="always_invoice")


def _money_back(tell: Teller, customer: str) -> None:
    """Bought once with an invoice, part of it given back, then disputed."""
    session = tell(
        "POST /v1/checkout/sessions",
        mode="payment",
        customer=customer,
        line_items=[
            {
                "price_data": {"currency": "eur", "unit_amount": 2500, "product_data": {"name": "500 credits"}},
                "quantity": 2,
            }
        ],
        success_url="http://portal.example/done?s={CHECKOUT_SESSION_ID}",
        invoice_creation={"enabled": True, "invoice_data": {"metadata": {"order": "2"}}},
        payment_intent_data={"metadata": {"order": "2"}, "setup_future_usage": "off_session"},
    )
    form = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123", "name": "A"}
    requests.post(session["url"], data={**form, "number": "4000000000000002"}, allow_redirects=False, timeout=10)
    requests.post(session["url"], data=form, allow_redirects=False, timeout=10)
    expand = ["invoice.payments", "payment_intent.latest_charge", "line_items"]
    done = tell("GET /v1/checkout/sessions/{}", session["id"], expand=expand)
    intent = done["payment_intent"]
    requests.post(f"{tell.box.url}/_sandbox/objects/{done['invoice']['id']}/credit", timeout=10)
    tell("GET /v1/credit_notes", invoice=done["invoice"]["id"])
    refund = tell("POST /v1/refunds", payment_intent=intent["id"], amount=1000, reason="requested_by_customer")
    tell("GET /v1/refunds", payment_intent=intent["id"])
    tell("GET /v1/refunds/{}", refund["id"], expand=["charge", "payment_intent"])
    tell("POST /v1/refunds/{}", refund["id"], metadata={"refund": "1"})
    tell("GET /v1/charges", payment_intent=intent["id"])
    tell.box.control(f"objects/{intent['latest_charge']['id']}/dispute")
    dispute = tell("GET /v1/disputes", payment_intent=intent["id"], expand=["data.charge"])["data"][0]
    tell.box.control(f"objects/{dispute['id']}/win")
    tell("GET /v1/disputes/{}", dispute["id"])


def _card_kept(tell: Teller, customer: str) -> None:
    session = tell(
        "POST /v1/checkout/sessions",
        mode="setup",
        customer=customer,
        currency="eur",
        success_url="http://portal.example/done?s={CHECKOUT_SESSION_ID}",
        setup_intent_data={"metadata": {"vendor": "7"}},
    )
    form = {"number": "5555555555554444", "expiry": "12/34", "cvc": "123", "name": "A"}
    requests.post(session["url"], data={**form, "number": "4000000000000002"}, allow_redirects=False, timeout=10)
    requests.post(session["url"], data=form, allow_redirects=False, timeout=10)
    done = tell("GET /v1/checkout/sessions/{}", session["id"], expand=["setup_intent.payment_method"])
    method = done["setup_intent"]["payment_method"]["id"]
    tell("GET /v1/setup_intents", customer=customer, payment_method=method)
    tell("GET /v1/setup_intents/{}", done["setup_intent"]["id"])
    tell("POST /v1/payment_methods/{}", method, card={"exp_year": 2035}, billing_details={"name": "B"})


def _taxes(tell: Teller, customer: str, price: str) -> None:
    rate = tell("POST /v1/tax_rates", display_name="USt", inclusive=False, percentage="19", country="DE")["id"]
    tell("GET /v1/tax_rates", active=True)
    tell("GET /v1/tax_rates/{}", rate)
    tell("POST /v1/tax_rates/{}", rate, metadata={"of": "us"})
    items = [{"price": price, "quantity": 1}]
    taxed = tell("POST /v1/subscriptions", customer=customer, items=items, default_tax_rates=[rate])
    expand = ["total_taxes.tax_rate_details.tax_rate"]
    tell("GET /v1/invoices/{}", taxed["latest_invoice"], expand=expand)
    owed = tell("POST /v1/subscriptions", customer=customer, items=items, payment_behavior="default_incomplete")
    tell("POST /v1/invoices/{}/mark_uncollectible", owed["latest_invoice"])
    details = {"items": items}
    tell(
        "POST /v1/invoices/create_preview",
        customer=customer,
        subscription_details=details,
        automatic_tax={"enabled": True},
    )


def _schedules(tell: Teller, subscription: str, price: str) -> None:
    schedule = tell("POST /v1/subscription_schedules", from_subscription=subscription)
    phase = schedule["phases"][0]
    running = [{"price": item["price"], "quantity": item["quantity"]} for item in phase["items"]]
    phases = [
        {"items": running, "start_date": phase["start_date"], "end_date": phase["end_date"]},
        {"items": [{"price": price, "quantity": 1}], "duration": {"interval": "month"}, "proration_behavior": "none"},
    ]
    tell(
        "POST /v1/subscription_schedules/{}",
        schedule["id"],
        phases=phases,
        end_behavior="release",
        metadata={"change": "1"},
    )
    tell("GET /v1/subscription_schedules/{}", schedule["id"], expand=["subscription", "phases.items.price"])
    tell("GET /v1/subscription_schedules")
    tell("POST /v1/subscription_schedules/{}/release", schedule["id"])


def _endings(tell: Teller, customer: str, price: str) -> None:
    poor = tell.box.customer("pm_card_chargeCustomerFail").id
    failing = tell(
        "POST /v1/subscriptions", customer=poor, items=[{"price": price}], payment_behavior="allow_incomplete"
    )
    tell.box.give_card(poor, "pm_card_visa")
    tell("POST /v1/invoices/{}/pay", failing["latest_invoice"])
    waiting = tell(
        "POST /v1/subscriptions", customer=customer, items=[{"price": price}], payment_behavior="default_incomplete"
    )
    tell("POST /v1/invoices/{}/void", waiting["latest_invoice"])
    going = tell("POST /v1/subscriptions", customer=customer, items=[{"price": price}])
    tell.box.travel_to(going["items"]["data"][0]["current_period_end"])
    tell("POST /v1/invoices/{}/finalize", tell("GET /v1/subscriptions/{}", going["id"])["latest_invoice"])
    tell("GET /v1/subscriptions", customer=customer, status="all", expand=["data.latest_invoice"])
    tell(
        "DELETE /v1/subscriptions/{}",
        going["id"],
        invoice_now=True,
        prorate=True,
        cancellation_details={"feedback": "unused"},
    )
    last = tell("POST /v1/subscriptions", customer=customer, items=[{"price": price}])
    schedule = tell("POST /v1/subscription_schedules", from_subscription=last["id"])
    tell("POST /v1/subscription_schedules/{}/cancel", schedule["id"])


def _endpoints(tell: Teller) -> None:
    made = tell("POST /v1/webhook_endpoints", url="https://portal.example/hooks", enabled_events=["invoice.paid"])
    tell("GET /v1/webhook_endpoints")
    tell("GET /v1/webhook_endpoints/{}", made["id"])
    tell("POST /v1/webhook_endpoints/{}", made["id"], description="Second")
    tell("DELETE /v1/webhook_endpoints/{}", made["id"])
    event = tell("GET /v1/events", types=["invoice.paid"], delivery_success=False, limit=1)["data"][0]
    tell("GET /v1/events/{}", event["id"])
    tell("GET /v1/account")

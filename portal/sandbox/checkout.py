"""Checkout Sessions in subscription mode: made, read, expired, listed; and what a paid one leaves behind."""

import re
from urllib.parse import urlsplit

from portal.sandbox import catalog, customers, events, invoices, paging, payments, plan, standing, subscriptions, timers
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, unsupported
from portal.sandbox.ids import new_id
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

HALF_HOUR, DAY, TWO_DAYS = 1_800, 86_400, 172_800
SLACK = 60  # seconds that a request may take on its way


def create(tx: Tx, params: Params) -> Doc:
    """A session with a hosted page; refuses what Stripe refuses."""
    if params.get("mode") != "subscription":
        if params.get("mode") is None:
            raise invalid("You must provide a mode.", param="mode", code="parameter_missing")
        raise unsupported(f"Checkout in {params['mode']} mode", param="mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported("a Checkout page other than the hosted one", param="ui_mode")
    _check_urls(params)
    customer = _customer(tx, params)
    prices = _line_prices(tx, params)
    data = params.get("subscription_data", {})
    trial_end = _trial_end(tx, data)
    expires = _expires_at(tx, params)
    items = [
        _item(price, line.get("quantity", 1), trial_end)
        for price, line in zip(prices, params["line_items"], strict=True)
    ]
    session = _insert(tx, params, customer, items, expires, trial_end)
    session["url"] = f"{tx.config.public_url}/c/pay/{session['id']}"
    tx.schedule(expires, "expire_session", session["id"])
    return session


def _check_urls(params: Params) -> None:
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    for name in ("success_url", "cancel_url"):
        found = urlsplit(params.get(name, "https://example.com"))
        # The host goes into a header of the page, so it may hold nothing but a host.
        if found.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", found.netloc):
            raise invalid("Not a valid URL", param=name, code="url_invalid")


def _customer(tx: Tx, params: Params) -> Doc | None:
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if "customer" not in params:
        return None
    return tx.get("customer", params["customer"], param="customer", status=400)


def _line_prices(tx: Tx, params: Params) -> list[Doc]:
    wanted = params.get("line_items")
    if not wanted:
        raise invalid("You must provide line_items in subscription mode.", param="line_items", code="parameter_missing")
    if len(wanted) > 20:
        raise invalid("You may specify at most 20 recurring line items.", param="line_items")
    found = []
    for place, line in enumerate(wanted):
        param = f"line_items[{place}][price]"
        if "price" not in line:
            raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
        if line.get("quantity", 1) < 1:
            raise invalid("This value must be greater than or equal to 1.", param=f"line_items[{place}][quantity]")
        found.append(catalog.recurring_price(tx, line["price"], param))
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in found}) > 1:
        raise invalid("Checkout does not support multiple prices with different billing intervals.", param="line_items")
    if len({price["currency"] for price in found}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    return found


def _trial_end(tx: Tx, data: Params) -> int | None:
    end = subscriptions.trial_end_of(tx, data)
    if end is not None and "trial_end" in data and end < tx.now + TWO_DAYS - SLACK:
        raise invalid(
            "The `trial_end` date has to be at least 2 days in the future.", param="subscription_data[trial_end]"
        )
    return end


def _expires_at(tx: Tx, params: Params) -> int:
    expires: int = params.get("expires_at", tx.now + DAY)
    if expires < tx.now + HALF_HOUR - SLACK:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.", param="expires_at"
        )
    if expires > tx.now + DAY + SLACK:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.", param="expires_at"
        )
    return expires


def _item(price: Doc, quantity: int, trial_end: int | None) -> Doc:
    amount = 0 if trial_end else price["unit_amount"] * quantity
    return {
        "id": new_id("item"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": price["nickname"],
        "metadata": {},
        "price": price["id"],
        "quantity": quantity,
    }


def _insert(tx: Tx, params: Params, customer: Doc | None, items: list[Doc], expires: int, trial_end: int | None) -> Doc:
    empty = (
        "after_expiration allow_promotion_codes client_secret collected_information consent consent_collection "
        "currency_conversion customer_account invoice invoice_creation managed_payments optional_items origin_context "
        "payment_intent payment_link payment_method_configuration_details permissions recovered_from "
        "saved_payment_method_options setup_intent shipping_address_collection shipping_cost submit_type subscription "
        "wallet_options allowed_payment_method_types integration_identifier discounts"
    )
    total = sum(item["amount_total"] for item in items)
    plan.check_amount(sum(plan.amount_of(tx, item) for item in items), "line_items")
    return tx.insert(
        "checkout.session",
        {
            **dict.fromkeys(empty.split()),
            "adaptive_pricing": params.get("adaptive_pricing", {"enabled": False}),
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "billing_address_collection": None,
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "currency": items[0]["currency"],
            "custom_fields": [],
            "custom_text": {
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            "customer": customer["id"] if customer else None,
            "customer_creation": None if customer else "always",
            "customer_details": _details(customer or {"email": params.get("customer_email")}, None),
            "customer_email": params.get("customer_email"),
            "excluded_payment_method_types": [],
            "expires_at": expires,
            "locale": params.get("locale"),
            "metadata": metadata_of(params.get("metadata")),
            "mode": "subscription",
            "payment_method_collection": params.get("payment_method_collection", "always"),
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "phone_number_collection": {"enabled": False},
            "redirect_on_completion": "always",
            "shipping_options": [],
            "status": "open",
            "success_url": params["success_url"],
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": None,
        },
        line_items=items,
        trial_end=trial_end,
        data=params.get("subscription_data", {}),
        challenge=None,
    )


def _details(customer: Doc, name: str | None) -> Doc:
    return {
        "address": None,
        "business_name": None,
        "email": customer.get("email"),
        "individual_name": None,
        "name": name or customer.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": customer.get("tax_exempt", "none"),
        "tax_ids": [],
    }


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The session."""
    return tx.get("checkout.session", ident)


def expire(tx: Tx, params: Params, ident: str) -> Doc:
    """Close an open session."""
    session = tx.get("checkout.session", ident)
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of {session['status']}."
        )
    close(tx, session)
    return session


def close(tx: Tx, session: Doc) -> None:
    """The session expires, if it is still open."""
    if session["status"] == "open":
        session.update(status="expired", url=None)
        tx.unschedule("expire_session", session["id"])
        events.emit(tx, "checkout.session.expired", session)


def list_all(tx: Tx, params: Params) -> Doc:
    """Sessions by customer, subscription and status."""

    def matches(doc: Doc) -> bool:
        return params.get("status") in (None, doc["status"])

    owner = {"customer": params.get("customer"), "parent": params.get("subscription")}
    return paging.page(tx, "checkout.session", params, "/v1/checkout/sessions", matches=matches, **owner)


def list_line_items(tx: Tx, params: Params, ident: str) -> Doc:
    """What is bought."""
    session = tx.get("checkout.session", ident)
    url = f"/v1/checkout/sessions/{ident}/line_items"
    return paging.of_list(tx, session["_private"]["line_items"], params, url)


# --- what the hosted page does


def amount_due(tx: Tx, session: Doc) -> int:
    """What the card pays today, the customer's balance taken off (minor units)."""
    balance = tx.get("customer", session["customer"])["balance"] if session["customer"] else 0
    return invoices.net(session["amount_total"], balance)[0]


def complete(tx: Tx, session: Doc, method: Doc | None, name: str | None) -> None:
    """The card was accepted: customer, card, subscription and first invoice come to be, and the session is complete."""
    customer = _or_new_customer(tx, session, name)
    if method:
        customers.attach_card(tx, method, customer)
    private = session["_private"]
    wanted = [{"price": item["price"], "quantity": item["quantity"]} for item in private["line_items"]]
    more = {**private["data"], "default_payment_method": method["id"] if method else None}
    subscription = subscriptions.open_subscription(tx, customer, wanted, private["trial_end"], more)
    subscription["payment_settings"]["save_default_payment_method"] = "off"
    invoice = subscriptions.first_invoice(tx, customer, subscription)
    if invoice["status"] == "open":
        payments.collect(tx, invoice, method, approved=True)
        standing.paid(tx, invoice, subscription)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    events.emit(tx, "customer.updated", customer)
    _close_paid(tx, session, customer, subscription, invoice, name)


def _or_new_customer(tx: Tx, session: Doc, name: str | None) -> Doc:
    if session["customer"]:
        return tx.get("customer", session["customer"])
    given = {"email": session["customer_email"], "name": name}
    return customers.create(tx, {key: text for key, text in given.items() if text})


def _close_paid(tx: Tx, session: Doc, customer: Doc, subscription: Doc, invoice: Doc, name: str | None) -> None:
    session.update(
        status="complete",
        url=None,
        payment_status="no_payment_required" if session["amount_total"] == 0 else "paid",
        customer=customer["id"],
        customer_details=_details(customer, name),
        subscription=subscription["id"],
        invoice=invoice["id"],
    )
    session["_private"]["challenge"] = None
    tx.unschedule("expire_session", session["id"])
    events.emit(tx, "checkout.session.completed", session)


def expected_renewal(tx: Tx, session: Doc) -> tuple[int, Doc]:
    """The amount of a whole period and its interval, for the page."""
    items = session["_private"]["line_items"]
    return sum(plan.amount_of(tx, item) for item in items), plan.recurring_of(tx, items)


CREATE = (
    "adaptive_pricing.enabled cancel_url client_reference_id customer "
    "customer_email expires_at line_items.price line_items.quantity "
    "locale metadata mode payment_method_collection success_url "
    "ui_mode subscription_data.metadata subscription_data.description subscription_data.billing_mode.type "
    "subscription_data.trial_end subscription_data.trial_period_days "
    "subscription_data.trial_settings.end_behavior.missing_payment_method"
)
BASE = "/v1/checkout/sessions"
CALLS = [
    Call("POST", BASE, "checkout.SessionCreateParams", create, CREATE),
    Call("GET", BASE, "checkout.SessionListParams", list_all, f"{LIST} created customer status subscription"),
    Call("GET", BASE + "/{}", "checkout.SessionRetrieveParams", retrieve),
    Call("POST", BASE + "/{}/expire", "checkout.SessionExpireParams", expire),
    Call("GET", BASE + "/{}/line_items", "checkout.SessionLineItemListParams", list_line_items, LIST),
]

"""Checkout Sessions: made in one of three modes, read, expired, listed; and what a paid subscription leaves behind."""

from portal.sandbox import (
    catalog,
    customers,
    events,
    invoices,
    paging,
    payment_mode,
    payments,
    plan,
    session_shape,
    setup_mode,
    standing,
    subscriptions,
    taxes,
    timers,
)
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, unsupported
from portal.sandbox.payments import Outcome
from portal.sandbox.session_shape import SLACK
from portal.sandbox.tx import Doc, Params, Tx

TWO_DAYS = 172_800
#: Parameters that belong to one mode alone.
ONLY = {
    "subscription_data": "subscription",
    "payment_method_collection": "subscription",
    "invoice_creation": "payment",
    "payment_intent_data": "payment",
    "setup_intent_data": "setup",
}


def create(tx: Tx, params: Params) -> Doc:
    """A session with a hosted page; refuses what Stripe refuses."""
    mode = params.get("mode")
    if mode is None:
        raise invalid("You must provide a mode.", param="mode", code="parameter_missing")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported("a Checkout page other than the hosted one", param="ui_mode")
    for name in params:
        if mode != ONLY.get(name, mode):
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    session_shape.check_urls(params)
    customer = session_shape.customer_of(tx, params)
    make = {"subscription": _to_subscribe, "payment": payment_mode.create, "setup": setup_mode.create}[mode]
    return make(tx, params, customer)


def _to_subscribe(tx: Tx, params: Params, customer: Doc | None) -> Doc:
    if "currency" in params:
        raise unsupported("another currency than the prices'", param="currency")
    prices = _line_prices(tx, params)
    data = params.get("subscription_data", {})
    trial_end = _trial_end(tx, data)
    wanted = {name: data[name] for name in ("default_tax_rates",) if name in data}
    wanted |= {name: params[name] for name in ("automatic_tax",) if name in params}
    tax = taxes.settings(tx, wanted, customer, "subscription_data")
    items = []
    for price, line in zip(prices, params["line_items"], strict=True):
        quantity = line.get("quantity", 1)
        amount = 0 if trial_end else price["unit_amount"] * quantity
        items.append(session_shape.item(price, quantity, amount, taxes.on(tx, customer, tax, amount)))
    plan.check_amount(sum(plan.amount_of(tx, item) for item in items), "line_items")
    fields = session_shape.priced("subscription", items, tax)
    private = {"line_items": items, "trial_end": trial_end, "data": {**data, **wanted}, "tax": tax}
    return session_shape.insert(tx, params, customer, fields, **private)


def _line_prices(tx: Tx, params: Params) -> list[Doc]:
    wanted = params.get("line_items")
    if not wanted:
        raise invalid("You must provide line_items in subscription mode.", param="line_items", code="parameter_missing")
    if len(wanted) > 20:
        raise invalid("You may specify at most 20 recurring line items.", param="line_items")
    for name in ("price_data", "tax_rates"):
        if any(name in line for line in wanted):
            raise unsupported(f"{name} in subscription mode", param=f"line_items[{name}]")
    found = [_line_price(tx, line, f"line_items[{place}]") for place, line in enumerate(wanted)]
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in found}) > 1:
        raise invalid("Checkout does not support multiple prices with different billing intervals.", param="line_items")
    if len({price["currency"] for price in found}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    return found


def _line_price(tx: Tx, line: Params, param: str) -> Doc:
    if "price" not in line:
        where = f"{param}[price]"
        raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
    if line.get("quantity", 1) < 1:
        raise invalid("This value must be greater than or equal to 1.", param=f"{param}[quantity]")
    return catalog.recurring_price(tx, line["price"], f"{param}[price]")


def _trial_end(tx: Tx, data: Params) -> int | None:
    end = subscriptions.trial_end_of(tx, data)
    if end is not None and "trial_end" in data and end < tx.now + TWO_DAYS - SLACK:
        raise invalid(
            "The `trial_end` date has to be at least 2 days in the future.", param="subscription_data[trial_end]"
        )
    return end


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
    session_shape.close(tx, session)
    return session


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
    """What the card pays today (minor units); a subscription takes the customer's balance off."""
    if session["mode"] != "subscription":
        return int(session["amount_total"] or 0)
    balance = tx.get("customer", session["customer"])["balance"] if session["customer"] else 0
    return invoices.net(session["amount_total"], balance)[0]


def refused(tx: Tx, session: Doc, method: Doc, outcome: Outcome) -> None:
    """The card was not taken: a subscription leaves nothing behind, the other modes note the attempt."""
    if session["mode"] == "setup":
        setup_mode.refused(tx, session, method, outcome)
    elif session["mode"] == "payment":
        payment_mode.refused(tx, session, method, outcome)


def complete(tx: Tx, session: Doc, method: Doc | None, name: str | None) -> None:
    """The card was accepted."""
    if session["mode"] == "setup" and method:
        setup_mode.complete(tx, session, method, name)
    elif session["mode"] == "payment" and method:
        payment_mode.complete(tx, session, method, name)
    else:
        _subscribe(tx, session, method, name)


def _subscribe(tx: Tx, session: Doc, method: Doc | None, name: str | None) -> None:
    """Customer, card, subscription and first invoice come to be."""
    customer = session_shape.or_new_customer(tx, session, name)
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
    status = "no_payment_required" if session["amount_total"] == 0 else "paid"
    made = {"payment_status": status, "subscription": subscription["id"], "invoice": invoice["id"]}
    session_shape.finish(tx, session, customer, name, made)


def expected_renewal(tx: Tx, session: Doc) -> tuple[int, Doc]:
    """The amount of a whole period with its tax, and its interval, for the page."""
    items = session["_private"]["line_items"]
    customer = tx.get("customer", session["customer"]) if session["customer"] else None
    amounts = [plan.amount_of(tx, item) for item in items]
    tax = sum(taxes.on(tx, customer, session["_private"]["tax"], amount) for amount in amounts)
    return sum(amounts) + tax, plan.recurring_of(tx, items[0])


CREATE = (
    "adaptive_pricing.enabled allowed_payment_method_types automatic_tax.enabled cancel_url client_reference_id "
    "currency customer customer_email customer_update.address customer_update.name expires_at "
    "invoice_creation.enabled invoice_creation.invoice_data.metadata invoice_creation.invoice_data.description "
    "line_items.price line_items.quantity line_items.tax_rates line_items.price_data.currency "
    "line_items.price_data.product line_items.price_data.product_data.name "
    "line_items.price_data.product_data.description line_items.price_data.product_data.metadata "
    "line_items.price_data.unit_amount line_items.price_data.tax_behavior "
    "locale metadata mode payment_intent_data.metadata payment_intent_data.description "
    "payment_intent_data.setup_future_usage payment_method_collection "
    "setup_intent_data.metadata setup_intent_data.description success_url "
    "ui_mode subscription_data.metadata subscription_data.description subscription_data.billing_mode.type "
    "subscription_data.default_tax_rates subscription_data.trial_end subscription_data.trial_period_days "
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

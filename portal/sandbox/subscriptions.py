"""Subscriptions: opened (by the API or by Checkout), read, listed, cancelled."""

from typing import Any

from portal.sandbox import catalog, customers, events, invoices, lines, paging, plan, standing, taxes, timers
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import StripeError, invalid, unsupported
from portal.sandbox.payments import NO_METHOD, Outcome, method_for
from portal.sandbox.periods import DAY
from portal.sandbox.render import list_of
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

PAYMENT_SETTINGS = {"payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off"}


def open_subscription(tx: Tx, customer: Doc, wanted: list[Params], trial_end: int | None, more: Params) -> Doc:
    """Store a new subscription with its first period; nothing is invoiced yet."""
    if more.get("billing_mode", {}).get("type", "flexible") != "flexible":
        raise unsupported("the classic billing mode", param="billing_mode[type]")
    prices = [catalog.recurring_price(tx, item["price"], f"items[{place}][price]") for place, item in enumerate(wanted)]
    subscription = tx.insert(
        "subscription",
        {
            **_blank(),
            "billing_cycle_anchor": trial_end or tx.now,
            "currency": prices[0]["currency"] if prices else "eur",
            "customer": customer["id"],
            "default_payment_method": more.get("default_payment_method"),
            "description": more.get("description") or None,
            "metadata": metadata_of(more.get("metadata")),
            "start_date": tx.now,
            "status": "trialing" if trial_end else "active",
            "trial_end": trial_end,
            "trial_settings": more.get("trial_settings")
            or {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": tx.now if trial_end else None,
            **taxes.settings(tx, more, customer),
        },
        pending_lines=[],
        pending=None,
        told={},
    )
    items = [
        plan.new_item(tx, subscription["id"], item["price"], item.get("quantity", 1), item.get("metadata"))
        for item in wanted
    ]
    plan.check_items(tx, items)
    for item in items:
        plan.begin(tx, item, tx.now)
        if trial_end:
            plan.with_period([item], tx.now, trial_end)
            item["_private"].update(anchor=trial_end, debited=0)
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    subscription["items"] = {**list_of(items, url), "total_count": len(items)}
    return subscription


def _blank() -> Doc:
    empty = (
        "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
        "customer_account days_until_due default_source ended_at latest_invoice next_pending_invoice_item_invoice "
        "on_behalf_of pause_collection pending_invoice_item_interval pending_setup_intent pending_update schedule "
        "status_details test_clock transfer_data"
    )
    return {
        **dict.fromkeys(empty.split()),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "payment_settings": dict(PAYMENT_SETTINGS),
    }


def first_lines(tx: Tx, subscription: Doc) -> list[Doc]:
    """What the first invoice says: a free trial, or the first period."""
    make = lines.trial if subscription["status"] == "trialing" else lines.full
    items = subscription["items"]["data"]
    return [make(tx, item, item["current_period_start"], item["current_period_end"]) for item in items]


def first_invoice(tx: Tx, customer: Doc, subscription: Doc) -> Doc:
    """Draft and finalise it at once; one of zero is paid by that."""
    fields = invoices.compose(
        tx, customer, subscription, first_lines(tx, subscription), "subscription_create", (tx.now, tx.now)
    )
    customer["currency"] = subscription["currency"]
    invoice = invoices.draft(tx, subscription, fields)
    if invoice["amount_due"]:
        subscription["status"] = "incomplete"
    events.emit(tx, "customer.subscription.created", subscription)
    invoices.finalize(tx, invoice)
    return invoice


def create(tx: Tx, params: Params) -> Doc:
    """POST /v1/subscriptions with all payment behaviours that creation knows."""
    for name in ("customer", "items"):
        if name not in params:
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    for place, item in enumerate(params["items"]):
        if "price" not in item:
            param = f"items[{place}][price]"
            raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    if params.get("payment_behavior") == "pending_if_incomplete":
        raise invalid(
            "`pending_if_incomplete` can only be used when updating a subscription.", param="payment_behavior"
        )
    customer = tx.get("customer", params["customer"], param="customer", status=400)
    if "default_payment_method" in params:
        customers.owned(tx, params["default_payment_method"], customer, "default_payment_method")
    subscription = open_subscription(tx, customer, params["items"], trial_end_of(tx, params), params)
    if params.get("cancel_at_period_end"):
        cancel_at_end(tx, subscription)
    invoice = first_invoice(tx, customer, subscription)
    if invoice["status"] == "open":
        _take_first_payment(tx, customer, subscription, invoice, params.get("payment_behavior", "allow_incomplete"))
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    return subscription


def _take_first_payment(tx: Tx, customer: Doc, subscription: Doc, invoice: Doc, behaviour: str) -> None:
    if behaviour == "default_incomplete":
        return
    if method_for(tx, subscription, customer) is None:
        error = Outcome("declined", NO_METHOD).error(None, keep=False)
        raise invalid(str(error), code="resource_missing")
    outcome = standing.pay(tx, invoice)
    if outcome.kind != "paid" and behaviour == "error_if_incomplete":
        raise outcome.error(None, keep=False)


def trial_end_of(tx: Tx, params: Params) -> int | None:
    """When the trial ends, from trial_end or trial_period_days; None without a trial."""
    end: Any = params.get("trial_end")
    if end is not None and "trial_period_days" in params:
        raise invalid("You may only specify one of these parameters: trial_end, trial_period_days.", param="trial_end")
    if "trial_period_days" in params:
        if params["trial_period_days"] < 1:
            raise invalid("The minimum number of trial period days is 1.", param="trial_period_days")
        end = tx.now + params["trial_period_days"] * DAY
    if end in (None, "now"):
        return None
    plan.check_trial_end(tx, end)
    return int(end)


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The subscription."""
    return tx.get("subscription", ident)


def list_all(tx: Tx, params: Params) -> Doc:
    """Subscriptions; without a status the cancelled ones are left out, `all` shows everything."""
    status = params.get("status")
    ended = ("canceled", "incomplete_expired")

    def matches(doc: Doc) -> bool:
        if "price" in params and params["price"] not in [item["price"] for item in doc["items"]["data"]]:
            return False
        if status is None:
            return bool(doc["status"] != "canceled")
        return bool(status in ("all", doc["status"]) or (status == "ended" and doc["status"] in ended))

    return paging.page(
        tx, "subscription", params, "/v1/subscriptions", customer=params.get("customer"), matches=matches
    )


def cancel_at_end(tx: Tx, subscription: Doc) -> None:
    """The subscription will end with its current period: that of the item which ends first."""
    subscription["_private"]["cancel_prorated"] = False
    subscription.update(cancel_at_period_end=True, cancel_at=timers.period(subscription)[1], canceled_at=tx.now)
    subscription["cancellation_details"]["reason"] = "cancellation_requested"


def set_cancellation_details(subscription: Doc, given: Params) -> None:
    """Why the customer leaves; an empty text unsets."""
    for name, value in given.items():
        subscription["cancellation_details"][name] = value or None


def cancel(tx: Tx, params: Params, ident: str) -> Doc:
    """End it now; with invoice_now and prorate the unused time becomes the customer's balance."""
    subscription = tx.get("subscription", ident)
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise StripeError(
            404, "invalid_request_error", f"No such subscription: '{ident}'", code="resource_missing", param="id"
        )
    if params.get("prorate") and not params.get("invoice_now"):
        raise unsupported("prorate without invoice_now", param="prorate")
    set_cancellation_details(subscription, params.get("cancellation_details", {}))
    if params.get("invoice_now"):
        final_invoice(tx, subscription, bool(params.get("prorate")))
    standing.end(tx, subscription, "cancellation_requested")
    return subscription


def final_invoice(tx: Tx, subscription: Doc, prorate: bool) -> None:
    """Invoice what still waits, and with `prorate` the credit for unused time; nothing to say, no invoice."""
    found = list(subscription["_private"]["pending_lines"])
    if prorate and subscription["status"] != "trialing":
        found += plan.credits(tx, subscription, tx.now)
    if not found:
        return
    subscription["_private"]["pending_lines"] = []
    customer = tx.get("customer", subscription["customer"])
    fields = invoices.compose(tx, customer, subscription, found, "subscription_update", (tx.now, tx.now))
    invoice = invoices.draft(tx, subscription, fields)
    invoices.finalize(tx, invoice)
    if invoice["status"] == "open":
        standing.pay(tx, invoice)


CREATE = (
    "cancel_at_period_end customer default_payment_method "
    "description items.price items.quantity items.metadata "
    "metadata off_session payment_behavior trial_end trial_period_days "
    "trial_settings.end_behavior.missing_payment_method billing_mode.type automatic_tax.enabled default_tax_rates"
)
CANCEL = "cancellation_details.comment cancellation_details.feedback invoice_now prorate"
CALLS = [
    Call("POST", "/v1/subscriptions", "SubscriptionCreateParams", create, CREATE),
    Call("GET", "/v1/subscriptions", "SubscriptionListParams", list_all, f"{LIST} created customer price status"),
    Call("GET", "/v1/subscriptions/{}", "SubscriptionRetrieveParams", retrieve),
    Call("DELETE", "/v1/subscriptions/{}", "SubscriptionCancelParams", cancel, CANCEL),
]

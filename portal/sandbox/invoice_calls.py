"""The API's calls on invoices, and the records of how they were paid."""

import copy
from typing import Any

from portal.sandbox import (
    catalog,
    customers,
    invoices,
    paging,
    phases,
    plan,
    standing,
    subscription_update,
    subscriptions,
    taxes,
    timers,
)
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, unsupported
from portal.sandbox.ids import random_text
from portal.sandbox.tx import Doc, Params, Tx


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The invoice."""
    return tx.get("invoice", ident)


def list_all(tx: Tx, params: Params) -> Doc:
    """Invoices by customer, subscription and status."""

    def matches(doc: Doc) -> bool:
        return params.get("status") in (None, doc["status"])

    owner = {"customer": params.get("customer"), "parent": params.get("subscription")}
    return paging.page(tx, "invoice", params, "/v1/invoices", matches=matches, **owner)


def list_lines(tx: Tx, params: Params, ident: str) -> Doc:
    """The lines of an invoice."""
    invoice = tx.get("invoice", ident)
    return paging.of_list(tx, invoice["lines"]["data"], params, f"/v1/invoices/{ident}/lines")


def pay(tx: Tx, params: Params, ident: str) -> Doc:
    """Collect an open invoice now; a refusal is a 402 that leaves its traces."""
    invoice = tx.get("invoice", ident)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "draft":
        invoices.finalize(tx, invoice)
    if invoice["status"] not in ("open", "uncollectible", "paid"):
        raise invalid(f"Invoice is {invoice['status']} and cannot be paid.", code="invoice_not_open")
    customer = tx.get("customer", invoice["customer"])
    method = None
    if "payment_method" in params:
        method = customers.owned(tx, params["payment_method"], customer, "payment_method")
    outcome = standing.pay(tx, invoice, method, present=params.get("off_session") is False)
    if outcome.kind != "paid":
        found = invoices.payment_of(tx, invoice)
        raise outcome.error(found[1] if found else None, keep=True)
    return invoice


def finalize(tx: Tx, params: Params, ident: str) -> Doc:
    """Finalise a draft before its hour; auto_advance collects it too."""
    invoice = tx.get("invoice", ident)
    invoices.finalize(tx, invoice)
    if invoice["status"] == "paid":
        standing.paid(tx, invoice, standing.subscription_of(tx, invoice))
    elif params.get("auto_advance", invoice["auto_advance"]):
        standing.pay(tx, invoice)
    return invoice


def void(tx: Tx, params: Params, ident: str) -> Doc:
    """Void an open invoice; what waited for its payment is forgotten."""
    invoice = tx.get("invoice", ident)
    invoices.void(tx, invoice)
    standing.voided(tx, invoice)
    return invoice


def mark_uncollectible(tx: Tx, params: Params, ident: str) -> Doc:
    """Give an open invoice up."""
    invoice = tx.get("invoice", ident)
    invoices.give_up(tx, invoice)
    standing.voided(tx, invoice)
    return invoice


def preview(tx: Tx, params: Params) -> Doc:
    """What a change would be invoiced, by the same functions as the change itself; nothing is kept."""
    details = params.get("subscription_details", {})
    if "subscription" in params:
        subscription = copy.deepcopy(tx.get("subscription", params["subscription"], param="subscription", status=400))
        if params.get("customer", subscription["customer"]) != subscription["customer"]:
            raise invalid("The subscription does not belong to this customer.", param="customer")
        subscription.update(_taxed(tx, params, details, tx.get("customer", subscription["customer"])))
        fields = _of_existing(tx, subscription, details)
    else:
        fields = _of_new(tx, params, details)
    ident = f"upcoming_in_{random_text(24)}"
    shown = {"id": ident, "object": "invoice", "created": tx.now, "livemode": False, **fields}
    shown["lines"]["url"] = f"/v1/invoices/upcoming/lines?preview={ident}"
    return shown


def _taxed(tx: Tx, params: Params, details: Params, customer: Doc) -> Doc:
    named = {name: params[name] for name in ("automatic_tax",) if name in params}
    named |= {name: details[name] for name in ("default_tax_rates",) if name in details}
    return taxes.settings(tx, named, customer)


def _of_existing(tx: Tx, subscription: Doc, details: Params) -> Doc:
    customer = tx.get("customer", subscription["customer"])
    if subscription["status"] not in timers.LIVE:
        raise _no_upcoming(customer)
    at = None
    if any(name in details for name in subscription_update.CHANGES):
        planned = plan.change(tx, subscription, _normal(details))
        if planned.invoice_now:
            now = (tx.now, tx.now)
            return invoices.compose(tx, customer, subscription, planned.lines, "upcoming", now, planned.proration_date)
        plan.apply(subscription, planned)
        at = planned.proration_date
    elif "proration_date" in details:
        raise invalid(
            "You can only pass proration_date with a change to the items.", param="subscription_details[proration_date]"
        )
    return _of_renewal(tx, customer, subscription, details, at)


def _normal(details: Params) -> Params:
    """The preview takes the anchor in one more shape than the update, of which not all are obeyed."""
    anchor = details.get("billing_cycle_anchor")
    if isinstance(anchor, dict) and anchor.get("type") not in ("now", "unchanged"):
        raise unsupported(
            f"billing_cycle_anchor of type {anchor.get('type')}", param="subscription_details[billing_cycle_anchor]"
        )
    return details


def _of_renewal(tx: Tx, customer: Doc, subscription: Doc, details: Params, at: int | None) -> Doc:
    end = timers.period(subscription)[1]
    ends = details.get("cancel_at_period_end", bool(subscription["cancel_at"] and subscription["cancel_at"] <= end))
    found: list[Doc] = subscription["_private"]["pending_lines"] if ends else plan.renewal(tx, subscription).lines
    if not found:
        raise _no_upcoming(customer)
    phase = phases.starting_at(tx, subscription, end)
    period = timers.period(subscription)
    return invoices.compose(tx, customer, subscription, found, "upcoming", period, at, taxed_as=phase)


def _no_upcoming(customer: Doc) -> Exception:
    return invalid(f"No upcoming invoices for customer: {customer['id']}", code="invoice_upcoming_none", status=404)


def _of_new(tx: Tx, params: Params, details: Params) -> Doc:
    if "customer" not in params or not details.get("items"):
        raise invalid(
            "You must pass a subscription, or a customer with subscription_details[items].", param="subscription"
        )
    customer = tx.get("customer", params["customer"], param="customer", status=400)
    for place, item in enumerate(details["items"]):
        catalog.recurring_price(tx, item.get("price", ""), f"subscription_details[items][{place}][price]")
    tx.conn.execute("SAVEPOINT preview")
    more = {**details, **{name: params[name] for name in ("automatic_tax",) if name in params}}
    wanted: Params = {name: more[name] for name in ("automatic_tax", "default_tax_rates") if name in more}
    trial_end = subscriptions.trial_end_of(tx, details)
    draft = subscriptions.open_subscription(tx, customer, details["items"], trial_end, wanted)
    found = subscriptions.first_lines(tx, draft)
    fields = invoices.compose(tx, customer, draft, found, "upcoming", (tx.now, tx.now))
    tx.delete(draft)
    tx.conn.execute("ROLLBACK TO preview")
    return fields


def list_payments(tx: Tx, params: Params) -> Doc:
    """Invoice payments by invoice or by payment intent."""
    intent = params.get("payment", {}).get("payment_intent")

    def matches(doc: Doc) -> bool:
        right = intent is None or doc["payment"]["payment_intent"] == intent
        return right and params.get("status") in (None, doc["status"])

    return paging.page(
        tx, "invoice_payment", params, "/v1/invoice_payments", parent=params.get("invoice"), matches=matches
    )


def retrieve_intent(tx: Tx, params: Params, ident: str) -> Any:
    """The payment intent."""
    return tx.get("payment_intent", ident)


def retrieve_charge(tx: Tx, params: Params, ident: str) -> Any:
    """The charge."""
    return tx.get("charge", ident)


def list_charges(tx: Tx, params: Params) -> Doc:
    """Charges, by customer or by payment intent."""
    customer, intent = params.get("customer"), params.get("payment_intent")
    return paging.page(tx, "charge", params, "/v1/charges", customer=customer, parent=intent)


DETAILS = (
    "items.id items.price items.quantity items.deleted "
    "items.metadata proration_behavior proration_date cancel_at_period_end "
    "trial_end billing_cycle_anchor.type default_tax_rates"
)
PREVIEW = "customer subscription automatic_tax.enabled " + " ".join(
    f"subscription_details.{name}" for name in DETAILS.split()
)
CALLS = [
    Call("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams", preview, PREVIEW),
    Call("GET", "/v1/invoices", "InvoiceListParams", list_all, f"{LIST} created customer status subscription"),
    Call("GET", "/v1/invoices/{}", "InvoiceRetrieveParams", retrieve),
    Call("GET", "/v1/invoices/{}/lines", "InvoiceLineItemListParams", list_lines, LIST),
    Call("POST", "/v1/invoices/{}/pay", "InvoicePayParams", pay, "payment_method off_session"),
    Call("POST", "/v1/invoices/{}/finalize", "InvoiceFinalizeInvoiceParams", finalize, "auto_advance"),
    Call("POST", "/v1/invoices/{}/void", "InvoiceVoidInvoiceParams", void),
    Call("POST", "/v1/invoices/{}/mark_uncollectible", "InvoiceMarkUncollectibleParams", mark_uncollectible),
    Call(
        "GET",
        "/v1/invoice_payments",
        "InvoicePaymentListParams",
        list_payments,
        f"{LIST} created invoice payment.type payment.payment_intent status",
    ),
    Call("GET", "/v1/payment_intents/{}", "PaymentIntentRetrieveParams", retrieve_intent),
    Call("GET", "/v1/charges", "ChargeListParams", list_charges, f"{LIST} created customer payment_intent"),
    Call("GET", "/v1/charges/{}", "ChargeRetrieveParams", retrieve_charge),
]

"""Invoices: composed from lines, drafted, finalised, paid or voided; the customer's balance is netted here alone."""

from portal.sandbox import events, taxes
from portal.sandbox.errors import invalid
from portal.sandbox.ids import random_text
from portal.sandbox.render import list_of
from portal.sandbox.tx import Doc, Tx

HOUR = 3_600


def net(total: int, balance: int) -> tuple[int, int]:
    """What is due and the balance that is left; a negative balance is the customer's credit (minor units)."""
    rest = total + balance
    return max(rest, 0), min(rest, 0)


def compose(
    tx: Tx,
    customer: Doc,
    subscription: Doc,
    lines: list[Doc],
    reason: str,
    period: tuple[int, int],
    prorated_at: int | None = None,
    *,
    taxed_as: Doc | None = None,
) -> Doc:
    """All fields of a draft invoice; a preview is exactly this, never stored. `taxed_as` is a schedule's coming phase
    that says otherwise than the subscription which taxes are added.
    """
    source = taxed_as or subscription
    on_top = taxes.put_on(tx, customer, source, lines)
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal + sum(tax["amount"] for tax in on_top)
    due, _ = net(total, customer["balance"])
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    if prorated_at is not None:
        details["subscription_proration_date"] = prorated_at
    return {
        **blank(tx, customer),
        "amount_due": due,
        "amount_remaining": due,
        "automatic_tax": shown_automatic(source),
        "billing_reason": reason,
        "currency": subscription["currency"],
        "default_payment_method": None,
        "default_tax_rates": list(source["default_tax_rates"]),
        "lines": list_of(lines, ""),
        "parent": {"type": "subscription_details", "quote_details": None, "subscription_details": details},
        "period_start": period[0],
        "period_end": period[1],
        "starting_balance": customer["balance"],
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_excluding_tax": subtotal,
        "total_taxes": on_top,
    }


def shown_automatic(source: Doc) -> Doc:
    """`automatic_tax` of an invoice."""
    enabled = bool(source["automatic_tax"]["enabled"])
    provider, status = ("stripe", "complete") if enabled else (None, None)
    return {**taxes.automatic(enabled), "provider": provider, "status": status}


def blank(tx: Tx, customer: Doc) -> Doc:
    """The fields of an invoice that nothing was said about yet."""
    zero = "amount_overpaid amount_paid amount_paid_off_stripe amount_shipping attempt_count"
    zero += " post_payment_credit_notes_amount pre_payment_credit_notes_amount"
    empty = (
        "account_tax_ids application automatically_finalizes_at custom_fields customer_account customer_shipping "
        "default_source description due_date effective_at ending_balance footer from_invoice hosted_invoice_url "
        "invoice_pdf last_finalization_error latest_revision next_payment_attempt number on_behalf_of receipt_number "
        "rendering shipping_cost shipping_details statement_descriptor test_clock webhooks_delivered_at"
    )
    return {
        **dict.fromkeys(zero.split(), 0),
        **dict.fromkeys(empty.split()),
        "account_country": "DE",
        "account_name": tx.config.account_name,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "collection_method": "charge_automatically",
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "status": "draft",
        "status_details": {"uncollectible": None},
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def draft(tx: Tx, subscription: Doc, fields: Doc, *, finalizes_at: int | None = None) -> Doc:
    """Store a composed invoice as a draft; with `finalizes_at` it is finalised by itself at that time."""
    invoice = tx.insert("invoice", {**fields, "automatically_finalizes_at": finalizes_at}, first_failed_at=None)
    invoice["lines"]["url"] = f"/v1/invoices/{invoice['id']}/lines"
    invoice["lines"]["total_count"] = len(invoice["lines"]["data"])
    for line in invoice["lines"]["data"]:
        line["invoice"] = invoice["id"]
    subscription["latest_invoice"] = invoice["id"]
    if finalizes_at is not None:
        tx.schedule(finalizes_at, "finalize", invoice["id"])
    events.emit(tx, "invoice.created", invoice)
    return invoice


def finalize(tx: Tx, invoice: Doc) -> None:
    """Give it its number, net the customer's balance as it is now, open it; nothing left to pay means paid."""
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.", code="invoice_not_editable"
        )
    customer = tx.get("customer", invoice["customer"])
    due, left = net(invoice["total"], customer["balance"])
    _number(tx, invoice, customer)
    invoice.update(
        starting_balance=customer["balance"],
        ending_balance=left,
        amount_due=due,
        amount_remaining=due,
        status="open",
    )
    customer.update(balance=left, currency=invoice["currency"])
    tx.unschedule("finalize", invoice["id"])
    events.emit(tx, "customer.updated", customer)
    events.emit(tx, "invoice.finalized", invoice)
    if due:
        _ask_for_payment(tx, invoice, customer)
    else:
        mark_paid(tx, invoice)


def open_paid(tx: Tx, invoice: Doc, customer: Doc, intent: Doc) -> None:
    """Number an invoice whose money is there already, and close it; the customer's balance is left alone."""
    _number(tx, invoice, customer)
    invoice.update(starting_balance=0, ending_balance=0, status="open")
    customer["currency"] = invoice["currency"]
    events.emit(tx, "invoice.finalized", invoice)
    payment = _payment(tx, invoice, intent)
    payment.update(status="paid", amount_paid=intent["amount"])
    payment["status_transitions"]["paid_at"] = tx.now
    mark_paid(tx, invoice)
    events.emit(tx, "invoice_payment.paid", payment)


def _number(tx: Tx, invoice: Doc, customer: Doc) -> None:
    base = f"{tx.config.public_url}/i/{invoice['id']}"
    invoice.update(
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        effective_at=tx.now,
        automatically_finalizes_at=None,
        hosted_invoice_url=base,
        invoice_pdf=f"{base}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = tx.now
    customer["next_invoice_sequence"] += 1


def _ask_for_payment(tx: Tx, invoice: Doc, customer: Doc) -> None:
    intent = new_intent(tx, invoice, customer)
    _payment(tx, invoice, intent)
    events.emit(tx, "payment_intent.created", intent)


def _payment(tx: Tx, invoice: Doc, intent: Doc) -> Doc:
    return tx.insert(
        "invoice_payment",
        {
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        },
    )


def new_intent(tx: Tx, invoice: Doc, customer: Doc) -> Doc:
    """The payment intent that collects this invoice, over all attempts."""
    empty = (
        "application application_fee_amount automatic_payment_methods canceled_at cancellation_reason customer_account "
        "last_payment_error latest_charge next_action on_behalf_of payment_method "
        "payment_method_configuration_details processing receipt_email review setup_future_usage shipping "
        "statement_descriptor statement_descriptor_suffix transfer_data transfer_group excluded_payment_method_types "
        "allowed_payment_method_types"
    )
    intent = tx.insert(
        "payment_intent",
        {
            **dict.fromkeys(empty.split()),
            "amount": invoice["amount_due"],
            "amount_capturable": 0,
            "amount_received": 0,
            "capture_method": "automatic",
            "confirmation_method": "automatic",
            "currency": invoice["currency"],
            "customer": customer["id"],
            "description": "Subscription update"
            if invoice["billing_reason"] != "subscription_create"
            else "Subscription creation",
            "metadata": {},
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
        },
        invoice=invoice["id"],
    )
    intent["client_secret"] = f"{intent['id']}_secret_{random_text(25)}"
    return intent


def payment_of(tx: Tx, invoice: Doc) -> tuple[Doc, Doc] | None:
    """The invoice payment and its payment intent; None when nothing had to be paid."""
    for payment in tx.scan("invoice_payment", parent=invoice["id"]):
        return payment, tx.get("payment_intent", payment["payment"]["payment_intent"])
    return None


def mark_paid(tx: Tx, invoice: Doc) -> None:
    """Close it as paid in full."""
    invoice.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        next_payment_attempt=None,
        auto_advance=False,
    )
    invoice["status_transitions"]["paid_at"] = tx.now
    tx.unschedule("retry", invoice["id"])
    events.emit(tx, "invoice.updated", invoice)
    events.emit(tx, "invoice.paid", invoice)
    events.emit(tx, "invoice.payment_succeeded", invoice)


def give_up(tx: Tx, invoice: Doc) -> None:
    """Mark it uncollectible: nobody is charged for it any more, but it may still be paid."""
    if invoice["status"] != "open":
        raise invalid(f"You can only mark open invoices as uncollectible. This invoice is {invoice['status']}.")
    invoice.update(status="uncollectible", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["marked_uncollectible_at"] = tx.now
    tx.unschedule("retry", invoice["id"])
    events.emit(tx, "invoice.updated", invoice)
    events.emit(tx, "invoice.marked_uncollectible", invoice)


def void(tx: Tx, invoice: Doc) -> None:
    """It never happened: the balance it had used comes back, its payment intent is cancelled."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(
            f"You can only pass in open or uncollectible invoices. This invoice isn't open: {invoice['status']}."
        )
    customer = tx.get("customer", invoice["customer"])
    customer["balance"] += invoice["starting_balance"] - invoice["ending_balance"]
    events.emit(tx, "customer.updated", customer)
    found = payment_of(tx, invoice)
    if found:
        payment, intent = found
        intent.update(status="canceled", canceled_at=tx.now, cancellation_reason="void_invoice")
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = tx.now
        events.emit(tx, "payment_intent.canceled", intent)
    invoice.update(status="void", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["voided_at"] = tx.now
    tx.unschedule("retry", invoice["id"])
    events.emit(tx, "invoice.voided", invoice)

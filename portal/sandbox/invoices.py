"""Invoices: composed from lines, drafted, finalised, paid or voided; the customer's balance is netted here alone."""

from portal.sandbox import events
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
) -> Doc:
    """All fields of a draft invoice; a preview is exactly this, never stored."""
    total = sum(line["amount"] for line in lines)
    due, _ = net(total, customer["balance"])
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    if prorated_at is not None:
        details["subscription_proration_date"] = prorated_at
    return {
        **_blank(tx, customer),
        "amount_due": due,
        "amount_remaining": due,
        "billing_reason": reason,
        "currency": subscription["currency"],
        "default_payment_method": None,
        "lines": list_of(lines, ""),
        "parent": {"type": "subscription_details", "quote_details": None, "subscription_details": details},
        "period_start": period[0],
        "period_end": period[1],
        "starting_balance": customer["balance"],
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }


def _blank(tx: Tx, customer: Doc) -> Doc:
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
    base = f"{tx.config.public_url}/i/{invoice['id']}"
    invoice.update(
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        starting_balance=customer["balance"],
        ending_balance=left,
        amount_due=due,
        amount_remaining=due,
        status="open",
        effective_at=tx.now,
        automatically_finalizes_at=None,
        hosted_invoice_url=base,
        invoice_pdf=f"{base}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = tx.now
    customer.update(
        balance=left, next_invoice_sequence=customer["next_invoice_sequence"] + 1, currency=invoice["currency"]
    )
    tx.unschedule("finalize", invoice["id"])
    events.emit(tx, "customer.updated", customer)
    events.emit(tx, "invoice.finalized", invoice)
    if due:
        _ask_for_payment(tx, invoice, customer)
    else:
        mark_paid(tx, invoice)


def _ask_for_payment(tx: Tx, invoice: Doc, customer: Doc) -> None:
    intent = new_intent(tx, invoice, customer)
    tx.insert(
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
    events.emit(tx, "payment_intent.created", intent)


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

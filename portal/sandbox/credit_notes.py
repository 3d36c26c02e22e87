"""Credit notes of paid invoices: written and voided by buttons of the sandbox's page, listed for the portal.

The money is settled outside Stripe (``out_of_band_amount``), as the dashboard offers; no refund hangs on one.
"""

from portal.sandbox import events, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid
from portal.sandbox.render import list_of
from portal.sandbox.tx import Doc, Params, Tx


def write(tx: Tx, invoice: Doc) -> Doc:
    """Credit half of what is left of a paid invoice, rounded up; refuses one of which nothing is left."""
    left = invoice["total"] - invoice["post_payment_credit_notes_amount"]
    if invoice["status"] != "paid" or left <= 0:
        raise invalid("Only a paid invoice of which something is left can be credited here.", param="invoice")
    amount = -(-left // 2)
    tax = sum(each["amount"] for each in invoice["total_taxes"])
    note = tx.insert("credit_note", _fields(tx, invoice, amount, amount * tax // (invoice["total"] or 1)))
    invoice["post_payment_credit_notes_amount"] += amount
    events.emit(tx, "credit_note.created", note)
    events.emit(tx, "invoice.updated", invoice)
    return note


def _fields(tx: Tx, invoice: Doc, amount: int, tax: int) -> Doc:
    nothing = ("customer_account", "customer_balance_transaction", "effective_at", "memo", "shipping_cost", "voided_at")
    empty = ("discount_amounts", "pretax_credit_amounts", "refunds")
    number = sum(1 for _ in tx.scan("credit_note", parent=invoice["id"])) + 1
    taxes = [{**each, "amount": tax, "taxable_amount": amount - tax} for each in invoice["total_taxes"][:1]]
    return {
        **dict.fromkeys(nothing),
        **{name: [] for name in empty},
        "amount": amount,
        "amount_shipping": 0,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "discount_amount": 0,
        "invoice": invoice["id"],
        "lines": list_of([], f"/v1/credit_notes/{invoice['id']}/lines"),
        "metadata": {},
        "number": f"{invoice['number']}-CN-{number:02d}",
        "out_of_band_amount": amount,
        "pdf": f"{tx.config.public_url}/invoice/{invoice['id']}/pdf",
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "reason": "order_change",
        "status": "issued",
        "subtotal": amount - tax,
        "subtotal_excluding_tax": amount - tax,
        "total": amount,
        "total_excluding_tax": amount - tax,
        "total_taxes": taxes,
        "type": "post_payment",
    }


def void(tx: Tx, note: Doc) -> None:
    """Take a credit note back; the invoice asks for all of it again."""
    if note["status"] != "issued":
        raise invalid(f"Credit note {note['id']} is void already.")
    note.update(status="void", voided_at=tx.now)
    invoice = tx.get("invoice", note["invoice"])
    invoice["post_payment_credit_notes_amount"] -= note["amount"]
    events.emit(tx, "credit_note.voided", note)
    events.emit(tx, "invoice.updated", invoice)


def list_all(tx: Tx, params: Params) -> Doc:
    """Credit notes, by invoice."""
    return paging.page(tx, "credit_note", params, "/v1/credit_notes", parent=params.get("invoice"))


CALLS = [Call("GET", "/v1/credit_notes", "CreditNoteListParams", list_all, f"{LIST} invoice")]

"""Credit notes of Stripe's invoices, written in its dashboard: mirrored, so that both sides' lists agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portal.billing import papers, service
from portal.billing.models import CreditNote
from portal.kit.actor import STRIPE
from portal.kit.db import db

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """A credit note as Stripe has it now; amounts in minor units."""

    id: str
    number: str
    reason: str
    currency: str
    tax_minor: int
    total_minor: int
    is_void: bool
    issued_at: datetime


def read(document: Document) -> Note:
    """Read Stripe's credit note."""
    return Note(
        id=document["id"],
        number=document["number"],
        reason=document.get("memo") or (document.get("reason") or "").replace("_", " "),
        currency=document["currency"].upper(),
        tax_minor=sum(tax["amount"] for tax in document.get("total_taxes") or []),
        total_minor=document["total"],
        is_void=document["status"] == "void",
        issued_at=datetime.fromtimestamp(document.get("effective_at") or document["created"], UTC),
    )


def mirror(stripe_invoice_id: str, found: Sequence[Note]) -> int | None:
    """Make our rows what Stripe says; again changes nothing. What Stripe has voided is taken away, as it is there."""
    invoice = service.locked(stripe_invoice_id)
    if invoice is None:
        return None
    lasting = {note.id: note for note in found if not note.is_void and note.total_minor > 0}
    kept = {note.cause: note for note in papers.notes_of(invoice)}
    for cause, row in kept.items():
        if cause not in lasting:
            db.session.delete(row)
    for note in lasting.values():
        if note.id not in kept:
            db.session.add(_row(invoice.vendor_id, invoice.id, note))
    invoice.credited_minor = sum(note.total_minor for note in lasting.values())
    db.session.flush()
    return invoice.vendor_id


def _row(vendor_id: int, invoice_id: int, note: Note) -> CreditNote:
    return CreditNote(
        vendor_id=vendor_id, invoice_id=invoice_id, provider="stripe", number=note.number, cause=note.id,
        reason=note.reason, currency=note.currency, subtotal_minor=note.total_minor - note.tax_minor,
        tax_minor=note.tax_minor, total_minor=note.total_minor, lines=[], taxes=[], actor_label=STRIPE.label,
        issued_at=note.issued_at,
    )  # fmt: skip

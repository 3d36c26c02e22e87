"""What money that goes back means for the papers of an invoice of ours: a credit note, once (BIL-4).

An invoice of Stripe's is corrected there.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.billing import papers
from portal.billing.models import BalanceEntry, CreditNote, Invoice, Payment, Refund
from portal.billing.refund_rules import Books
from portal.billing.rules import InvoiceStatus
from portal.kit.actor import Actor
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class Held:
    """The books of an invoice of ours, and what of each payment (by reference) was too much and went to the balance."""

    is_open: bool
    is_paid: bool
    books: Books
    surplus: dict[str, int]

    def left_of(self, payment: Payment, back: int) -> int:
        """What may still be sent back of a payment."""
        if not self.is_paid:
            return 0
        return self.books.left_of(payment.amount_minor, self.surplus.get(payment.reference, 0), back)


def held(invoice: Invoice) -> Held:
    """Read the books of an invoice of ours; two statements."""
    entries = select(BalanceEntry.cause, BalanceEntry.amount_minor).where(
        BalanceEntry.vendor_id == invoice.vendor_id, BalanceEntry.invoice_id == invoice.id
    )
    kept = {row.cause: row.amount_minor for row in db.session.execute(entries)}
    notes = papers.notes_of(invoice)
    to_balance = sum(note.total_minor for note in notes if {note.cause, balance_cause(note)} & kept.keys())
    everything = sum(note.total_minor for note in notes)
    books = Books(invoice.total_minor, invoice.refunded_minor, to_balance, everything - to_balance)
    surplus = {cause.removeprefix("surplus:"): sum_ for cause, sum_ in kept.items() if cause.startswith("surplus:")}
    status = InvoiceStatus(invoice.status)
    return Held(status == InvoiceStatus.OPEN, status == InvoiceStatus.PAID, books, surplus)


def balance_cause(note: CreditNote) -> str:
    """What the vendor's balance is told when a credit note's money goes there."""
    return f"credit:{note.id}"


def write(refund: Refund, *, actor: Actor, now: datetime) -> CreditNote | None:
    """The credit note of money that was sent back by hand; None where one was written before, or Stripe's does it.

    The caller holds the invoice's lock; the refund does not count in its sum yet.
    """
    invoice = papers.locked(refund.invoice_id, refund.vendor_id) if refund.invoice_id else None
    if invoice is None or invoice.provider != "transfer":
        return None
    gross = min(held(invoice).books.uncorrected(refund.amount_minor), invoice.total_minor - invoice.credited_minor)
    if gross <= 0:
        return None
    return papers.credit_gross(
        invoice, gross, reason=refund.reason, cause=f"refund:{refund.id}", actor=actor, now=now
    )  # fmt: skip

"""A paper of ours as values, read from what was kept when it was written: the same again whenever it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from portal.billing.models import BankTransfer, CreditNote, Invoice, InvoiceTax, Payment
from portal.billing.rules import InvoiceStatus
from portal.kit.db import db
from portal.kit.money import Money


class Kind(StrEnum):
    """What a paper is: a proforma becomes an invoice when it is paid."""

    PROFORMA = "proforma"
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


@dataclass(frozen=True, slots=True)
class Line:
    """A line; ``rest`` stands for all that other credit notes left. Periods are half-open."""

    description: str
    quantity: int
    amount_minor: int
    tax_position: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    rest: bool = False


@dataclass(frozen=True, slots=True)
class TaxLine:
    """A tax and what it falls on."""

    label: str
    country: str | None
    category: str
    rate_bp: int
    base_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Received:
    """Money that came in for it."""

    amount_minor: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Paper:
    """Amounts in minor units of ``currency``; those of a credit note are positive.

    ``reference`` is what a bank transfer for it must carry; ``corrects`` the number and day of the invoice that a
    credit note takes back. Days are UTC, as the year in its number is.
    """

    kind: Kind
    number: str
    issued_on: date
    currency: str
    seller: dict[str, Any]
    buyer: dict[str, Any]
    lines: Sequence[Line]
    taxes: Sequence[TaxLine]
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    balance_used_minor: int = 0
    due_minor: int = 0
    due_on: date | None = None
    paid_on: date | None = None
    received: Sequence[Received] = field(default=())
    reference: str | None = None
    corrects: tuple[str, date] | None = None
    reason: str = ""
    void: bool = False

    def money(self, minor: int) -> Money:
        """An amount of this paper."""
        return Money(minor, self.currency)

    @property
    def file_name(self) -> str:
        """What a download is called."""
        return f"{self.number}.pdf"


def of_invoice(vendor_id: int, invoice_id: int) -> Paper | None:
    """The paper of an invoice of ours; None for what is not there, another vendor's, or Stripe's."""
    invoice = db.session.scalar(
        select(Invoice).where(
            Invoice.id == invoice_id, Invoice.vendor_id == vendor_id, Invoice.provider == "transfer"
        )
    )  # fmt: skip
    return _of(invoice) if invoice else None


def of_credit_note(vendor_id: int, note_id: int) -> Paper | None:
    """The paper of a credit note of ours; None for what is not there, or another vendor's."""
    row = db.session.execute(
        select(CreditNote, Invoice)
        .join(Invoice, Invoice.id == CreditNote.invoice_id)
        .where(CreditNote.id == note_id, CreditNote.vendor_id == vendor_id, Invoice.vendor_id == vendor_id)
    ).one_or_none()
    return _credit(row.CreditNote, row.Invoice) if row else None


def _of(invoice: Invoice) -> Paper:
    final = invoice.number is not None
    return Paper(
        kind=Kind.INVOICE if final else Kind.PROFORMA,
        number=invoice.number or f"{invoice.proforma_number}",
        issued_on=invoice.issued_at.date(),
        currency=invoice.currency,
        seller=invoice.seller or {},
        buyer=invoice.buyer or {},
        lines=[
            Line(n.description, n.quantity, n.amount_minor, n.tax_position, n.period_start, n.period_end)
            for n in invoice.lines
        ],
        taxes=_taxes(invoice),
        subtotal_minor=invoice.subtotal_minor,
        tax_minor=invoice.tax_minor,
        total_minor=invoice.total_minor,
        balance_used_minor=-invoice.balance_applied_minor,
        due_minor=invoice.due_minor - invoice.paid_minor,
        due_on=invoice.due_at.date() if invoice.due_at else None,
        paid_on=invoice.paid_at.date() if invoice.paid_at else None,
        received=_received(invoice),
        reference=_reference(invoice),
        void=invoice.status == InvoiceStatus.VOID,
    )


def _taxes(invoice: Invoice) -> list[TaxLine]:
    wanted = select(InvoiceTax).where(
        InvoiceTax.vendor_id == invoice.vendor_id, InvoiceTax.invoice_id == invoice.id
    )  # fmt: skip
    return [
        TaxLine(row.label, row.country, row.category, row.rate_bp, row.base_minor, row.amount_minor)
        for row in db.session.scalars(wanted.order_by(InvoiceTax.position))
    ]


def _received(invoice: Invoice) -> list[Received]:
    """What of the money that came in this invoice took; a surplus went to the balance."""
    wanted = select(Payment.amount_minor, Payment.at).where(
        Payment.vendor_id == invoice.vendor_id, Payment.invoice_id == invoice.id, Payment.status == "succeeded"
    )
    left, out = invoice.paid_minor, []
    for row in db.session.execute(wanted.order_by(Payment.id)):
        taken = min(left, row.amount_minor)
        left -= taken
        if taken:
            out.append(Received(taken, row.at))
    return out


def _reference(invoice: Invoice) -> str | None:
    return db.session.scalar(
        select(BankTransfer.reference).where(
            BankTransfer.vendor_id == invoice.vendor_id, BankTransfer.invoice_id == invoice.id
        )
    )


def _credit(note: CreditNote, invoice: Invoice) -> Paper:
    return Paper(
        kind=Kind.CREDIT_NOTE,
        number=note.number,
        issued_on=note.issued_at.date(),
        currency=note.currency,
        seller=invoice.seller or {},
        buyer=invoice.buyer or {},
        lines=[_line(kept) for kept in note.lines],
        taxes=[TaxLine(**kept) for kept in note.taxes],
        subtotal_minor=note.subtotal_minor,
        tax_minor=note.tax_minor,
        total_minor=note.total_minor,
        corrects=(f"{invoice.number}", invoice.issued_at.date()),
        reason=note.reason,
    )


def _line(kept: dict[str, Any]) -> Line:
    start, end = kept.get("period_start"), kept.get("period_end")
    return Line(
        kept["description"],
        kept["quantity"],
        kept["amount_minor"],
        kept["tax_position"],
        datetime.fromisoformat(start) if start else None,
        datetime.fromisoformat(end) if end else None,
        bool(kept.get("rest")),
    )

"""Invoices for pages, both ways to pay in one list: a vendor's, and one in full (BIL-4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from portal.billing.models import BankTransfer, CreditNote, Dispute, Invoice, InvoiceTax, Payment, Refund
from portal.billing.paper import TaxLine
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import TransferState
from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.money import Money
from portal.kit.paging import Page, SortKey

PAGE_SIZE = 20


class Shown(StrEnum):
    """What has become of an invoice, as a list says it in one word."""

    OPEN = "open"
    OVERDUE = "overdue"
    PAID = "paid"
    CREDIT = "credit"
    CREDITED = "credited"
    PARTLY_CREDITED = "partly_credited"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


def shown(
    status: str, total_minor: int, credited_minor: int, refunded_minor: int, due_at: datetime | None, now: datetime
) -> Shown:
    """One word for an invoice; what went back matters more than that it was paid. Below zero it asks for nothing."""
    if status == InvoiceStatus.OPEN:
        return Shown.OVERDUE if due_at and due_at <= now else Shown.OPEN
    if status != InvoiceStatus.PAID:
        return Shown(status)
    if total_minor < 0:
        return Shown.CREDIT
    if refunded_minor:
        return Shown.REFUNDED if refunded_minor >= total_minor else Shown.PARTLY_REFUNDED
    if credited_minor:
        return Shown.CREDITED if credited_minor >= total_minor else Shown.PARTLY_CREDITED
    return Shown.PAID


@dataclass(frozen=True, slots=True)
class Listed:
    """An invoice in a list. ``number`` is the proforma's while there is no other; ``left`` is still to be paid.

    ``transfer_id`` is the bank transfer that is expected for it; ``proof_sent``: staff look at its proof.
    """

    id: int
    vendor_id: int
    number: str | None
    provider: str
    shown: Shown
    is_open: bool
    reason: str
    total: Money
    left: Money
    issued_at: datetime
    due_at: datetime | None
    hosted_url: str | None
    has_pdf: bool
    transfer_id: int | None = None
    proof_sent: bool = False


COLUMNS = (
    Invoice.id, Invoice.vendor_id, Invoice.number, Invoice.proforma_number, Invoice.provider, Invoice.status,
    Invoice.reason, Invoice.currency, Invoice.subtotal_minor, Invoice.tax_minor, Invoice.total_minor,
    Invoice.due_minor, Invoice.paid_minor, Invoice.credited_minor, Invoice.refunded_minor, Invoice.issued_at,
    Invoice.due_at, Invoice.hosted_url, Invoice.pdf_url,
)  # fmt: skip
KEYS: tuple[SortKey, SortKey] = ((Invoice.issued_at, "desc"), (Invoice.id, "desc"))


def row(found: Any, now: datetime, transfer_id: int | None = None, transfer_state: str | None = None) -> Listed:
    """A row of COLUMNS, or an invoice itself, as lists show it; with its bank transfer where there is one."""
    is_open = found.status == InvoiceStatus.OPEN
    return Listed(
        id=found.id,
        vendor_id=found.vendor_id,
        number=found.number or found.proforma_number,
        provider=found.provider,
        shown=shown(
            found.status, found.total_minor, found.credited_minor, found.refunded_minor, found.due_at, now
        ),
        is_open=is_open,
        reason=found.reason,
        total=Money(found.total_minor, found.currency),
        left=Money(found.due_minor - found.paid_minor if is_open else 0, found.currency),
        issued_at=found.issued_at,
        due_at=found.due_at,
        hosted_url=found.hosted_url,
        has_pdf=found.provider == "transfer" or bool(found.pdf_url),
        transfer_id=transfer_id if is_open else None,
        proof_sent=is_open and transfer_state == TransferState.PROOF_SENT,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a vendor's list shows; empty and None leave nothing out."""

    status: str = ""
    year: int | None = None

    @property
    def is_narrowed(self) -> bool:
        """Does anything leave invoices out?"""
        return bool(self.status or self.year)


#: The filter's words, and the stored status that each stands for.
STATUSES = {"open": InvoiceStatus.OPEN, "paid": InvoiceStatus.PAID, "void": InvoiceStatus.VOID}


def read(status: str | None, year: str | None) -> Wanted:
    """The filter that an address asks for; what means nothing is left out."""
    number = int(year) if year and year.isascii() and year.isdigit() and 2000 <= int(year[:5]) <= 2999 else None
    return Wanted(status if status in STATUSES else "", number)


def page(vendor_id: int, wanted: Wanted, cursor: str | None, *, now: datetime, size: int = PAGE_SIZE) -> Page[Listed]:
    """One page of a vendor's invoices, newest first, in one query; drafts are Stripe's business."""
    paging.check(cursor, (datetime, int))
    statement: Any = (
        select(*COLUMNS, BankTransfer.id.label("transfer_id"), BankTransfer.state.label("transfer_state"))
        .outerjoin(BankTransfer, and_(BankTransfer.invoice_id == Invoice.id, BankTransfer.vendor_id == vendor_id))
        .where(Invoice.vendor_id == vendor_id, Invoice.status != InvoiceStatus.DRAFT, *_narrowed(wanted))
    )
    found = paging.fetch(statement, KEYS, cursor, size)
    return Page(
        [row(each, now, each.transfer_id, each.transfer_state) for each in found.rows], found.previous, found.next
    )


def _narrowed(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.status:
        found.append(Invoice.status == STATUSES[wanted.status])
    if wanted.year:
        start, end = datetime(wanted.year, 1, 1, tzinfo=UTC), datetime(wanted.year + 1, 1, 1, tzinfo=UTC)
        found.append(and_(Invoice.issued_at >= start, Invoice.issued_at < end))
    return found


def years(vendor_id: int) -> list[int]:
    """The years in which the vendor's first and last invoice were issued, and those between; newest first."""
    span: Any = db.session.execute(
        select(func.min(Invoice.issued_at), func.max(Invoice.issued_at)).where(
            Invoice.vendor_id == vendor_id, Invoice.status != InvoiceStatus.DRAFT
        )
    ).one()
    return [] if span[0] is None else list(range(span[1].year, span[0].year - 1, -1))


@dataclass(frozen=True, slots=True)
class InFull:
    """An invoice with everything that belongs to it."""

    invoice: Invoice
    listed: Listed
    taxes: Sequence[TaxLine]
    payments: Sequence[Payment]
    notes: Sequence[CreditNote]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]

    def money(self, minor: int) -> Money:
        """An amount of this invoice."""
        return Money(minor, self.invoice.currency)

    @property
    def is_ours(self) -> bool:
        """Written by us, not by Stripe."""
        return self.invoice.provider == "transfer"

    @property
    def surplus(self) -> Money | None:
        """What came in for a paid invoice of ours beyond what it asked: it went to the vendor's balance."""
        received = sum(payment.amount_minor for payment in self.payments if payment.status != "failed")
        over = received - self.invoice.paid_minor
        return self.money(over) if self.is_ours and over > 0 else None

    @property
    def creditable(self) -> Money | None:
        """How much a credit note can still take back (gross); None where there is nothing or it is Stripe's."""
        left = self.invoice.total_minor - self.invoice.credited_minor
        return self.money(left) if self.is_ours and self.invoice.number and left > 0 else None


def in_full(vendor_id: int, invoice_id: int, *, now: datetime) -> InFull:
    """One invoice; NotFound for what is not there, another vendor's, or a draft. Seven statements at most."""
    invoice = db.session.scalar(
        select(Invoice).where(
            Invoice.id == invoice_id, Invoice.vendor_id == vendor_id, Invoice.status != InvoiceStatus.DRAFT
        )
    )
    if invoice is None:
        raise NotFound
    payments = _of(Payment, invoice)
    ids = [payment.id for payment in payments]
    return InFull(
        invoice=invoice,
        listed=row(invoice, now, *_expected(invoice)),
        taxes=[
            TaxLine(t.label, t.country, t.category, t.rate_bp, t.base_minor, t.amount_minor)
            for t in _of(InvoiceTax, invoice)
        ],
        payments=payments,
        notes=_of(CreditNote, invoice),
        refunds=_refunds(invoice, ids),
        disputes=_disputes(invoice, ids),
    )


def _expected(invoice: Invoice) -> tuple[int, str] | tuple[None, None]:
    """The bank transfer that an open invoice of ours waits for, and its state."""
    if invoice.provider != "transfer" or invoice.status != InvoiceStatus.OPEN:
        return None, None
    mine = (BankTransfer.vendor_id == invoice.vendor_id, BankTransfer.invoice_id == invoice.id)
    found = db.session.execute(select(BankTransfer.id, BankTransfer.state).where(*mine)).first()
    return (found.id, found.state) if found else (None, None)


def _of(model: Any, invoice: Invoice) -> list[Any]:
    mine = (model.vendor_id == invoice.vendor_id, model.invoice_id == invoice.id)
    return list(db.session.scalars(select(model).where(*mine).order_by(model.id)))


def _refunds(invoice: Invoice, payments: list[int]) -> list[Refund]:
    """Those of the invoice, and those made at Stripe that name only its payment."""
    belongs = or_(Refund.invoice_id == invoice.id, Refund.payment_id.in_(payments))
    return list(
        db.session.scalars(select(Refund).where(Refund.vendor_id == invoice.vendor_id, belongs).order_by(Refund.id))
    )


def _disputes(invoice: Invoice, payments: list[int]) -> list[Dispute]:
    if not payments or invoice.provider != "stripe":
        return []
    mine = (Dispute.vendor_id == invoice.vendor_id, Dispute.payment_id.in_(payments))
    return list(db.session.scalars(select(Dispute).where(*mine).order_by(Dispute.id)))

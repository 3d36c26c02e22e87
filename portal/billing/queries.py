"""Reads of invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select

from portal.billing.listing import Shown, shown
from portal.billing.models import BankTransfer, Invoice
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import TransferState
from portal.identity.models import Vendor
from portal.kit.db import BigId, db
from portal.kit.direct import Direct
from portal.kit.money import Money


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice as lists show it. ``number`` is the proforma's while there is no other; ``due`` is left to pay."""

    id: int
    number: str | None
    status: InvoiceStatus
    reason: str
    total: Money
    due: Money
    issued_at: datetime
    next_attempt_at: datetime | None
    hosted_url: str | None
    pdf_url: str | None
    provider: str = "stripe"
    credited_minor: int = 0
    refunded_minor: int = 0
    needs_confirmation: bool = False
    proof_sent: bool = False

    @property
    def shown(self) -> Shown:
        """What has become of it in one word; a due date is not looked at."""
        return shown(self.status, self.total.minor, self.credited_minor, self.refunded_minor, None, self.issued_at)

    @property
    def has_pdf(self) -> bool:
        """Is there a paper to hand out?"""
        return self.provider == "transfer" or bool(self.pdf_url)


def latest(vendor_id: int, limit: int = 3) -> Sequence[InvoiceRow]:
    """A vendor's newest invoices; drafts are Stripe's business and do not show."""
    rows = _LATEST({"vendor": vendor_id, "most": limit})
    return [
        InvoiceRow(
            r.id, r.number or r.proforma_number, InvoiceStatus(r.status), r.reason, Money(r.total_minor, r.currency),
            Money(r.due_minor - (r.paid_minor if r.status == InvoiceStatus.OPEN else 0), r.currency), r.issued_at,
            r.next_attempt_at, r.hosted_url, r.pdf_url, r.provider, r.credited_minor, r.refunded_minor,
            r.needs_confirmation, r.proof_sent is not None,
        )
        for r in rows
    ]  # fmt: skip


#: The transfer of an invoice whose proof was handed in, and that nobody has decided.
_PROOF = (
    select(BankTransfer.id)
    .where(BankTransfer.invoice_id == Invoice.id, BankTransfer.vendor_id == Invoice.vendor_id)
    .where(BankTransfer.state == TransferState.PROOF_SENT)
    .correlate(Invoice)
    .limit(1)
    .scalar_subquery()
)
_LATEST = Direct(
    select(
        Invoice.id, Invoice.number, Invoice.status, Invoice.reason, Invoice.currency, Invoice.total_minor,
        Invoice.due_minor, Invoice.issued_at, Invoice.next_attempt_at, Invoice.hosted_url, Invoice.pdf_url,
        Invoice.proforma_number, Invoice.paid_minor, Invoice.provider, Invoice.credited_minor, Invoice.refunded_minor,
        Invoice.needs_confirmation, _PROOF.label("proof_sent"),
    )
    .where(Invoice.vendor_id == bindparam("vendor"), Invoice.status != InvoiceStatus.DRAFT)
    .order_by(Invoice.issued_at.desc(), Invoice.id.desc())
    .limit(bindparam("most", type_=BigId))
)  # fmt: skip


def unpaid(vendor_id: int) -> InvoiceRow | None:
    """The newest invoice that still wants to be paid, if any."""
    return next((row for row in latest(vendor_id, 12) if row.status == InvoiceStatus.OPEN), None)


def behind_since(vendor_id: int, stripe_subscription_id: str) -> datetime | None:
    """When the oldest invoice that is unpaid now was issued: Stripe first tries to collect it in that moment.

    What was left open before a later one was paid is not what makes a vendor fall behind now.
    """
    mine = (Invoice.vendor_id == vendor_id, Invoice.stripe_subscription_id == stripe_subscription_id)
    paid = select(func.max(Invoice.issued_at)).where(*mine, Invoice.status == InvoiceStatus.PAID).scalar_subquery()
    return db.session.scalar(
        select(func.min(Invoice.issued_at)).where(
            *mine, Invoice.status == InvoiceStatus.OPEN, or_(paid.is_(None), Invoice.issued_at >= paid)
        )
    )


def settled_ids(stripe_customer_id: str) -> set[tuple[str, str]]:
    """(Stripe id, status) of a customer's invoices that are finished and, where paid, applied."""
    rows = db.session.execute(
        select(Invoice.stripe_invoice_id, Invoice.status)
        .join(Vendor, Vendor.id == Invoice.vendor_id)
        .where(
            Vendor.stripe_customer_id == stripe_customer_id,
            or_(Invoice.status == InvoiceStatus.VOID, Invoice.applied_at.is_not(None)),
        )
    )
    return {(row.stripe_invoice_id, row.status) for row in rows}

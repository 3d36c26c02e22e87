"""A transfer as its page shows it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.billing.models import BankTransfer, Invoice, InvoiceLine
from portal.billing.transfer_rules import WAITING, TransferState
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.money import Money


@dataclass(frozen=True, slots=True)
class TransferView:
    """What is asked, what came in, and where it stands. ``title`` is what the invoice is mostly for."""

    id: int
    invoice_id: int
    number: str
    reason: str
    title: str
    reference: str
    state: TransferState
    asked: Money
    received: Money
    open: Money
    due_at: datetime
    proof: dict[str, Any] | None
    proof_at: datetime | None
    why: str | None
    decided_at: datetime | None
    version: int

    @property
    def is_waiting(self) -> bool:
        """Is it still to be paid or to be confirmed?"""
        return self.state in WAITING


_COLUMNS = (
    BankTransfer.id, BankTransfer.invoice_id, BankTransfer.reference, BankTransfer.state, BankTransfer.currency,
    BankTransfer.asked_minor, BankTransfer.received_minor, BankTransfer.due_at, BankTransfer.proof,
    BankTransfer.proof_at, BankTransfer.reason.label("why"), BankTransfer.decided_at, BankTransfer.version,
    Invoice.number, Invoice.proforma_number, Invoice.reason, Invoice.due_minor, Invoice.paid_minor,
)  # fmt: skip


def one(transfer_id: int, vendor_id: int) -> TransferView:
    """A transfer of the vendor; NotFound for a missing one and for another vendor's."""
    title = (
        select(InvoiceLine.description)
        .where(InvoiceLine.invoice_id == BankTransfer.invoice_id, InvoiceLine.vendor_id == vendor_id)
        .order_by(InvoiceLine.amount_minor.desc(), InvoiceLine.position)
        .limit(1)
        .scalar_subquery()
    )
    row = db.session.execute(
        select(*_COLUMNS, title.label("title"))
        .join(Invoice, Invoice.id == BankTransfer.invoice_id)
        .where(BankTransfer.id == transfer_id, BankTransfer.vendor_id == vendor_id)
    ).first()
    if row is None:
        raise NotFound
    return _view(row)


def _view(row: Any) -> TransferView:
    return TransferView(
        id=row.id,
        invoice_id=row.invoice_id,
        number=row.number or row.proforma_number or "",
        reason=row.reason,
        title=row.title or "",
        reference=row.reference,
        state=TransferState(row.state),
        asked=Money(row.asked_minor, row.currency),
        received=Money(row.received_minor, row.currency),
        open=Money(max(row.due_minor - row.paid_minor, 0), row.currency),
        due_at=row.due_at,
        proof=row.proof,
        proof_at=row.proof_at,
        why=row.why,
        decided_at=row.decided_at,
        version=row.version,
    )


def waiting_ids(vendor_id: int, reasons: Collection[str]) -> list[int]:
    """The transfers that are waited for whose invoices were written for one of these reasons; the oldest first."""
    wanted = (
        select(BankTransfer.id)
        .join(Invoice, Invoice.id == BankTransfer.invoice_id)
        .where(BankTransfer.vendor_id == vendor_id, BankTransfer.state.in_(WAITING), Invoice.reason.in_(reasons))
    )
    return list(db.session.scalars(wanted.order_by(BankTransfer.id)))


def waiting_for(vendor_id: int, invoice_id: int | None = None) -> int | None:
    """The newest transfer that the vendor is waited for (of one invoice), to lead to its page."""
    wanted = select(BankTransfer.id).where(BankTransfer.vendor_id == vendor_id, BankTransfer.state.in_(WAITING))
    if invoice_id is not None:
        wanted = wanted.where(BankTransfer.invoice_id == min(invoice_id, 2**63 - 1))
    return db.session.scalar(wanted.order_by(BankTransfer.id.desc()).limit(1))

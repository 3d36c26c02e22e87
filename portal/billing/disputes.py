"""Disputes: a cardholder's bank asks for the money back. Mirrored from Stripe, where they are answered."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from portal.audit import service as audit
from portal.billing import money_mails
from portal.billing.models import Dispute, Payment
from portal.kit.actor import STRIPE
from portal.kit.db import db
from portal.kit.money import Money

#: The bank has decided, or took its question back.
CLOSED = frozenset({"won", "lost", "warning_closed", "prevented"})


@dataclass(frozen=True, slots=True)
class Remote:
    """A dispute as Stripe has it now."""

    id: str
    payment_reference: str
    status: str
    reason: str
    amount: Money
    opened_at: datetime
    answer_by: datetime | None


def read(document: dict[str, Any]) -> Remote:
    """Read Stripe's dispute; the payment is named by its intent, an old one by its charge."""
    named = document.get("payment_intent") or document["charge"]
    due = (document.get("evidence_details") or {}).get("due_by")
    return Remote(
        id=document["id"],
        payment_reference=named["id"] if isinstance(named, dict) else str(named),
        status=document["status"],
        reason=(document.get("reason") or "").replace("_", " "),
        amount=Money(document["amount"], document["currency"].upper()),
        opened_at=datetime.fromtimestamp(document["created"], UTC),
        answer_by=datetime.fromtimestamp(due, UTC) if due else None,
    )


def mirror(remote: Remote, *, now: datetime) -> int | None:
    """Make our row what Stripe says; gives the vendor, None where the payment is not known. The operator is mailed
    once when it is opened and once when it is decided. What is closed stays closed, whatever an older answer says.
    """
    payment = db.session.scalar(
        select(Payment)
        .where(Payment.provider == "stripe", Payment.reference == remote.payment_reference)
        .with_for_update()
    )
    if payment is None:
        return None
    row = _row(payment, remote)
    before = row.status
    if before in CLOSED and remote.status not in CLOSED:
        return payment.vendor_id
    row.status, row.answer_by = remote.status, remote.answer_by
    if remote.status in CLOSED and row.closed_at is None:
        row.closed_at = now
    db.session.flush()
    if before != remote.status:
        _tell(row, opened=before == "", now=now)
    return payment.vendor_id


def _row(payment: Payment, remote: Remote) -> Dispute:
    row = db.session.scalar(
        select(Dispute)
        .where(Dispute.stripe_dispute_id == remote.id, Dispute.vendor_id == payment.vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        row = Dispute(
            vendor_id=payment.vendor_id, payment_id=payment.id, stripe_dispute_id=remote.id, status="",
            reason=remote.reason[:80], currency=remote.amount.currency, amount_minor=remote.amount.minor,
            opened_at=remote.opened_at,
        )  # fmt: skip
        db.session.add(row)
    return row


def _tell(row: Dispute, *, opened: bool, now: datetime) -> None:
    data = {"dispute": row.stripe_dispute_id, "status": row.status, "amount": row.amount_minor,
            "currency": row.currency, "reason": row.reason}  # fmt: skip
    if opened:
        audit.record(STRIPE, "invoice.disputed", vendor_id=row.vendor_id, data=data, now=now)
        money_mails.dispute_opened(row, now)
    if row.status in CLOSED:
        audit.record(STRIPE, "invoice.dispute_closed", vendor_id=row.vendor_id, data=data, now=now)
        money_mails.dispute_closed(row, now)


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute as lists show it; ``stripe_id`` finds it in Stripe's dashboard."""

    stripe_id: str
    status: str
    reason: str
    amount: Money
    opened_at: datetime
    answer_by: datetime | None
    closed_at: datetime | None


def shown(vendor_id: int, invoice_id: int | None = None) -> list[DisputeRow]:
    """The vendor's disputes (of one invoice), newest first."""
    found = select(Dispute).where(Dispute.vendor_id == vendor_id).order_by(Dispute.opened_at.desc(), Dispute.id.desc())
    if invoice_id is not None:
        found = found.join(Payment, Payment.id == Dispute.payment_id).where(
            Payment.invoice_id == invoice_id, Payment.vendor_id == vendor_id
        )
    return [
        DisputeRow(d.stripe_dispute_id, d.status, d.reason, Money(d.amount_minor, d.currency), d.opened_at, d.answer_by,
                   d.closed_at)
        for d in db.session.scalars(found)
    ]  # fmt: skip

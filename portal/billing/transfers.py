"""Money that is expected by bank transfer for an invoice of ours (SUB-10, ADM-9).

Every verb flushes; the caller holds the vendor's lock (``subscriptions.history.lock``), then the invoice's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.billing import papers, references
from portal.billing.models import BankTransfer, Invoice
from portal.billing.payment_slip import Account
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import WAITING, TransferState
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound
from portal.kit.text import N_
from portal.settings import queries as settings

#: More than this is a typing error, in any currency.
MOST_MINOR = 10**12


def account() -> Account:
    """Where the operator wants the money."""
    operator = settings.current()
    return Account(operator.bank_holder, operator.bank_iban, operator.bank_bic, operator.bank_name)


def expect(invoice: Invoice, *, due_at: datetime, now: datetime) -> BankTransfer | None:
    """Wait for what is left to pay of an open invoice, under a reference of its own; None when nothing is left.

    Once per invoice: the same again gives the row that is there.
    """
    if (known := of_invoice(invoice.id, invoice.vendor_id)) is not None:
        return known
    if invoice.status != InvoiceStatus.OPEN or invoice.due_minor <= invoice.paid_minor:
        return None
    transfer = BankTransfer(
        vendor_id=invoice.vendor_id,
        invoice_id=invoice.id,
        reference=references.make(invoice.id),
        state=TransferState.AWAITING,
        currency=invoice.currency,
        asked_minor=invoice.due_minor - invoice.paid_minor,
        received_minor=0,
        payer_name=(invoice.buyer or {}).get("name", "")[:140] or None,
        due_at=due_at,
        reminded=0,
        version=1,
        created_at=now,
    )
    db.session.add(transfer)
    db.session.flush()
    return transfer


def of_invoice(invoice_id: int, vendor_id: int) -> BankTransfer | None:
    """The transfer that an invoice waits for, under a lock."""
    return db.session.scalar(
        select(BankTransfer)
        .where(BankTransfer.invoice_id == invoice_id, BankTransfer.vendor_id == vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def is_awaited(vendor_id: int) -> bool:
    """Is money of this vendor waited for?"""
    wanted = select(BankTransfer.id).where(BankTransfer.vendor_id == vendor_id, BankTransfer.state.in_(WAITING))
    return db.session.scalar(wanted.limit(1)) is not None


def vendor_of(transfer_id: int) -> int:
    """Whose transfer it is; NotFound when there is none."""
    vendor_id = db.session.scalar(select(BankTransfer.vendor_id).where(BankTransfer.id == transfer_id))
    if vendor_id is None:
        raise NotFound
    return vendor_id


def locked(transfer_id: int, vendor_id: int) -> tuple[BankTransfer, Invoice]:
    """A transfer of the vendor with its invoice, both locked and read anew; NotFound for another vendor's."""
    invoice_id = db.session.scalar(
        select(BankTransfer.invoice_id).where(BankTransfer.id == transfer_id, BankTransfer.vendor_id == vendor_id)
    )
    if invoice_id is None:
        raise NotFound
    invoice = papers.locked(invoice_id, vendor_id)
    transfer = of_invoice(invoice_id, vendor_id)
    if invoice is None or transfer is None:
        raise NotFound
    return transfer, invoice


def expect_waiting(transfer: BankTransfer, version: int | None = None) -> None:
    """Conflict when it is decided already, or was changed since ``version`` was shown."""
    if transfer.state not in WAITING:
        raise Conflict(N_("This transfer has been decided already. Nothing was counted twice."), code="decided")
    if version is not None and transfer.version != version:
        raise Conflict


def hand_in(transfer: BankTransfer, proof: dict[str, Any], *, now: datetime) -> dict[str, Any] | None:
    """The vendor's proof of payment is there (``proof`` names the file); gives the one that it replaces."""
    expect_waiting(transfer)
    before = transfer.proof
    transfer.proof, transfer.proof_at = proof, now
    if transfer.state == TransferState.AWAITING:
        transfer.state = TransferState.PROOF_SENT
    transfer.version += 1
    return before


def close(transfer: BankTransfer, state: TransferState, *, by: str, reason: str | None, now: datetime) -> None:
    """Wait no longer: rejected by staff, or cancelled."""
    transfer.state, transfer.reason = state, reason
    transfer.decided_by, transfer.decided_at = by[:120], now
    transfer.version += 1
    db.session.flush()


def ask_further(transfer: BankTransfer, *, reason: str, by: str, now: datetime) -> None:
    """What was handed in proves nothing, and the money is still owed: wait on."""
    transfer.state = TransferState.PART_PAID if transfer.received_minor else TransferState.AWAITING
    transfer.proof = transfer.proof_at = None
    transfer.reason, transfer.decided_by, transfer.decided_at = reason, by[:120], now
    transfer.first_approval = None
    transfer.version += 1
    db.session.flush()


def needs_second(
    transfer: BankTransfer, amount_minor: int, actor: Actor, limit: int, now: datetime, *,
    line_id: int | None = None, start: datetime | None = None,
) -> bool:  # fmt: skip
    """Above ``limit`` (minor units; 0: none) two different people approve; True when this was the first of them.

    What came in before counts along: else one person could count any sum, in parts below the limit.
    What the first one said is kept: the second must agree to the amount, is shown ``start``, and approves the booking
    ``line_id`` with it. Conflict for another amount, Forbidden when the same person comes twice.
    """
    first = transfer.first_approval
    if limit <= 0 or (first is None and transfer.received_minor + amount_minor <= limit):
        return False
    if first is None:
        transfer.first_approval = {
            "by": actor.id, "label": actor.label, "amount_minor": amount_minor, "at": now.isoformat(),
            "line_id": line_id, "start": start.isoformat() if start else None,
        }  # fmt: skip
        transfer.version += 1
        db.session.flush()
        return True
    if first["by"] == actor.id:
        raise Forbidden(N_("Somebody else must give the second approval."), code="second_person")
    if first["amount_minor"] != amount_minor:
        raise Conflict(N_("The first approval was for another amount. Approve that amount, or reject."), code="amount")
    return False


@dataclass(frozen=True, slots=True)
class Booked:
    """What a booking did: what is still open, and what was too much and went to the vendor's balance (minor units)."""

    open_minor: int
    surplus_minor: int

    @property
    def is_paid(self) -> bool:
        """Has everything come in?"""
        return self.open_minor == 0


def book(
    transfer: BankTransfer, invoice: Invoice, amount_minor: int, *, at: datetime, actor: Actor, now: datetime,
    source: str | None = None,
) -> Booked:  # fmt: skip
    """Count ``amount_minor`` as received, booked ``at``; ``source`` names the booking of a statement.

    Invalid at the field ``amount`` for nothing, less than nothing, or an absurd amount.
    """
    if not 0 < amount_minor <= MOST_MINOR:
        raise Invalid(fields={"amount": N_("Please enter an amount that is more than zero.")})
    reference = f"{transfer.reference}:{source or transfer.version}"
    surplus = papers.receive(invoice, amount_minor, reference=reference, at=at, now=now)
    transfer.received_minor += amount_minor
    transfer.first_approval = None
    transfer.decided_by, transfer.decided_at = actor.label[:120], now
    booked = Booked(invoice.due_minor - invoice.paid_minor, surplus)
    transfer.state = TransferState.APPROVED if booked.is_paid else TransferState.PART_PAID
    transfer.version += 1
    db.session.flush()
    return booked


def keep_as_credit(
    transfer: BankTransfer, invoice: Invoice, amount_minor: int, *, at: datetime, source: str, now: datetime
) -> None:
    """Money for something that is not asked for any more: all of it goes to the vendor's balance, once per booking."""
    papers.receive(invoice, amount_minor, reference=f"{transfer.reference}:{source}", at=at, now=now)
    transfer.received_minor += amount_minor
    transfer.version += 1
    db.session.flush()


def withdraw(invoice: Invoice, *, by: str, reason: str | None, now: datetime, rejected: bool = False) -> None:
    """Ask no longer: the invoice is void, what came in of it goes to the vendor's balance, nothing is waited for."""
    papers.void(invoice, now=now)
    transfer = of_invoice(invoice.id, invoice.vendor_id)
    if transfer is not None and transfer.state in WAITING:
        state = TransferState.REJECTED if rejected else TransferState.CANCELLED
        close(transfer, state, by=by, reason=reason, now=now)

"""The mails of bank transfers. Each names its cause, so each goes out once."""

from datetime import datetime

from portal.billing import references
from portal.billing.models import BankTransfer, Invoice
from portal.billing.transfer_rules import WAITING
from portal.kit.money import Money
from portal.settings import queries as settings
from portal.subscriptions.mails import _send as to_owner
from portal.subscriptions.mails import plain


def instructions(transfer: BankTransfer, invoice: Invoice, now: datetime, *, days_left: int | None = None) -> None:
    """How to pay a proforma; with ``days_left`` (3 or 0) a reminder of it."""
    operator = settings.current()
    to_owner(
        "transfer_instructions",
        transfer.vendor_id,
        f"{transfer.id}:{'issued' if days_left is None else days_left}",
        now,
        transfer=transfer.id,
        number=invoice.proforma_number or "",
        amount=plain(_open(transfer, invoice)),
        due_at=transfer.due_at.isoformat(),
        holder=operator.bank_holder,
        iban=references.shown(operator.bank_iban),
        bic=operator.bank_bic,
        reference=references.shown(transfer.reference),
        days_left=-1 if days_left is None else days_left,
    )


def received(transfer: BankTransfer, invoice: Invoice, now: datetime, *, amount_minor: int | None) -> None:
    """A proof came in (``amount_minor`` None), or a part of the money."""
    to_owner(
        "transfer_received",
        transfer.vendor_id,
        f"{transfer.id}:{transfer.version}",
        now,
        transfer=transfer.id,
        number=invoice.proforma_number or "",
        amount=plain(Money(amount_minor or 0, transfer.currency)),
        open=plain(_open(transfer, invoice)),
        reference=references.shown(transfer.reference),
    )


def approved(transfer: BankTransfer, invoice: Invoice, now: datetime, *, tier: str, until: datetime) -> None:
    """Everything came in: the invoice has its number, and until when the tier is paid."""
    to_owner(
        "transfer_approved",
        transfer.vendor_id,
        str(transfer.id),
        now,
        transfer=transfer.id,
        number=invoice.number or "",
        amount=plain(Money(transfer.received_minor, transfer.currency)),
        tier=tier,
        until_at=until.isoformat(),
    )


def rejected(transfer: BankTransfer, invoice: Invoice, now: datetime, *, reason: str) -> None:
    """Staff could not find the money, or it was not paid in time; says whether it is still to be paid."""
    to_owner(
        "transfer_rejected",
        transfer.vendor_id,
        f"{transfer.id}:{transfer.version}",
        now,
        transfer=transfer.id,
        number=invoice.proforma_number or "",
        amount=plain(Money(transfer.asked_minor, transfer.currency)),
        reason=reason,
        still_open=int(transfer.state in WAITING),
    )


def _open(transfer: BankTransfer, invoice: Invoice) -> Money:
    return Money(invoice.due_minor - invoice.paid_minor, transfer.currency)

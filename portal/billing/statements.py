"""The operator's bank statements: imported once, matched with what is waited for, or laid aside (ADM-9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, false, func, or_, select

from portal.billing import references
from portal.billing.models import BankStatement, BankStatementLine, BankTransfer, Invoice
from portal.billing.statement_files import Booking, fingerprints
from portal.billing.transfer_rules import CLOSED, WAITING, Basis, TransferState, same_payer
from portal.identity.models import Vendor
from portal.kit.actor import Actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.kit.text import N_

#: How many bookings and open transfers the page shows at once, newest and most urgent first.
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. Bookings that another file had already are not counted twice."""

    new: int
    known: int
    out: int


def known_file(sha256: str) -> bool:
    """Was exactly this file imported before?"""
    return db.session.scalar(select(BankStatement.id).where(BankStatement.sha256 == sha256)) is not None


def keep(name: str, kind: str, sha256: str, found: Sequence[Booking], *, actor: Actor, now: datetime) -> Imported:
    """Keep a file's incoming bookings that are not known yet; what went out is left aside.

    Conflict when exactly this file was imported before: nothing is counted twice.
    """
    values = {
        "name": name[:255],
        "kind": kind,
        "sha256": sha256,
        "actor_label": actor.label[:120],
        "imported_at": now,
    }
    if not insert_once(BankStatement, values, ["sha256"]):
        raise Conflict(N_("This file was imported before. Nothing was counted twice."), code="known_file")
    statement_id = db.session.scalar(select(BankStatement.id).where(BankStatement.sha256 == sha256))
    incoming = [booking for booking in found if booking.amount_minor > 0]
    new = 0
    for booking, fingerprint in zip(incoming, fingerprints(incoming), strict=True):
        line = {
            "statement_id": statement_id,
            "fingerprint": fingerprint,
            "booked_on": booking.booked_on,
            "currency": booking.currency,
            "amount_minor": booking.amount_minor,
            "payer": booking.payer,
            "purpose": booking.purpose,
            "state": "new",
        }
        new += insert_once(BankStatementLine, line, ["fingerprint"])
    return Imported(new, len(incoming) - new, len(found) - len(incoming))


def locked(line_id: int) -> BankStatementLine:
    """A booking under a lock; NotFound when there is none."""
    line = db.session.scalar(
        select(BankStatementLine)
        .where(BankStatementLine.id == line_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if line is None:
        raise NotFound
    return line


def read(line_id: int) -> BankStatementLine | None:
    """A booking, to show."""
    return db.session.scalar(select(BankStatementLine).where(BankStatementLine.id == line_id))


def taken(line_id: int, transfer: BankTransfer) -> BankStatementLine:
    """The booking that is about to be matched; Conflict when it was dealt with, Invalid across currencies."""
    line = locked(line_id)
    if line.state != "new":
        raise Conflict(N_("This booking has been dealt with already. Nothing was counted twice."), code="decided")
    if line.currency != transfer.currency:
        raise Invalid(fields={"amount": N_("The booking is in another currency than the invoice.")})
    return line


def still_new(line_id: int | None) -> BankStatementLine | None:
    """The booking under a lock if nobody has dealt with it; None without one."""
    line = locked(line_id) if line_id else None
    return line if line is not None and line.state == "new" else None


def matched(line: BankStatementLine, transfer: BankTransfer, *, by: str) -> None:
    """The booking paid this transfer."""
    line.state, line.transfer_id, line.decided_by = "matched", transfer.id, by[:120]
    db.session.flush()


def lay_aside(line_id: int, *, actor: Actor) -> BankStatementLine:
    """The booking has nothing to do with the portal; Conflict when it was matched."""
    line = locked(line_id)
    if line.state == "matched":
        raise Conflict(N_("This booking has been dealt with already. Nothing was counted twice."), code="decided")
    line.state, line.decided_by = "ignored", actor.label[:120]
    return line


def take_up(line_id: int, *, actor: Actor) -> BankStatementLine:
    """A booking that was laid aside counts after all."""
    line = locked(line_id)
    if line.state == "ignored":
        line.state, line.decided_by = "new", actor.label[:120]
    return line


@dataclass(frozen=True, slots=True)
class FirstApproval:
    """What the first of two people has said; ``by`` is the login."""

    by: int
    label: str
    amount: Money
    start: datetime | None


@dataclass(frozen=True, slots=True)
class Awaited:
    """A transfer that is waited for, as the queue shows it."""

    id: int
    vendor_id: int
    vendor_name: str
    vendor_code: str
    reference: str
    state: TransferState
    open: Money
    asked: Money
    payer: str
    number: str
    reason: str
    due_at: datetime
    has_proof: bool
    first: FirstApproval | None
    version: int

    @property
    def is_waiting(self) -> bool:
        """Is it still asked for? Otherwise what comes is kept as credit."""
        return self.state in WAITING


@dataclass(frozen=True, slots=True)
class Incoming:
    """A booking that nobody has dealt with, and the transfer that it probably pays."""

    id: int
    booked_on: date
    amount: Money
    payer: str
    purpose: str
    proposal: Awaited | None
    basis: Basis | None


def awaited(
    limit: int = SHOWN,
    transfer_id: int | None = None,
    vendor_id: int | None = None,
    closed_since: datetime | None = None,
) -> list[Awaited]:
    """What is open over all vendors: proofs first, then by due date. For staff, so across vendors.

    With ``closed_since`` also what was rejected or cancelled since, last: its money may still come.
    """
    columns = (
        BankTransfer.id, BankTransfer.vendor_id, BankTransfer.reference, BankTransfer.state, BankTransfer.currency,
        BankTransfer.asked_minor, BankTransfer.payer_name, BankTransfer.due_at, BankTransfer.proof_at,
        BankTransfer.first_approval, BankTransfer.version, Invoice.due_minor, Invoice.paid_minor,
        Invoice.proforma_number, Invoice.reason, Vendor.name, Vendor.code,
    )  # fmt: skip
    closed = and_(BankTransfer.state.in_(CLOSED), BankTransfer.decided_at >= closed_since) if closed_since else false()
    statement = (
        select(*columns)
        .join(Invoice, Invoice.id == BankTransfer.invoice_id)
        .join(Vendor, Vendor.id == BankTransfer.vendor_id)
        .where(or_(BankTransfer.state.in_(WAITING), closed))
        .order_by(
            BankTransfer.state.in_(CLOSED),
            (BankTransfer.state == TransferState.PROOF_SENT).desc(),
            BankTransfer.due_at,
            BankTransfer.id,
        )
    )
    if transfer_id is not None:
        statement = statement.where(BankTransfer.id == transfer_id)
    if vendor_id is not None:
        statement = statement.where(BankTransfer.vendor_id == vendor_id)
    return [
        Awaited(
            r.id, r.vendor_id, r.name, r.code, r.reference, TransferState(r.state),
            Money(r.due_minor - r.paid_minor, r.currency), Money(r.asked_minor, r.currency), r.payer_name or r.name,
            r.proforma_number or "", r.reason, r.due_at, r.proof_at is not None,
            _first(r.first_approval, r.currency), r.version,
        )
        for r in db.session.execute(statement.limit(limit))
    ]  # fmt: skip


def _first(said: dict[str, Any] | None, currency: str) -> FirstApproval | None:
    if said is None:
        return None
    start = datetime.fromisoformat(said["start"]) if said.get("start") else None
    return FirstApproval(said["by"], said["label"], Money(said["amount_minor"], currency), start)


def incoming(open_transfers: Sequence[Awaited], limit: int = SHOWN) -> list[Incoming]:
    """Bookings that nobody has dealt with, newest first, each with the transfer that it probably pays."""
    known = references.Known(found.reference for found in open_transfers)
    by_reference = {found.reference: found for found in open_transfers}
    lines = db.session.scalars(
        select(BankStatementLine)
        .where(BankStatementLine.state == "new")
        .order_by(BankStatementLine.booked_on.desc(), BankStatementLine.id.desc())
        .limit(limit)
    )
    out = []
    for line in lines:
        amount = Money(line.amount_minor, line.currency)
        proposal, basis = _proposal(line, amount, known, by_reference, open_transfers)
        out.append(Incoming(line.id, line.booked_on, amount, line.payer, line.purpose, proposal, basis))
    return out


def _proposal(
    line: BankStatementLine, amount: Money, known: references.Known, by_reference: dict[str, Awaited],
    open_transfers: Sequence[Awaited],
) -> tuple[Awaited | None, Basis | None]:  # fmt: skip
    found = known.find(line.purpose)
    if found is not None and by_reference[found.reference].open.currency == amount.currency:
        return by_reference[found.reference], Basis.REFERENCE if found.exact else Basis.SIMILAR
    fitting = [
        o
        for o in open_transfers
        if o.is_waiting and o.open == amount and same_payer(line.payer, (o.payer, o.vendor_name))
    ]
    return (fitting[0], Basis.AMOUNT_AND_PAYER) if len(fitting) == 1 else (None, None)


@dataclass(frozen=True, slots=True)
class Aside:
    """A booking that was laid aside."""

    id: int
    booked_on: date
    amount: Money
    payer: str
    purpose: str
    by: str


def laid_aside(limit: int = 50) -> list[Aside]:
    """The newest bookings that somebody laid aside."""
    lines = db.session.scalars(
        select(BankStatementLine)
        .where(BankStatementLine.state == "ignored")
        .order_by(BankStatementLine.booked_on.desc(), BankStatementLine.id.desc())
        .limit(limit)
    )
    return [
        Aside(i.id, i.booked_on, Money(i.amount_minor, i.currency), i.payer, i.purpose, i.decided_by or "")
        for i in lines
    ]


def counts() -> dict[str, int]:
    """How many bookings are new, matched and laid aside."""
    rows = db.session.execute(
        select(BankStatementLine.state, func.count()).group_by(BankStatementLine.state)
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}

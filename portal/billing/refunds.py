"""Money that goes back for a payment: written down first, then asked of the provider, then mirrored as it says.

Every verb locks the payment's invoice, so that two people never give back more than came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from portal.audit import service as audit
from portal.billing import money_mails, refund_notes
from portal.billing.models import BalanceEntry, Dispute, Invoice, Payment, Refund
from portal.billing.refund_notes import Held
from portal.billing.refund_rules import LASTING, CameBack, State, further, left_of
from portal.kit import outbox, tenancy
from portal.kit.actor import STRIPE, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.kit.text import N_

#: How long the request that asked may take before its job looks after it.
PATIENCE = timedelta(seconds=30)
#: Disputes after which the money is the operator's again.
DROPPED = ("won", "warning_closed", "prevented")


@dataclass(frozen=True, slots=True)
class Refundable:
    """A payment as giving it back needs it; ``left`` is what did not go back yet. ``why_not`` says what forbids it."""

    payment_id: int
    invoice_id: int
    vendor_id: int
    number: str | None
    provider: str
    reference: str
    paid: Money
    left: Money
    at: datetime
    why_not: str | None


def of_invoice(vendor_id: int, invoice_id: int) -> list[Refundable]:
    """The payments of one of the vendor's invoices, oldest first; NotFound for an invoice that is not its own.

    Of our own invoices what the vendor's balance holds is not given back once more.
    """
    mine = select(Invoice).where(Invoice.id == invoice_id, Invoice.vendor_id == vendor_id)
    invoice = db.session.scalar(mine.execution_options(populate_existing=True))
    if invoice is None:
        raise NotFound
    given_back = (
        select(func.coalesce(func.sum(Refund.amount_minor), 0))
        .where(Refund.payment_id == Payment.id, Refund.vendor_id == vendor_id, Refund.state.in_(LASTING))
        .scalar_subquery()
    )
    disputed = (
        select(func.count(Dispute.id))
        .where(Dispute.payment_id == Payment.id, Dispute.vendor_id == vendor_id, Dispute.status.not_in(DROPPED))
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(Payment, Invoice.number, given_back.label("back"), disputed.label("disputed"))
        .join(Invoice, Invoice.id == Payment.invoice_id)
        .where(Payment.invoice_id == invoice_id, Payment.vendor_id == vendor_id, Payment.status != "failed")
        .order_by(Payment.at, Payment.id)
        .execution_options(populate_existing=True)
    )
    ours = refund_notes.held(invoice) if invoice.provider == "transfer" else None
    return [_refundable(row, ours) for row in rows]


def _refundable(row: Any, ours: Held | None) -> Refundable:
    payment: Payment = row[0]
    left = ours.left_of(payment, row.back) if ours else left_of(payment.amount_minor, row.back)
    why_not = None
    if ours and ours.is_open:
        why_not = N_("This invoice is not paid in full. Reject its transfer first: what came in is the vendor's then.")
    elif ours and not left and row.back < payment.amount_minor:
        why_not = N_("What is left of it stands on the vendor's balance. Pay that out on the vendor's page.")
    elif row.disputed:
        why_not = N_("The cardholder's bank has taken this payment back or is about to: answer the dispute at Stripe.")
    elif not left:
        why_not = N_("All of it went back already.")
    return Refundable(
        payment.id, payment.invoice_id, payment.vendor_id, row.number, payment.provider, payment.reference,
        Money(payment.amount_minor, payment.currency), Money(left, payment.currency), payment.at, why_not,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for: which payment, how much of it (minor units), why, and what they saw to be left.

    ``reference`` is the operator's own bank transfer, for payments that came by transfer.
    """

    payment_id: int
    amount_minor: int
    reason: str
    left_minor: int
    reference: str = ""


def request(vendor_id: int, invoice_id: int, wish: Wish, *, actor: Actor, now: datetime) -> int:
    """Write the intent and its job; gives its id. By bank transfer it is done already: somebody sent the money, and a
    credit note corrects our invoice by as much as none was written for before.

    Conflict when somebody else gave back of it since it was shown, or nothing may go back; Invalid (field ``amount``)
    for more than is left, (field ``reference``) for a transfer without one or one that is written down already.
    """
    _lock(vendor_id, invoice_id)
    payment = next((p for p in of_invoice(vendor_id, invoice_id) if p.payment_id == wish.payment_id), None)
    if payment is None:
        raise NotFound
    _check(payment, wish)
    by_hand = payment.provider == "transfer"
    refund = Refund(
        vendor_id=vendor_id,
        invoice_id=invoice_id,
        payment_id=payment.payment_id,
        provider=payment.provider,
        reference=wish.reference if by_hand else None,
        state=State.SUCCEEDED if by_hand else State.REQUESTED,
        currency=payment.paid.currency,
        amount_minor=wish.amount_minor,
        reason=wish.reason,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label,
        created_at=now,
        finished_at=now if by_hand else None,
    )
    db.session.add(refund)
    db.session.flush()
    _told(refund, actor, now)
    if by_hand:
        refund_notes.write(refund, actor=actor, now=now)
    _count(invoice_id)
    if by_hand:
        money_mails.refunded(refund, payment.number, now)
    else:
        outbox.enqueue(
            "billing.carry_on_refund",
            dedupe_key=f"refund:{refund.id}",
            delay=PATIENCE,
            vendor_id=vendor_id,
            refund_id=refund.id,
        )
    return refund.id


def _check(payment: Refundable, wish: Wish) -> None:
    if payment.why_not:
        raise Conflict(payment.why_not, code="not_refundable")
    if payment.left.minor != wish.left_minor:
        raise Conflict
    if not 0 < wish.amount_minor <= payment.left.minor:
        raise Invalid(fields={"amount": N_("Please enter an amount that is more than zero and not more than is left.")})
    if payment.provider == "transfer":
        check_reference(wish.reference)


def payout_cause(reference: str) -> str:
    """What a vendor's balance is told when the operator's transfer of this reference paid it out."""
    return f"payout:{reference}"[:120]


def check_reference(reference: str) -> None:
    """Invalid at the field ``reference`` without one, or when a transfer of the operator's was written down before."""
    if not reference:
        raise Invalid(fields={"reference": N_("Write the reference of the transfer by which you sent it back.")})
    known = select(Refund.id).where(Refund.provider == "transfer", Refund.reference == reference)
    with tenancy.unscoped("one transfer is written down once, whosever money it sends back"):
        paid_out = select(BalanceEntry.id).where(BalanceEntry.cause == payout_cause(reference))
        taken = db.session.scalar(known) is not None or db.session.scalar(paid_out) is not None
    if taken:
        raise Invalid(fields={"reference": N_("A refund with this reference is written down already.")})


def _lock(vendor_id: int, invoice_id: int) -> None:
    locked = select(Invoice.id).where(Invoice.id == invoice_id, Invoice.vendor_id == vendor_id).with_for_update()
    if db.session.scalar(locked) is None:
        raise NotFound


def _told(refund: Refund, actor: Actor, now: datetime) -> None:
    data = {"refund": refund.id, "invoice": refund.invoice_id, "amount": refund.amount_minor,
            "currency": refund.currency, "reason": refund.reason}  # fmt: skip
    audit.record(actor, "invoice.refunded", vendor_id=refund.vendor_id, data=data, now=now)


def _count(invoice_id: int) -> None:
    """Keep what went back of an invoice, and which of its payments went back whole."""
    db.session.flush()
    invoice = db.session.get_one(Invoice, invoice_id, populate_existing=True)
    back = dict(
        db.session.execute(
            select(Refund.payment_id, func.sum(Refund.amount_minor))
            .where(Refund.invoice_id == invoice_id, Refund.vendor_id == invoice.vendor_id, Refund.state.in_(LASTING))
            .group_by(Refund.payment_id)
        ).all()
    )
    invoice.refunded_minor = int(sum(back.values()))
    payments = select(Payment).where(Payment.invoice_id == invoice_id, Payment.vendor_id == invoice.vendor_id)
    for payment in db.session.scalars(payments.where(Payment.status != "failed")):
        whole = back.get(payment.id, 0) >= payment.amount_minor
        payment.status = "refunded" if whole else "succeeded"


# what the provider says -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Asked:
    """An intent, as its flow needs it."""

    id: int
    vendor_id: int
    state: State
    reference: str
    amount_minor: int


def asked(refund_id: int) -> Asked:
    """An intent with the payment's reference, as committed now; NotFound when there is none."""
    row = db.session.execute(
        select(Refund.id, Refund.vendor_id, Refund.state, Payment.reference, Refund.amount_minor)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.id == refund_id)
    ).first()
    if row is None:
        raise NotFound
    return Asked(row.id, row.vendor_id, State(row.state), row.reference, row.amount_minor)


def state_of(refund_id: int) -> State:
    """Where a refund stands now."""
    return State(db.session.scalars(select(Refund.state).where(Refund.id == refund_id)).one())


def payment_of(reference: str) -> tuple[int, int] | None:
    """(vendor, invoice) of a payment by Stripe's id, as far as we know it."""
    row = db.session.execute(
        select(Payment.vendor_id, Payment.invoice_id).where(
            Payment.provider == "stripe", Payment.reference == reference
        )
    ).first()
    return (row.vendor_id, row.invoice_id) if row else None


def mirror(reference: str, found: Sequence[CameBack], *, now: datetime) -> bool:
    """Make the refunds of a payment what Stripe says, those made in its dashboard too; False for an unknown payment.

    States only go forward, so an older answer changes nothing. The vendor is mailed once per refund, the operator when
    one came back from the bank.
    """
    known = payment_of(reference)
    if known is None:
        return False
    vendor_id, invoice_id = known
    _lock(vendor_id, invoice_id)
    payment = db.session.scalars(
        select(Payment).where(Payment.provider == "stripe", Payment.reference == reference)
    ).one()
    rows = list(db.session.scalars(_rows(payment)))
    for remote in found:
        refund = _row_of(rows, remote) or _made_elsewhere(payment, remote, now)
        _advance(refund, remote, now)
    _count(invoice_id)
    return True


def _rows(payment: Payment) -> Any:
    return (
        select(Refund)
        .where(Refund.payment_id == payment.id, Refund.vendor_id == payment.vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _row_of(rows: list[Refund], remote: CameBack) -> Refund | None:
    for row in rows:
        if row.reference == remote.reference or (row.reference is None and str(row.id) == remote.asked_as):
            return row
    return None


def _made_elsewhere(payment: Payment, remote: CameBack, now: datetime) -> Refund:
    refund = Refund(
        vendor_id=payment.vendor_id, invoice_id=payment.invoice_id, payment_id=payment.id, provider="stripe",
        reference=remote.reference, state=State.REQUESTED, currency=payment.currency, amount_minor=remote.amount_minor,
        reason=remote.reason, actor_kind=STRIPE.kind, actor_label=STRIPE.label, created_at=remote.at,
    )  # fmt: skip
    db.session.add(refund)
    db.session.flush()
    _told(refund, STRIPE, now)
    return refund


def _advance(refund: Refund, remote: CameBack, now: datetime) -> None:
    refund.reference = remote.reference
    before, after = State(refund.state), further(State(refund.state), remote.state)
    if before == after:
        return
    refund.state, refund.error = after, remote.error
    refund.finished_at = now if after in (State.SUCCEEDED, State.FAILED) else None
    number = db.session.scalar(select(Invoice.number).where(Invoice.id == refund.invoice_id))
    if after == State.FAILED:
        audit.record(STRIPE, "invoice.refund_failed", vendor_id=refund.vendor_id,
                     data={"refund": refund.id, "error": remote.error}, now=now)  # fmt: skip
        money_mails.refund_failed(refund, number, now)
    else:
        money_mails.refunded(refund, number, now)


def refuse(refund_id: int, why: str, *, now: datetime) -> None:
    """Stripe does not give it back: the intent ends, what it held is free again."""
    refund = db.session.get_one(Refund, refund_id)
    if refund.invoice_id is not None:
        _lock(refund.vendor_id, refund.invoice_id)
    db.session.refresh(refund, with_for_update=True)
    if refund.state == State.REQUESTED:
        refund.state, refund.error, refund.finished_at = State.FAILED, why[:500], now
    if refund.invoice_id is not None:
        _count(refund.invoice_id)


# what pages show ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund as lists show it."""

    id: int
    provider: str
    state: State
    amount: Money
    reason: str
    reference: str | None
    error: str | None
    by: str
    created_at: datetime
    finished_at: datetime | None


def shown(vendor_id: int, invoice_id: int) -> list[RefundRow]:
    """The refunds of one of the vendor's invoices, newest first."""
    rows = db.session.scalars(
        select(Refund)
        .where(Refund.vendor_id == vendor_id, Refund.invoice_id == invoice_id)
        .order_by(Refund.created_at.desc(), Refund.id.desc())
    )
    return [
        RefundRow(r.id, r.provider, State(r.state), Money(r.amount_minor, r.currency), r.reason, r.reference, r.error,
                  r.actor_label, r.created_at, r.finished_at)
        for r in rows
    ]  # fmt: skip

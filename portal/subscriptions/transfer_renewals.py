"""Renewals by transfer: invoiced ahead, reminded of, begun when paid, and behind when not (SUB-8, SUB-10)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.billing import transfers
from portal.billing.models import BankTransfer, Invoice
from portal.billing.papers import NewLine
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import WAITING, TransferState
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.money import Money
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions import changes, dunning, transfer_mails, transfer_periods
from portal.subscriptions.history import lock, note
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.proration import Period, period_from
from portal.subscriptions.rules import ChangeState, Ended, Provider, Status, When
from portal.subscriptions.transfer_periods import FIRST, RENEWAL, priced, upcoming, whole_period

Beside = Callable[[VendorSubscription, Period, str], Sequence[NewLine]]


def _nobody(_subscription: VendorSubscription, _period: Period, _currency: str) -> Sequence[NewLine]:
    return ()


#: Who else has lines in a renewal: the add-ons of the same interval. A room above sets it.
_beside: Beside = _nobody


def along(lines: Beside) -> None:
    """Let ``lines`` say what a renewal asks for beside the tier, for a period and in a currency."""
    global _beside
    _beside = lines


#: Days before the due date on which is reminded; 0 is the day itself.
REMINDERS = (3, 0)


@dataclass(frozen=True, slots=True)
class Due:
    """Something that time has brought; ``cause`` names it, so that it is looked at once."""

    id: int
    vendor_id: int
    cause: str


def due_renewals(now: datetime) -> Iterator[Due]:
    """Subscriptions paid by transfer whose next period wants an invoice, or has come."""
    ahead = timedelta(days=settings.current().renewal_ahead_days)
    rows = db.session.execute(
        select(
            VendorSubscription.id, VendorSubscription.vendor_id, VendorSubscription.period_end,
            VendorSubscription.cancel_at_period_end,
        ).where(
            VendorSubscription.provider == Provider.TRANSFER,
            VendorSubscription.status == Status.ACTIVE,
            VendorSubscription.period_end <= now + ahead,
            VendorSubscription.ended_at.is_(None),
        )
    )  # fmt: skip
    for row in rows:
        step = "end" if row.period_end <= now else str((row.period_end - now).days)
        ending = "ending" if row.cancel_at_period_end else "going on"
        yield Due(row.id, row.vendor_id, f"{row.id}:{row.period_end.isoformat()}:{step}:{ending}")


def tend(vendor_id: int, *, now: datetime) -> None:
    """Invoice the next period, begin it when it is paid, or fall behind when it is not; each once.

    Nothing is asked of a subscription that is cancelled: an invoice that was sent already is void, and only what is
    paid for begins.
    """
    subscription = lock(vendor_id)
    if subscription.provider != Provider.TRANSFER or subscription.status != Status.ACTIVE:
        return
    if subscription.cancel_at_period_end:
        take_back(subscription, by=SYSTEM, now=now)
        paid = upcoming(subscription)
        if paid is not None and subscription.period_end <= now:
            transfer_periods.begin(subscription, paid, actor=SYSTEM, now=now)
        return
    invoice = upcoming(subscription) or issue(subscription, now)
    if invoice is None or subscription.period_end > now:
        return
    if invoice.status == InvoiceStatus.PAID:
        transfer_periods.begin(subscription, invoice, actor=SYSTEM, now=now)
        settle_scheduled(subscription, now=now)
    else:
        dunning.fall_behind(subscription, since=subscription.period_end, now=now)


def issue(subscription: VendorSubscription, now: datetime) -> Invoice | None:
    """The proforma of the next period at its price: that of a change which is planned for it, else today's."""
    ahead = timedelta(days=settings.current().renewal_ahead_days)
    price_id = next_price(subscription, now)
    if price_id is None or subscription.period_end > now + ahead:
        return None
    price, tier = priced(price_id)
    start = subscription.period_end
    same_cycle = subscription.price_id is not None and priced(subscription.price_id)[0].cycle == price.cycle
    period = period_from(subscription.anchor_at or start if same_cycle else start, start, price.cycle)
    currency = price.amount.currency
    lines = [whole_period(tier, price, period), *_beside(subscription, period, currency)]
    invoice = transfer_periods.ask(subscription, lines, currency, reason=RENEWAL, due_at=start, now=now)
    note(subscription, "renewal_invoiced", actor=SYSTEM, now=now, invoice=invoice.proforma_number, tier=tier.code,
         start=period.start.isoformat(), end=period.end.isoformat())  # fmt: skip
    return invoice


def scheduled(subscription: VendorSubscription) -> TierChange | None:
    """The change that is planned for the end of the period."""
    change = changes.under_way(subscription.id)
    return change if change is not None and change.state == ChangeState.SCHEDULED else None


def next_price(subscription: VendorSubscription, now: datetime) -> int | None:
    """The price of the next period. A planned change to a tier that was retired ends here, and is told."""
    change = scheduled(subscription)
    if change is None:
        return subscription.price_id
    if not priced(change.to_price_id)[1].is_active:
        changes.end(change, subscription, Ended.RETIRED, actor=SYSTEM, now=now)
        return subscription.price_id
    return change.to_price_id


def settle_scheduled(subscription: VendorSubscription, *, now: datetime) -> None:
    """The period began at the price of the planned change: it has happened."""
    change = scheduled(subscription)
    if change is not None and change.when_to_apply == When.NEXT and change.to_price_id == subscription.price_id:
        changes.applied(change, subscription, Money(0, change.currency), now=now)


def reissue(subscription: VendorSubscription, *, now: datetime) -> None:
    """Where the price of the next period is another one now, void its open invoice and ask anew.

    Conflict when money for it has come in.
    """
    invoice = upcoming(subscription)
    price_id = next_price(subscription, now)
    if invoice is None or any(line.price_id == price_id for line in invoice.lines):
        return
    refuse_if_paid_ahead(invoice)
    transfers.withdraw(invoice, by=SYSTEM.label, reason=None, now=now)
    issue(subscription, now)


def refuse_if_paid_ahead(invoice: Invoice | None) -> None:
    """Conflict when money has come in for the next period: its price stands."""
    if invoice is not None and (invoice.status == InvoiceStatus.PAID or invoice.paid_minor > 0):
        raise Conflict(
            N_("The coming period is paid for already. The plan can be changed once it has begun."), code="paid_ahead"
        )


def refuse_preview(vendor_id: int, period_end: datetime) -> None:
    """Conflict ``paid_ahead`` as ``refuse_if_paid_ahead``, for whoever only looks: nothing is locked."""
    refuse_if_paid_ahead(
        db.session.scalar(
            select(Invoice)
            .where(Invoice.vendor_id == vendor_id, Invoice.provider == Provider.TRANSFER)
            .where(Invoice.reason.in_((FIRST, RENEWAL)), Invoice.period_start >= period_end)
            .where(Invoice.status.in_((InvoiceStatus.OPEN, InvoiceStatus.PAID)), Invoice.applied_at.is_(None))
            .order_by(Invoice.id.desc())
            .limit(1)
        )
    )


def take_back(subscription: VendorSubscription, *, by: Actor, now: datetime) -> None:
    """The subscription ends: its open renewal is asked for no longer. What came in for it goes to the balance."""
    invoice = upcoming(subscription)
    if invoice is not None and invoice.status == InvoiceStatus.OPEN:
        transfers.withdraw(invoice, by=by.label, reason=None, now=now)


def due_reminders(now: datetime) -> Iterator[Due]:
    """Transfers that are waited for and due within three days."""
    rows = db.session.execute(
        select(BankTransfer.id, BankTransfer.vendor_id, BankTransfer.due_at).where(
            BankTransfer.state.in_((TransferState.AWAITING, TransferState.PART_PAID)),
            BankTransfer.due_at > now,
            BankTransfer.due_at <= now + timedelta(days=max(REMINDERS)),
        )
    )
    for row in rows:
        yield Due(row.id, row.vendor_id, f"{row.id}:{reminder(row.due_at, now)}")


def reminder(due_at: datetime, now: datetime) -> int:
    """Which reminder belongs to this moment: 0 on the last day, 3 on those before."""
    return 0 if due_at - now <= timedelta(days=1) else max(REMINDERS)


def remind(transfer_id: int, *, now: datetime) -> bool:
    """Remind of one transfer, once for three days and once for the day; not when a proof is there or it is paid."""
    vendor_id = transfers.vendor_of(transfer_id)
    lock(vendor_id)
    transfer, invoice = transfers.locked(transfer_id, vendor_id)
    if transfer.state not in WAITING or transfer.state == TransferState.PROOF_SENT or transfer.due_at <= now:
        return False
    days = reminder(transfer.due_at, now)
    step = REMINDERS.index(days) + 1
    if transfer.reminded >= step or transfer.created_at > now - timedelta(days=1):
        return False
    transfer.reminded = step
    transfer_mails.instructions(transfer, invoice, now, days_left=days)
    return True

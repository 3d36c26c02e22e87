"""Buying by bank transfer, and what staff decide about the money (SUB-10, ADM-9): where it becomes rights.

The verbs flush, inside the caller's unit of work; each locks vendor, subscription, order, invoice, transfer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.addons import transfers as addon_transfers
from portal.audit import service as audit
from portal.billing import statements, transfers
from portal.billing.models import BankStatementLine, BankTransfer, Invoice
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import CLOSED, WAITING, TransferState
from portal.catalog.rules import Price, Tier
from portal.checkout import addon_orders, orders
from portal.checkout.models import Order, OrderItem, Purchase
from portal.checkout.orders import PATIENCE, give_way, open_orders
from portal.checkout.rules import OrderState
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions import transfer_changes, transfer_mails, transfer_periods, transfer_renewals
from portal.subscriptions.history import lock, note, refuse_unless
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.proration import period_from, second
from portal.subscriptions.rules import Provider, Status
from portal.subscriptions.states import Event, after
from portal.subscriptions.transfer_periods import CHANGE, FIRST, RENEWAL, priced

#: How far from today staff may set the beginning of a paid period.
START_BACK, START_AHEAD = timedelta(days=62), timedelta(days=366)


def open_order(vendor_id: int, price: Price, tier: Tier, *, actor: Actor, now: datetime) -> Order:
    """The vendor's order for this price by transfer, with its proforma: the present one, else a new one.

    Open orders for anything else give way. A running trial stays as it is; without one the vendor waits for payment.
    Where its balance covers everything the order is fulfilled at once. Conflict when a tier is paid for already, or
    part of the money for another order has come in.
    """
    now = second(now)
    subscription = lock(vendor_id)
    orders.refuse_if_paid(subscription)
    for order in open_orders(vendor_id):
        if order.provider == Provider.TRANSFER and order.price_id == price.id:
            return order
        give_way(order, actor=actor, now=now)
    expires_at = now + timedelta(days=settings.current().transfer_days) + PATIENCE
    order = orders.for_tier(subscription, price, tier, Provider.TRANSFER, expires_at=expires_at, actor=actor, now=now)
    invoice = _asked(subscription, order, price, tier, now)
    if invoice.status == InvoiceStatus.PAID:
        _fulfil(subscription, order, invoice, actor=SYSTEM, start=None, now=now)
    elif subscription.status in (Status.TRIAL_ENDED, Status.CANCELLED):
        _stand(subscription, Event.AWAIT_PAYMENT, actor, now)
    return order


def _asked(subscription: VendorSubscription, order: Order, price: Price, tier: Tier, now: datetime) -> Invoice:
    """The proforma; its period is dated anew when it is paid, unless a trial says when it begins."""
    runs = subscription.status == Status.TRIAL and subscription.trial_ends_at is not None
    start = second(max(subscription.trial_ends_at or now, now)) if runs else now
    line = transfer_periods.whole_period(tier, price, period_from(start, start, price.cycle))
    invoice = transfer_periods.ask(
        subscription, [line], order.currency, reason=FIRST, due_at=order.expires_at - PATIENCE, now=now
    )
    order.invoice_id = invoice.id
    note(subscription, "transfer_chosen", actor=Actor(order.actor_kind, order.actor_label, order.actor_id),  # type: ignore[arg-type]
         now=now, tier=tier.code, proforma=invoice.proforma_number)  # fmt: skip
    db.session.flush()
    return invoice


def _stand(subscription: VendorSubscription, event: Event, actor: Actor, now: datetime) -> None:
    refuse_unless(subscription, event, actor)
    before, subscription.status = subscription.status, after(subscription.status, event)
    note(subscription, "status_changed", actor=actor, now=now, before=str(before), after=str(subscription.status))


@dataclass(frozen=True, slots=True)
class Approval:
    """What staff say came in: how much (minor units), booked when, and what they had before their eyes.

    ``start`` sets when the paid period begins, and with it the renewal date; ``line_id`` is the booking of a statement.
    """

    amount_minor: int
    booked_at: datetime
    base_version: int
    start: datetime | None = None
    line_id: int | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """Where an approval led; ``second`` says that somebody else must agree before anything happens, ``closed`` that
    the money is kept as credit because it is not asked for any more.
    """

    second: bool
    open_minor: int = 0
    surplus_minor: int = 0
    closed: bool = False


def approve(transfer_id: int, approval: Approval, *, actor: Actor, now: datetime) -> Decided:
    """Count money as received; when all has come in, what it pays for happens in the same transaction (ADM-9).

    Never twice: Conflict when the transfer was decided, or changed since ``base_version``. Above the operator's limit
    two different people must say the same. A booking for something that was rejected or cancelled becomes the vendor's
    credit. Invalid at the field for an absurd amount or date.
    """
    vendor_id = transfers.vendor_of(transfer_id)
    subscription = lock(vendor_id)
    order = _order_of(transfer_id, vendor_id)
    transfer, invoice = transfers.locked(transfer_id, vendor_id)
    line = statements.taken(approval.line_id, transfer) if approval.line_id else None
    if line is not None and transfer.state in CLOSED:
        return _keep(transfer, invoice, line, approval, actor, now)
    transfers.expect_waiting(transfer, approval.base_version)
    _check_start(approval.start, now)
    limit = settings.current().second_approval_above_minor
    told = {"transfer": transfer.reference, "amount_minor": approval.amount_minor, "currency": transfer.currency}
    first = transfer.first_approval or {}
    if transfers.needs_second(
        transfer, approval.amount_minor, actor, limit, now, line_id=approval.line_id, start=approval.start
    ):
        audit.record(actor, "transfer.first_approval", vendor_id=vendor_id, data=told, now=now)
        return Decided(second=True)
    line = line or statements.still_new(first.get("line_id"))
    booked = transfers.book(
        transfer, invoice, approval.amount_minor, at=approval.booked_at, actor=actor, now=now,
        source=line.fingerprint[:40] if line else None,
    )  # fmt: skip
    if line is not None:
        statements.matched(line, transfer, by=actor.label)
    audit.record(actor, "transfer.approved", vendor_id=vendor_id, data={**told, "open": booked.open_minor}, now=now)
    if booked.is_paid:
        settle(subscription, order, invoice, actor=actor, start=approval.start, now=now)
        _tell(subscription, transfer, invoice, now)
    else:
        transfer_mails.received(transfer, invoice, now, amount_minor=approval.amount_minor)
    return Decided(second=False, open_minor=booked.open_minor, surplus_minor=booked.surplus_minor)


def _keep(
    transfer: BankTransfer, invoice: Invoice, line: BankStatementLine, approval: Approval, actor: Actor, now: datetime
) -> Decided:
    transfers.keep_as_credit(
        transfer, invoice, line.amount_minor, at=approval.booked_at, source=line.fingerprint[:40], now=now
    )
    statements.matched(line, transfer, by=actor.label)
    told = {"transfer": transfer.reference, "amount_minor": line.amount_minor, "currency": line.currency}
    audit.record(actor, "transfer.kept_as_credit", vendor_id=transfer.vendor_id, data=told, now=now)
    return Decided(second=False, surplus_minor=line.amount_minor, closed=True)


def _order_of(transfer_id: int, vendor_id: int) -> Order | None:
    return db.session.scalar(
        select(Order)
        .join(BankTransfer, BankTransfer.invoice_id == Order.invoice_id)
        .where(BankTransfer.id == transfer_id, Order.vendor_id == vendor_id)
        .with_for_update(of=Order)
        .execution_options(populate_existing=True)
    )


def _check_start(start: datetime | None, now: datetime) -> None:
    if start is not None and not now - START_BACK <= start <= now + START_AHEAD:
        raise Invalid(fields={"start": N_("Choose a day within the last two months or the coming year.")})


def settle(
    subscription: VendorSubscription, order: Order | None, invoice: Invoice, *, actor: Actor, start: datetime | None,
    now: datetime,
) -> None:  # fmt: skip
    """A paid invoice of ours does what it was written for: an order, a renewal, or a change of the tier."""
    if order is not None and order.kind == "addon":
        addon_orders.fulfil_transfer(subscription, order, invoice, actor=actor, now=now)
    elif order is not None:
        _fulfil(subscription, order, invoice, actor=actor, start=start, now=now)
    elif invoice.reason in addon_transfers.OURS:
        addon_transfers.paid(invoice.vendor_id, invoice, actor=actor, now=now)
    elif invoice.reason == RENEWAL:
        transfer_periods.renewal_paid(subscription, invoice, start=start, actor=actor, now=now)
        transfer_renewals.settle_scheduled(subscription, now=now)
        addon_transfers.paid(invoice.vendor_id, invoice, actor=actor, now=now)
    elif invoice.reason == CHANGE:
        transfer_changes.paid(subscription, invoice, now=now)


def _tell(subscription: VendorSubscription, transfer: BankTransfer, invoice: Invoice, now: datetime) -> None:
    db.session.refresh(invoice, ["lines"])
    line = next((i for i in invoice.lines if i.price_id and i.amount_minor > 0), None)
    tier = priced(line.price_id)[1].name if line is not None and line.price_id else invoice.lines[-1].description
    until = (line or invoice.lines[-1]).period_end or subscription.period_end
    transfer_mails.approved(transfer, invoice, now, tier=tier, until=until)


def _fulfil(
    subscription: VendorSubscription, order: Order, invoice: Invoice, *, actor: Actor, start: datetime | None,
    now: datetime,
) -> None:  # fmt: skip
    """The order's money is there: purchase, plan, rights and credits, once."""
    if order.state != OrderState.OPEN:
        return
    order.state, order.fulfilled_at = OrderState.FULFILLED, now
    item = db.session.scalars(
        select(OrderItem).where(OrderItem.order_id == order.id, OrderItem.vendor_id == order.vendor_id)
    ).one()
    purchase = Purchase(
        vendor_id=order.vendor_id,
        order_id=order.id,
        kind=order.kind,
        tier_id=priced(order.price_id)[1].id if order.price_id else None,
        stripe_price_id=item.stripe_price_id,
        description=item.description,
        currency=order.currency,
        amount_minor=order.asked_minor,
        provider=order.provider,
        details={"invoice": invoice.number},
        paid_at=now,
    )
    db.session.add(purchase)
    transfer_periods.take_over(subscription, invoice, start=start, actor=actor, now=now)


def reject(transfer_id: int, reason: str, *, base_version: int, actor: Actor, now: datetime) -> None:
    """The money is not there, or the proof proves nothing; the vendor is told why.

    An order or a change ends with it, and what came in of it goes to the balance. A renewal is asked for further.
    Invalid at the field ``reason`` without one.
    """
    if not reason.strip():
        raise Invalid(fields={"reason": N_("Say why: the vendor reads it.")})
    vendor_id = transfers.vendor_of(transfer_id)
    subscription = lock(vendor_id)
    order = _order_of(transfer_id, vendor_id)
    transfer, invoice = transfers.locked(transfer_id, vendor_id)
    transfers.expect_waiting(transfer, base_version)
    data = {"transfer": transfer.reference, "reason": reason}
    audit.record(actor, "transfer.rejected", vendor_id=vendor_id, data=data, now=now)
    if invoice.reason in (RENEWAL, addon_transfers.RENEWAL):
        transfers.ask_further(transfer, reason=reason, by=actor.label, now=now)
    else:
        transfers.withdraw(invoice, by=actor.label, reason=reason, now=now, rejected=True)
        _end(subscription, order, invoice, actor, now)
    transfer_mails.rejected(transfer, invoice, now, reason=reason)


def cancel(transfer_id: int, vendor_id: int, *, actor: Actor, now: datetime) -> None:
    """The vendor does not want to pay this after all; again changes nothing.

    Conflict for a renewal (it ends by cancelling the subscription) and when part of the money has come in.
    """
    subscription = lock(vendor_id)
    order = _order_of(transfer_id, vendor_id)
    transfer, invoice = transfers.locked(transfer_id, vendor_id)
    if transfer.state == TransferState.CANCELLED:
        return
    transfers.expect_waiting(transfer)
    if invoice.reason == RENEWAL:
        raise Conflict(N_("A renewal ends with the subscription. Cancel that instead."), code="renewal")
    if invoice.reason == addon_transfers.RENEWAL:
        raise Conflict(N_("A renewal ends with the add-on. Cancel that instead."), code="renewal")
    if transfer.received_minor > 0:
        raise Conflict(N_("Part of the money has arrived. Please write to support."), code="part")
    transfers.withdraw(invoice, by=actor.label, reason=None, now=now)
    _end(subscription, order, invoice, actor, now)
    audit.record(actor, "transfer.cancelled", vendor_id=vendor_id, data={"transfer": transfer.reference}, now=now)


def _end(subscription: VendorSubscription, order: Order | None, invoice: Invoice, actor: Actor, now: datetime) -> None:
    """What the transfer was for does not happen. Nobody waits for payment any more."""
    if order is not None and order.state == OrderState.OPEN:
        order.state = OrderState.CANCELLED
        stop_waiting(subscription, now=now)
    elif invoice.reason == CHANGE:
        transfer_changes.give_up(subscription, invoice, actor=actor, now=now)


def stop_waiting(subscription: VendorSubscription, *, now: datetime) -> None:
    """No order by transfer is open any more: the plan is closed as it was before, not "waiting for payment"."""
    if subscription.status == Status.PENDING_PAYMENT:
        came_back = subscription.cancelled_at is not None or subscription.provider != Provider.NONE
        _stand(subscription, Event.END if came_back else Event.STOP_WAITING, SYSTEM, now)


def overdue_orders(now: datetime) -> list[tuple[int, int]]:
    """(transfer, vendor) of orders by transfer that nobody paid for two weeks after they were due."""
    rows = db.session.execute(
        select(BankTransfer.id, BankTransfer.vendor_id)
        .join(Order, Order.invoice_id == BankTransfer.invoice_id)
        .where(
            Order.state == OrderState.OPEN,
            Order.provider == Provider.TRANSFER,
            Order.expires_at <= now,
            BankTransfer.state == TransferState.AWAITING,
        )
    )
    return [(row.id, row.vendor_id) for row in rows]


def lapse(transfer_id: int, vendor_id: int, *, now: datetime) -> None:
    """Wait no longer for an order that was not paid; the vendor is told and may order again."""
    subscription = lock(vendor_id)
    order = _order_of(transfer_id, vendor_id)
    transfer, invoice = transfers.locked(transfer_id, vendor_id)
    if order is None or transfer.state != TransferState.AWAITING or order.expires_at > now:
        return
    reason = N_("It was not paid in time.")
    transfers.withdraw(invoice, by=SYSTEM.label, reason=reason, now=now)
    _end(subscription, order, invoice, SYSTEM, now)
    transfer_mails.rejected(transfer, invoice, now, reason=reason)


def after_end(vendor_id: int, *, now: datetime) -> None:
    """The subscription has ended: nothing that was asked for it before is waited for."""
    subscription = lock(vendor_id)
    if subscription.status != Status.CANCELLED:
        return
    ended_at = subscription.cancelled_at or now
    for order in open_orders(vendor_id, None):
        if order.provider == Provider.TRANSFER and order.created_at <= ended_at:
            order.state = OrderState.CANCELLED
    waiting = select(BankTransfer).where(BankTransfer.vendor_id == vendor_id, BankTransfer.state.in_(WAITING))
    for transfer in db.session.scalars(waiting.where(BankTransfer.created_at <= ended_at)):
        _, invoice = transfers.locked(transfer.id, vendor_id)
        transfers.withdraw(invoice, by=SYSTEM.label, reason=None, now=now)
        transfer_changes.give_up(subscription, invoice, actor=SYSTEM, now=now)

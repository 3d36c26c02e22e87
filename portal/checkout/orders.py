"""What every order has in common, whatever is ordered and whoever takes the money."""

from datetime import datetime, timedelta

from sqlalchemy import select

from portal.billing import transfers
from portal.billing.models import BankTransfer, Invoice
from portal.billing.rules import InvoiceStatus
from portal.checkout.models import Order
from portal.checkout.rules import OrderState
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.text import N_
from portal.subscriptions.history import lock
from portal.subscriptions.models import VendorSubscription

#: How long after its due date an unpaid order by transfer is still waited for.
PATIENCE = timedelta(days=14)


def locked(order_id: int) -> tuple[VendorSubscription, Order]:
    """The order with its vendor's subscription, locked in the house's order."""
    vendor_id = db.session.scalar(select(Order.vendor_id).where(Order.id == order_id))
    if vendor_id is None:
        raise NotFound
    subscription = lock(vendor_id)
    order = db.session.scalars(
        select(Order).where(Order.id == order_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    return subscription, order


def open_orders(vendor_id: int, kind: str | None = "subscription") -> list[Order]:
    """What the vendor asked to buy and nobody paid yet, under a lock: a tier, an add-on, or (None) anything."""
    wanted = select(Order).where(Order.vendor_id == vendor_id, Order.state == OrderState.OPEN)
    if kind is not None:
        wanted = wanted.where(Order.kind == kind)
    return list(db.session.scalars(wanted.order_by(Order.id).with_for_update()))


def give_way(order: Order, *, actor: Actor, now: datetime) -> None:
    """Another order takes this one's place; its proforma is void. Conflict when part of its money has come in."""
    invoice, transfer = _papers_of(order)
    if transfer is not None and transfer.received_minor > 0:
        raise Conflict(N_("Part of the money for the earlier order has arrived. Please write to support."), code="part")
    order.state = OrderState.CANCELLED
    if invoice is not None and invoice.status == InvoiceStatus.OPEN:
        transfers.withdraw(invoice, by=actor.label, reason=None, now=now)


def _papers_of(order: Order) -> tuple[Invoice | None, BankTransfer | None]:
    if order.invoice_id is None:
        return None, None
    transfer = transfers.of_invoice(order.invoice_id, order.vendor_id)
    return db.session.get(Invoice, order.invoice_id), transfer

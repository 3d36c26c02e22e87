"""What every order has in common, whatever is ordered and whoever takes the money."""

from datetime import datetime, timedelta

from sqlalchemy import select

from portal.billing import transfers
from portal.billing.models import BankTransfer, Invoice
from portal.billing.rules import InvoiceStatus
from portal.catalog.rules import Price, Tier
from portal.checkout.models import Order, OrderItem
from portal.checkout.rules import PAID_FOR, OrderState, free_until
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions.history import lock
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Provider, Status

#: How long after its due date an unpaid order by transfer is still waited for.
PATIENCE = timedelta(days=14)


def refuse_if_paid(subscription: VendorSubscription) -> None:
    """Conflict when a tier is paid for already: it is changed, not bought once more."""
    if subscription.provider != Provider.NONE and subscription.status in PAID_FOR:
        raise Conflict(N_("This vendor already pays for a tier. Change the plan instead."), code="already_paid")


def for_tier(
    subscription: VendorSubscription, price: Price, tier: Tier, provider: Provider, *, expires_at: datetime,
    actor: Actor, now: datetime,
) -> Order:  # fmt: skip
    """A new order of a tier; what is left of a running trial stays free."""
    item = OrderItem(description=tier.name, amount_minor=price.amount.minor, stripe_price_id=price.stripe_price_id)
    order = Order(
        kind="subscription",
        price_id=price.id,
        free_until=free_until(subscription.trial_ends_at, now) if subscription.status == Status.TRIAL else None,
    )
    return write(order, item, subscription.vendor_id, price.amount, provider, expires_at=expires_at, actor=actor,
                 now=now)  # fmt: skip


def write(
    order: Order, item: OrderItem, vendor_id: int, asked: Money, provider: Provider, *, expires_at: datetime,
    actor: Actor, now: datetime,
) -> Order:  # fmt: skip
    """Keep a new order with its one item; ``asked`` is what is to be paid for all of it."""
    order.vendor_id = item.vendor_id = vendor_id
    order.provider, order.state, order.attempt = provider, OrderState.OPEN, 1
    order.currency, order.asked_minor = asked.currency, asked.minor
    order.actor_kind, order.actor_id, order.actor_label = actor.kind, actor.id, actor.label
    order.created_at, order.expires_at = now, expires_at
    db.session.add(order)
    db.session.flush()
    item.order_id = order.id
    db.session.add(item)
    db.session.flush()
    return order


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

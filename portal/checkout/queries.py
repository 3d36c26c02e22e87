"""Reads of orders."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from portal.checkout.models import Order, OrderItem
from portal.checkout.rules import OrderState
from portal.kit.db import db
from portal.kit.direct import Direct
from portal.kit.money import Money


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as flows and pages read it; ``price_id`` is a tier's, an add-on's stands on its item."""

    id: int
    vendor_id: int
    state: OrderState
    price_id: int | None
    asked: Money
    free_until: datetime | None
    attempt: int
    stripe_session_id: str | None
    checkout_url: str | None
    expires_at: datetime
    note: str | None
    kind: str = "subscription"
    provider: str = "stripe"
    invoice_id: int | None = None


def _view(order: Order | None) -> OrderView | None:
    if order is None:
        return None
    return OrderView(
        order.id, order.vendor_id, OrderState(order.state), order.price_id, Money(order.asked_minor, order.currency),
        order.free_until, order.attempt, order.stripe_session_id, order.checkout_url, order.expires_at, order.note,
        order.kind, order.provider, order.invoice_id,
    )  # fmt: skip


def order(order_id: int) -> OrderView | None:
    """An order by id, as committed now."""
    found = select(Order).where(Order.id == order_id).execution_options(populate_existing=True)
    return _view(db.session.scalar(found))


@dataclass(frozen=True, slots=True)
class ItemView:
    """What was ordered, as it was asked for."""

    description: str
    quantity: int
    stripe_price_id: str | None
    addon_price_id: int | None


def item(order_id: int) -> ItemView:
    """The one line of an order."""
    columns = (OrderItem.description, OrderItem.quantity, OrderItem.stripe_price_id, OrderItem.addon_price_id)
    row = db.session.execute(select(*columns).where(OrderItem.order_id == order_id)).one()
    return ItemView(row.description, row.quantity, row.stripe_price_id, row.addon_price_id)


def by_session(session_id: str) -> OrderView | None:
    """The order that a Checkout session was opened for."""
    return _view(db.session.scalar(select(Order).where(Order.stripe_session_id == session_id)))


def waits_for_item(vendor_id: int) -> bool:
    """Is an order open whose add-on comes onto the tier's subscription?"""
    return bool(_WAITS({"vendor": vendor_id}))


_WAITS = Direct(
    select(Order.id)
    .where(Order.vendor_id == bindparam("vendor"), Order.kind == "addon", Order.state == OrderState.OPEN)
    .where(Order.provider == "stripe", Order.stripe_session_id.is_(None))
    .limit(1)
)


def of_vendor(vendor_id: int, session_id: str) -> OrderView | None:
    """The vendor's own order of that session; another vendor's is not found."""
    return _view(
        db.session.scalar(select(Order).where(Order.vendor_id == vendor_id, Order.stripe_session_id == session_id))
    )


def open_of(vendor_id: int, kind: str = "subscription") -> list[OrderView]:
    """The vendor's orders of a tier (or of add-ons) that wait for payment."""
    wanted = (Order.vendor_id == vendor_id, Order.kind == kind, Order.state == OrderState.OPEN)
    found = db.session.scalars(select(Order).where(*wanted).order_by(Order.id))
    return [view for order in found if (view := _view(order))]

"""Orders of add-ons: opened with a snapshot of price and configuration, fulfilled at most once.

The verbs flush, inside the caller's unit of work, with vendor, subscription and order locked in that order.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from portal.addons import purchase, transfers
from portal.addons import service as addons
from portal.addons.mirror import Own
from portal.addons.models import VendorAddon
from portal.addons.purchase import Offer, Way, Wish
from portal.addons.rules import Origin
from portal.addons.service import New
from portal.audit import service as audit
from portal.billing import balance, papers
from portal.billing import service as billing
from portal.billing.models import Invoice
from portal.billing.rules import InvoiceStatus
from portal.billing.stripe_invoice import StripeInvoice
from portal.checkout import orders
from portal.checkout.models import Order, OrderItem, Purchase
from portal.checkout.rules import OrderState, Paid, mismatch
from portal.identity import queries as identity
from portal.kit import outbox
from portal.kit.actor import STRIPE, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, PortalError
from portal.kit.money import Money
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions import mirror as subscriptions
from portal.subscriptions import transfer_periods
from portal.subscriptions.history import lock
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.proration import second
from portal.subscriptions.rules import Provider

#: How long a Checkout page or a confirmation of the card stays open.
OPEN_FOR = timedelta(hours=1)


def open_order(vendor_id: int, found: Offer, wish: Wish, way: Way, *, actor: Actor, now: datetime) -> Order:
    """The vendor's open order for exactly this, else a new one; other open orders of the same product give way.

    So two tabs lead to one order. Raises what ``purchase.check`` raises, and Conflict when part of the money for
    another order has come in.
    """
    subscription = lock(vendor_id)
    purchase.check(vendor_id, found, wish)
    provider = Provider.TRANSFER if way == Way.TRANSFER else Provider.STRIPE
    for order in orders.open_orders(vendor_id, "addon"):
        item = item_of(order)
        if _is_same(order, item, found, wish, provider, now):
            return order
        if _is_rival(item, found, wish):
            orders.give_way(order, actor=actor, now=now)
    order = _written(subscription, found, wish, provider, actor, now)
    if way == Way.TRANSFER:
        _ask(subscription, order, found, wish, now)
    return order


def item_of(order: Order) -> OrderItem:
    """What was ordered."""
    return db.session.scalars(
        select(OrderItem).where(OrderItem.order_id == order.id, OrderItem.vendor_id == order.vendor_id)
    ).one()


def _is_same(order: Order, item: OrderItem, found: Offer, wish: Wish, provider: Provider, now: datetime) -> bool:
    lasts = provider == Provider.TRANSFER or order.expires_at > now + timedelta(minutes=31)
    asked = (item.addon_price_id, item.quantity, item.config or {})
    return order.provider == provider and lasts and asked == (found.price_id, wish.quantity, dict(wish.config))


def _is_rival(item: OrderItem, found: Offer, wish: Wish) -> bool:
    """Would having both be one too many: the same name, or the same product where there is only one of it?"""
    if item.addon_price_id is None or purchase.offer(item.addon_price_id).product.id != found.product.id:
        return False
    return (item.config or {}).get("name") == wish.config.get("name")


def _written(
    subscription: VendorSubscription, found: Offer, wish: Wish, provider: Provider, actor: Actor, now: datetime
) -> Order:
    waits = timedelta(days=settings.current().transfer_days) + orders.PATIENCE
    item = OrderItem(
        description=_named(found, wish), quantity=wish.quantity, amount_minor=found.each.minor,
        stripe_price_id=found.stripe_price_id, addon_price_id=found.price_id, config=dict(wish.config),
    )  # fmt: skip
    return orders.write(
        Order(kind="addon"), item, subscription.vendor_id, found.total(wish.quantity), provider,
        expires_at=now + (waits if provider == Provider.TRANSFER else OPEN_FOR), actor=actor, now=now,
    )  # fmt: skip


def _named(found: Offer, wish: Wish) -> str:
    return transfers.described(found, _detail(found, wish.config))


def _detail(found: Offer, config: Any) -> str:
    return ", ".join(part for part in (str(config.get("shown", "")), found.variant) if part)


def _ask(subscription: VendorSubscription, order: Order, found: Offer, wish: Wish, now: datetime) -> None:
    """The proforma. Where the vendor's balance covers it all, it is fulfilled at once."""
    line = transfers.first(subscription, found, wish.quantity, _detail(found, wish.config), now)
    due_at = order.expires_at - orders.PATIENCE
    if line.proration and line.period_end is not None:
        due_at = min(due_at, line.period_end)
    invoice = transfer_periods.ask(
        subscription, [line], order.currency, reason=transfers.FIRST, due_at=due_at, now=now
    )  # fmt: skip
    order.invoice_id = invoice.id
    db.session.flush()
    if invoice.status == InvoiceStatus.PAID:
        fulfil_transfer(subscription, order, invoice, actor=_of(order), now=now)


def _of(order: Order) -> Actor:
    return Actor(order.actor_kind, order.actor_label, order.actor_id)  # type: ignore[arg-type]


def fulfil_transfer(
    subscription: VendorSubscription, order: Order, invoice: Invoice, *, actor: Actor, now: datetime
) -> VendorAddon | None:
    """The money of an order by transfer is there: the add-on begins, once. None when it had begun before.

    What cannot be had any more (bought meanwhile in another way) is refused, and the money is the vendor's credit.
    """
    if order.state != OrderState.OPEN:
        return None
    item = item_of(order)
    found = purchase.offer(item.addon_price_id or 0)
    try:
        purchase.check(order.vendor_id, found, Wish(found.price_id, item.quantity, item.config or {}))
    except PortalError as error:
        _refuse_transfer(order, invoice, error.code, actor, now)
        return None
    order.state, order.fulfilled_at = OrderState.FULFILLED, second(now)
    _record(order, item, found, {"invoice": invoice.number}, now)
    (line,) = invoice.lines
    began = transfers.begun(line, found, now)
    invoice.period_start, invoice.period_end = began.period_start, began.period_end
    addon = _add(order, item, found, began, actor, now)
    line.vendor_addon_id = addon.id
    billing.mark_applied(invoice, now)
    db.session.flush()
    transfers.refresh(subscription, now=now)
    return addon


def _refuse_transfer(order: Order, invoice: Invoice, why: str, actor: Actor, now: datetime) -> None:
    order.state, order.note = OrderState.REFUSED, why[:200]
    noted = papers.credit(invoice, None, reason="Not available any more", cause=f"order:{order.id}", actor=actor,
                          now=now)  # fmt: skip
    balance.add(
        order.vendor_id, Money(noted.total_minor, noted.currency), cause=f"order:{order.id}", description=noted.number,
        actor_label=actor.label, now=now, invoice_id=invoice.id,
    )  # fmt: skip
    billing.mark_applied(invoice, now)
    audit.record(actor, "order.refused", vendor_id=order.vendor_id, data={"order": order.id, "differs": why}, now=now)


def _add(order: Order, item: OrderItem, found: Offer, paid: addons.Paid, actor: Actor, now: datetime) -> VendorAddon:
    new = New(order.vendor_id, found.product, Origin.BOUGHT, found.variant, item.quantity, dict(item.config or {}),
              paid, item.id)  # fmt: skip
    return addons.add(new, actor=_of(order), now=now)


def _record(order: Order, item: OrderItem, found: Offer, details: dict[str, Any], now: datetime) -> None:
    db.session.add(
        Purchase(
            vendor_id=order.vendor_id,
            order_id=order.id,
            kind="addon",
            addon_id=found.product.id,
            stripe_price_id=item.stripe_price_id,
            description=item.description,
            currency=order.currency,
            amount_minor=order.asked_minor,
            provider=order.provider,
            details=details,
            paid_at=now,
        )
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """What Stripe says about what was agreed to: a subscription of its own, or an item of the tier's."""

    paid: Paid
    own: Own
    invoice: StripeInvoice | None
    is_item: bool = False


def fulfil(order_id: int, settled: Settled, *, now: datetime) -> bool:
    """Turn paid money into an add-on; True when this call did it, False when it was done before or is refused.

    What was paid is compared with what was asked, and whether the vendor may still have it: if not, the order is
    refused, and a job ends it at Stripe and gives the money back.
    """
    subscription, order = orders.locked(order_id)
    if order.state in (OrderState.FULFILLED, OrderState.REFUSED):
        return False
    item = item_of(order)
    found = purchase.offer(item.addon_price_id or 0)
    if wrong := _wrong(order, item, found, settled):
        return _refuse(order, settled, wrong, now)
    order.state, order.fulfilled_at = OrderState.FULFILLED, now
    _record(order, item, found, {"stripe_subscription": settled.own.id, "stripe_item": settled.own.item_id}, now)
    own = settled.own
    began = addons.Paid(
        "stripe", found.price_id, own.period_start, own.period_end, own.period_start,
        None if settled.is_item else own.id, own.item_id,
    )  # fmt: skip
    _add(order, item, found, began, STRIPE, now)
    if settled.invoice:
        subscriptions.keep_invoice(subscription, settled.invoice, now=now)
    return True


def _wrong(order: Order, item: OrderItem, found: Offer, settled: Settled) -> str | None:
    vendor = identity.vendor(order.vendor_id)
    differs = mismatch(
        settled.paid,
        customer_id=vendor.stripe_customer_id if vendor else None,
        order_ref=str(order.id),
        stripe_price_id=item.stripe_price_id or "",
        unit=Money(item.amount_minor, order.currency),
        quantity=item.quantity,
    )
    if differs:
        return differs
    try:
        purchase.check(order.vendor_id, found, Wish(found.price_id, item.quantity, item.config or {}))
    except PortalError as error:
        return f"not to be had: {error.code}"
    return None


def _refuse(order: Order, settled: Settled, wrong: str, now: datetime) -> bool:
    order.state, order.note = OrderState.REFUSED, wrong
    told = {"order": order.id, "differs": wrong}
    audit.record(STRIPE, "order.refused", vendor_id=order.vendor_id, data=told, now=now)
    if not settled.is_item:
        outbox.enqueue("checkout.cancel_refused", dedupe_key=f"cancel-refused:{settled.own.id}",
                       vendor_id=order.vendor_id, stripe_subscription_id=settled.own.id)  # fmt: skip
    else:
        outbox.enqueue("checkout.remove_refused_item", dedupe_key=f"remove-refused:{settled.own.item_id}",
                       vendor_id=order.vendor_id, order_id=order.id, item_id=settled.own.item_id)  # fmt: skip
    return False


def refuse_if_taken(order: Order) -> None:
    """Conflict when the order is not open any more."""
    if order.state != OrderState.OPEN:
        raise Conflict(N_("This order has been settled already."), code="decided")

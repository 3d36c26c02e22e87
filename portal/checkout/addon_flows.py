"""Buying an add-on: what it would cost, the way to pay, and what became of it.

An item of the tier's subscription is charged at once for exactly what was shown; everything else has a Checkout page
of Stripe's, or a proforma.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.accounts import flows as accounts
from portal.addons import flows as addon_flows
from portal.addons import purchase, transfers
from portal.addons.mirror import Own
from portal.addons.purchase import Offer, Way, Wish
from portal.billing import stripe_invoice, tax
from portal.billing import transfers as money
from portal.billing.quotes import quote
from portal.checkout import addon_orders, queries, service
from portal.checkout.addon_orders import Settled
from portal.checkout.flows import Addresses, can_be_taxed, close_page, opened, paid_for
from portal.checkout.queries import OrderView
from portal.checkout.rules import OrderState, Paid
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import STRIPE, Actor
from portal.kit.errors import Conflict, NotFound, PortalError
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import item_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions import remote as tier
from portal.subscriptions.item_flows import ItemState
from portal.subscriptions.proration import period_from
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import preview_holds

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prospect:
    """What buying would do: by which way, what is due today, and what a whole period costs from ``next_at`` on.

    lines + tax + balance = due. ``at`` is the second that the figures count from.
    """

    offer: Offer
    quantity: int
    way: Way
    lines: tuple[tuple[str, Money], ...]
    tax: Money
    balance: Money
    due: Money
    next_at: datetime
    at: datetime

    @property
    def total(self) -> Money:
        """For a whole period."""
        return self.offer.total(self.quantity)


def prospect(vendor_id: int, wish: Wish, at: datetime | None = None) -> Prospect:
    """What this would cost, to the cent, without buying it.

    NotFound for what is not on sale to this vendor, PaymentRequired where money stands in the way, Invalid and Conflict
    as ``purchase.check``; Unavailable when Stripe does not answer.
    """
    held, has_card, past_due_since = purchase.held_with_card(vendor_id)
    now = clock.business()
    purchase.refuse_while_closed(held, past_due_since, now)
    found = purchase.offered(held, wish.price_id)
    purchase.check(vendor_id, found, wish)
    way = purchase.way(held, found, has_card, now)
    if at is None or not preview_holds(at, held.period_start, now):
        at = now.replace(microsecond=0)
    if way == Way.ITEM:
        shown = item_flows.preview_item(vendor_id, str(found.stripe_price_id), wish.quantity, now=now, at=at)
        return Prospect(found, wish.quantity, way, shown.lines, shown.tax, shown.balance, shown.due, held.period_end,
                        shown.proration_at)  # fmt: skip
    if way == Way.TRANSFER:
        return _by_transfer(vendor_id, found, wish, at, now)
    total, nothing = found.total(wish.quantity), Money(0, found.each.currency)
    named = ((found.product.name, total),)
    next_at = period_from(at, at, found.cycle).end
    return Prospect(found, wish.quantity, way, named, nothing, nothing, total, next_at, at)


def _by_transfer(vendor_id: int, found: Offer, wish: Wish, at: datetime, now: datetime) -> Prospect:
    subscription = purchase.subscription_of(vendor_id)
    if subscription is None:
        raise NotFound
    line = transfers.first(subscription, found, wish.quantity, found.variant, at)
    q = quote(vendor_id, [line], found.each.currency, now=now)
    lines = ((line.description, Money(line.amount_minor, found.each.currency)),)
    return Prospect(found, wish.quantity, Way.TRANSFER, lines, q.tax, q.balance, q.due, line.period_end or at, at)


@dataclass(frozen=True, slots=True)
class Started:
    """Where to go from here: Stripe's page, the transfer that is waited for, or (neither) it is bought already.

    ``confirm``: the address is that of the open invoice, whose payment the bank wants confirmed.
    """

    order_id: int
    state: OrderState
    url: str | None = None
    transfer_id: int | None = None
    confirm: bool = False


def buy(vendor_id: int, wish: Wish, addresses: Addresses, *, shown: Money, at: datetime, actor: Actor) -> Started:
    """Buy it as it was shown. Two clicks, two tabs, or a repetition after a crash lead to the same order.

    Conflict ``preview_changed`` when it costs something else now; nothing has happened then. Raises what ``prospect``
    raises, CardRefused when the card was refused.
    """
    again = prospect(vendor_id, wish, at)
    if again.due != shown or (again.way == Way.ITEM and again.at != at):
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )
    if again.way == Way.TRANSFER:
        return _ask(vendor_id, wish, again, actor)
    if again.offer.stripe_price_id is None:
        raise Conflict(N_("Stripe does not know this price yet. Please try again in a few minutes."), code="not_pushed")
    if again.way == Way.ITEM:
        return _add_item(vendor_id, wish, again, actor)
    return _leave(vendor_id, wish, again, addresses, actor)


def _ask(vendor_id: int, wish: Wish, shown: Prospect, actor: Actor) -> Started:
    with unit_of_work():
        order = addon_orders.open_order(
            vendor_id, shown.offer, wish, Way.TRANSFER, actor=actor, now=clock.business()
        )  # fmt: skip
        expected = money.of_invoice(order.invoice_id, vendor_id) if order.invoice_id else None
    return Started(order.id, OrderState(order.state), transfer_id=expected.id if expected else None)


def _leave(vendor_id: int, wish: Wish, shown: Prospect, addresses: Addresses, actor: Actor) -> Started:
    """To a Checkout page for a subscription of its own."""
    can_be_taxed(vendor_id)
    customer_id = accounts.ensure_customer(vendor_id)
    before = {order.id for order in queries.open_of(vendor_id, "addon")}
    with unit_of_work():
        made = addon_orders.open_order(vendor_id, shown.offer, wish, Way.OWN, actor=actor, now=clock.business())
    order = _fresh(made.id)
    still_open = {order.id for order in queries.open_of(vendor_id, "addon")}
    for gone in before - still_open:
        close_page(_fresh(gone))
    if order.checkout_url:
        return Started(order.id, order.state, url=order.checkout_url)
    if tax.stripe_params():
        accounts.tell_legal_data(vendor_id)
    end_reading()
    session = opened(order, customer_id, _session(order, customer_id, shown, addresses))
    with unit_of_work():
        service.session_opened(order.id, session["id"], session["url"])
    return Started(order.id, order.state, url=str(session["url"]))


def _fresh(order_id: int) -> OrderView:
    order = queries.order(order_id)
    if order is None:
        raise NotFound
    return order


def _session(order: OrderView, customer_id: str, shown: Prospect, addresses: Addresses) -> Document:
    named = {"vendor": str(order.vendor_id), "order": str(order.id), "kind": "addon"}
    return {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": str(order.id),
        "line_items": [{"price": shown.offer.stripe_price_id, "quantity": shown.quantity}],
        "success_url": addresses.success,
        "cancel_url": addresses.cancel,
        "expires_at": int(order.expires_at.timestamp()),
        "adaptive_pricing": {"enabled": False},
        "metadata": {"order": str(order.id)},
        "subscription_data": {"metadata": named, "billing_mode": {"type": "flexible"}},
        **tax.stripe_params(),
    }


def _add_item(vendor_id: int, wish: Wish, shown: Prospect, actor: Actor) -> Started:
    """Onto the tier's subscription. The order comes first, and its number is the key that nothing happens twice by."""
    with unit_of_work():
        made = addon_orders.open_order(vendor_id, shown.offer, wish, Way.ITEM, actor=actor, now=clock.business())
    price_id = str(shown.offer.stripe_price_id)
    try:
        outcome = item_flows.add_item(
            vendor_id, price_id, wish.quantity, key=f"addon-order-{made.id}", at=shown.at, shown=shown.due,
            now=clock.business(),
        )  # fmt: skip
    except PortalError as error:
        if error.status != 503:  # Stripe said no: nobody waits for it. Without an answer the order stays open.
            with unit_of_work():
                service.close(made.id, OrderState.CANCELLED)
        raise
    if outcome.state == ItemState.AWAITING_PAYMENT:
        return Started(made.id, OrderState.OPEN, url=outcome.pay_url, confirm=True)
    return Started(made.id, fulfil(made.id))


def fulfil(order_id: int) -> OrderState:
    """Ask Stripe what became of an order and act on it; gives its state afterwards. Any number of times, by anyone."""
    order = _fresh(order_id)
    if order.provider != "stripe" or order.state in (OrderState.FULFILLED, OrderState.REFUSED):
        return order.state
    if order.stripe_session_id is None:
        return _fulfil_item(order)
    end_reading()
    session = stripe.current().checkout_session(order.stripe_session_id)
    if session["status"] == "expired":
        with unit_of_work():
            service.close(order_id, OrderState.EXPIRED)
    elif session["status"] == "complete" and session["payment_status"] != "unpaid":
        settled = _of_session(session)
        with unit_of_work():
            addon_orders.fulfil(order_id, settled, now=clock.business())
    return _fresh(order_id).state


def _of_session(session: Document) -> Settled:
    own, invoice = addon_flows.fetch(str(tier.id_of(session["subscription"])))
    return Settled(paid_for(session), own, invoice)


def _fulfil_item(order: OrderView) -> OrderState:
    """An order without a page is for an item: when that stands on the tier's subscription, it is paid.

    One whose payment nobody finished lapses with Stripe's pending change.
    """
    held = subscriptions.held(order.vendor_id)
    wanted, present, found = queries.item(order.id), None, None
    end_reading()
    if held.stripe_subscription_id is not None:
        document = stripe.current().subscription(held.stripe_subscription_id)
        present = tier.read(document, held.stripe_item_id)
        found = next((i for i in present.addon_items if i.stripe_price_id == wanted.stripe_price_id), None)
    if found is None or present is None:
        return _fulfil_own(order, held.stripe_customer_id, pending=present is not None and present.pending_update)
    latest = document.get("latest_invoice")
    invoice = stripe_invoice.read(stripe.current().in_full(latest)) if isinstance(latest, dict) else None
    settled = _of_item(order, present, found, invoice)
    with unit_of_work():
        addon_orders.fulfil(order.id, settled, now=clock.business())
    return _fresh(order.id).state


def _fulfil_own(order: OrderView, customer_id: str | None, *, pending: bool) -> OrderState:
    """Staff let the card on file pay for a subscription of its own: it names the order that it was begun for."""
    begun = stripe.current().subscriptions(customer_id) if customer_id else []
    mine = next((d for d in begun if d["metadata"].get("order") == str(order.id) and d["status"] == "active"), None)
    if mine is not None:
        own, invoice = addon_flows.fetch(str(mine["id"]))
        paid = Paid(own.customer_id, own.order_ref, own.stripe_price_id, own.unit, own.quantity)
        with unit_of_work():
            addon_orders.fulfil(order.id, Settled(paid, own, invoice), now=clock.business())
    elif not pending and order.expires_at <= clock.business():
        with unit_of_work():
            service.close(order.id, OrderState.EXPIRED)
    return _fresh(order.id).state


def _of_item(
    order: OrderView, present: Remote, found: tier.RemoteItem, invoice: stripe_invoice.StripeInvoice | None
) -> Settled:
    paid = Paid(present.customer_id, str(order.id), found.stripe_price_id, found.unit, found.quantity)
    own = Own(
        id=present.id, customer_id=present.customer_id, status=present.status, item_id=found.id,
        stripe_price_id=found.stripe_price_id, unit=found.unit, quantity=found.quantity,
        period_start=found.period_start, period_end=found.period_end, cancel_at=None, pending_until=None,
        latest_invoice_id=present.latest_invoice_id, order_ref=str(order.id), cancel_reason=None,
    )  # fmt: skip
    return Settled(paid, own, invoice, is_item=True)


def remove_refused_item(order_id: int, item_id: str) -> None:
    """An item whose order was refused goes at once, and what was paid for it is credited."""
    order = _fresh(order_id)
    item_flows.remove_item(order.vendor_id, item_id, at_period_end=False, key=f"remove-refused-{order_id}",
                           at=clock.business())  # fmt: skip


def carry_on(vendor_id: int) -> None:
    """Look again at the vendor's orders of items that are open: an event says that its subscription has changed."""
    for order in queries.open_of(vendor_id, "addon"):
        if order.provider == "stripe" and order.stripe_session_id is None:
            fulfil(order.id)
    if subscriptions.held(vendor_id).stripe_subscription_id is not None:
        addon_flows.sync_items(vendor_id, actor=STRIPE)

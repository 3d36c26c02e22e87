"""Orders: opened with a snapshot of the price, fulfilled at most once, closed when nobody pays."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.audit import service as audit
from portal.billing.stripe_invoice import StripeInvoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Price, Tier
from portal.checkout import orders, transfer
from portal.checkout.models import Order, OrderItem, Purchase
from portal.checkout.orders import give_way, locked, open_orders
from portal.checkout.rules import PAID_FOR, OrderState, Paid, mismatch
from portal.identity import queries as identity
from portal.kit import outbox, tenancy
from portal.kit.actor import STRIPE, Actor
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions import mails
from portal.subscriptions.history import lock, note
from portal.subscriptions.mirror import keep_invoice, mirror
from portal.subscriptions.models import Trial, VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import Provider

#: How long a Checkout page stays open.
OPEN_FOR = timedelta(hours=1)


def open_order(vendor_id: int, price: Price, tier: Tier, *, actor: Actor, now: datetime) -> Order:
    """The vendor's open order for this price: the present one while its page is open, else a new one.

    Open orders for other prices are cancelled (their pages are closed by the caller). Conflict when the subscription
    is paid for already, Invalid when the price cannot be paid through Stripe.
    """
    subscription = lock(vendor_id)
    orders.refuse_if_paid(subscription)
    if price.stripe_price_id is None:
        raise Invalid(fields={"price": N_("This price is not known to Stripe yet: push the catalog.")})
    for order in open_orders(vendor_id):
        present = order.provider == Provider.STRIPE and order.price_id == price.id
        if present and order.expires_at > now + timedelta(minutes=31):
            return order
        give_way(order, actor=actor, now=now)
    transfer.stop_waiting(subscription, now=now)
    return orders.for_tier(subscription, price, tier, Provider.STRIPE, expires_at=now + OPEN_FOR, actor=actor, now=now)


def session_opened(order_id: int, session_id: str, url: str | None) -> None:
    """Keep which session was opened for the order, and where the customer pays."""
    _, order = locked(order_id)
    order.stripe_session_id, order.checkout_url = session_id, url


def close(order_id: int, state: OrderState) -> None:
    """Nobody paid: the page expired or was closed. A fulfilled order stays fulfilled."""
    _, order = locked(order_id)
    if order.state == OrderState.OPEN:
        order.state = state


@dataclass(frozen=True, slots=True)
class Settled:
    """What Stripe says about a completed session: who, what for how much, and the subscription it made."""

    paid: Paid
    subscription: Remote
    invoice: StripeInvoice | None


def fulfil(order_id: int, settled: Settled, *, now: datetime) -> bool:
    """Turn paid money into rights, once; True when the rest of the trial is to be ended now: the card had one before.

    What was paid is compared with what was asked first: a difference refuses the order, grants nothing and is
    written to the audit log, and a job ends the subscription at Stripe, so that nothing goes on charging for it. A
    second paid subscription of one vendor is refused in the same way.
    """
    subscription, order = locked(order_id)
    if order.state in (OrderState.FULFILLED, OrderState.REFUSED):
        return False
    if wrong := _wrong(order, settled) or _second(subscription, settled.subscription):
        _cancel(order, settled.subscription)
        return _refuse(order, wrong, now)
    order.state, order.fulfilled_at = OrderState.FULFILLED, now
    _record_purchase(order, settled, now)
    first_time = subscription.stripe_subscription_id != settled.subscription.id
    mirror(subscription, settled.subscription, actor=STRIPE, now=now)
    if settled.invoice:
        keep_invoice(subscription, settled.invoice, now=now)
    card_used = _card_had_trial(subscription, settled.subscription, now)
    if first_time:
        _welcome(subscription, settled.subscription, now, card_used=card_used)
    if card_used:
        _refuse_trial(subscription, settled.subscription, now)
    return card_used


def _wrong(order: Order, settled: Settled) -> str | None:
    vendor = identity.vendor(order.vendor_id)
    item = db.session.scalars(select(OrderItem).where(OrderItem.order_id == order.id)).one()
    return mismatch(
        settled.paid,
        customer_id=vendor.stripe_customer_id if vendor else None,
        order_ref=str(order.id),
        stripe_price_id=item.stripe_price_id or "",
        unit=Money(order.asked_minor, order.currency),
    )


def _refuse(order: Order, wrong: str, now: datetime) -> bool:
    order.state, order.note = OrderState.REFUSED, wrong
    audit.record(
        STRIPE, "order.refused", vendor_id=order.vendor_id, data={"order": order.id, "differs": wrong}, now=now
    )
    return False


def _second(subscription: VendorSubscription, remote: Remote) -> str | None:
    known = subscription.stripe_subscription_id
    is_second = known is not None and known != remote.id and subscription.status in PAID_FOR
    return "second subscription" if is_second else None


def _cancel(order: Order, remote: Remote) -> None:
    outbox.enqueue(
        "checkout.cancel_refused",
        dedupe_key=f"cancel-refused:{remote.id}",
        vendor_id=order.vendor_id,
        stripe_subscription_id=remote.id,
    )


def _record_purchase(order: Order, settled: Settled, now: datetime) -> None:
    item = db.session.scalars(select(OrderItem).where(OrderItem.order_id == order.id)).one()
    db.session.add(
        Purchase(
            vendor_id=order.vendor_id,
            order_id=order.id,
            kind=order.kind,
            tier_id=_tier_id(order.price_id),
            stripe_price_id=item.stripe_price_id,
            description=item.description,
            currency=order.currency,
            amount_minor=order.asked_minor,
            provider=order.provider,
            details={"stripe_subscription": settled.subscription.id},
            paid_at=now,
        )
    )


def _tier_id(price_id: int | None) -> int | None:
    price = catalog.price(price_id) if price_id else None
    return price.tier_id if price else None


def _welcome(subscription: VendorSubscription, remote: Remote, now: datetime, *, card_used: bool) -> None:
    free_until = None if card_used else remote.trial_end
    note(subscription, "payment_added", actor=STRIPE, now=now, free_until=_iso(free_until))
    if card_used:  # the mail about the card says what is charged and when
        return
    tier = _tier_name(subscription)
    mails.activated(subscription, tier, remote.unit, remote.trial_end or remote.period_end, now)


def _tier_name(subscription: VendorSubscription) -> str:
    tier = catalog.tier_by_id(subscription.tier_id) if subscription.tier_id else None
    return tier.name if tier else subscription.tier_code


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _card_had_trial(subscription: VendorSubscription, remote: Remote, now: datetime) -> bool:
    """One trial per card: known only now, so a card that had one before ends the rest of this one (SUB-1).

    True where there is a rest. The card is remembered as this vendor's trial's.
    """
    if remote.card is None or remote.card.fingerprint is None:
        return False
    others = select(Trial.id).where(
        Trial.card_fingerprint == remote.card.fingerprint, Trial.vendor_id != subscription.vendor_id
    )
    with tenancy.unscoped("one trial per card, whichever vendor had it"):
        used_before = db.session.scalar(others) is not None
    own = db.session.scalar(select(Trial).where(Trial.vendor_id == subscription.vendor_id))
    if own is not None and own.card_fingerprint is None:
        own.card_fingerprint = remote.card.fingerprint
    return used_before and remote.trial_end is not None and remote.trial_end > now


def _refuse_trial(subscription: VendorSubscription, remote: Remote, now: datetime) -> None:
    note(subscription, "trial_refused", actor=STRIPE, now=now, reason="same card")
    mails.trial_card_used(subscription, now)
    outbox.enqueue(
        "subscriptions.end_trial_now",
        dedupe_key=f"end-trial:{remote.id}",
        vendor_id=subscription.vendor_id,
        vendor=subscription.vendor_id,
    )

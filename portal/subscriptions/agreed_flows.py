"""A price that is agreed with one vendor: written down, then made known to Stripe (SUB-6)."""

from datetime import timedelta

from portal.audit import service as audit
from portal.catalog import flows as catalog_flows
from portal.catalog import queries as catalog
from portal.catalog import service as prices
from portal.catalog.rules import Cycle, Price
from portal.gateways import stripe
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.errors import Invalid, NotFound, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions.history import lock_if_any, note
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Provider


def agree(vendor_id: int, tier_code: str, cycle: Cycle, amount: Money, *, reason: str, actor: Actor) -> bool:
    """Offer a tier to one vendor at a price of its own; another agreed price of that vendor's ends.

    True when Stripe knows it already; a job goes on trying when it does not answer. Raises NotFound (tier), Conflict
    (retired), Invalid (fields ``amount``, ``currency``: a paid subscription keeps its currency).
    """
    tier = catalog.tier_by_code(tier_code)
    if tier is None:
        raise NotFound
    if amount.minor <= 0:
        raise Invalid(fields={"amount": N_("Enter an amount above 0.")})
    now = clock.business()
    with unit_of_work():
        subscription = lock_if_any(vendor_id)
        _same_currency(subscription, amount)
        price = prices.change_price(
            tier.id, cycle, amount.currency, amount.minor, vendor_id=vendor_id, actor=actor, now=now
        )
        data = {"tier": tier.code, "cycle": cycle, "currency": amount.currency, "amount_minor": amount.minor,
                "reason": reason}  # fmt: skip
        audit.record(actor, "catalog.price_agreed", vendor_id=vendor_id, data=data, now=now)
        if subscription is not None:
            note(subscription, "price_agreed", actor=actor, now=now, reason=reason, price=price.id)
        outbox.enqueue(
            "subscriptions.push_agreed",
            dedupe_key=f"push-agreed:{price.id}",
            delay=timedelta(seconds=30),
            vendor_id=vendor_id,
            price_id=price.id,
        )
    return _pushed(price)


def withdraw(vendor_id: int, *, actor: Actor) -> bool:
    """Take the offer back; False when there is none. A vendor that bought at it keeps it."""
    with unit_of_work():
        subscription = lock_if_any(vendor_id)
        gone = prices.withdraw_agreed(vendor_id, actor=actor, now=clock.business())
        if gone and subscription is not None:
            note(subscription, "agreed_price_withdrawn", actor=actor, now=clock.business())
    return gone


def _same_currency(subscription: VendorSubscription | None, amount: Money) -> None:
    """Stripe keeps a customer with a running subscription to its currency."""
    if subscription is None or subscription.provider == Provider.NONE or subscription.price_id is None:
        return
    present = catalog.price(subscription.price_id)
    if present is not None and present.amount.currency != amount.currency:
        raise Invalid(fields={"currency": N_("This vendor pays in another currency; a paid plan cannot change it.")})


def _pushed(price: Price) -> bool:
    if not stripe.is_configured():
        return True
    try:
        push(price.id)
    except Unavailable:
        return False
    return True


def push(price_id: int) -> None:
    """Let Stripe know an agreed price; nothing where it does or where there is no Stripe. Repeatable."""
    price = catalog.price(price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    if price is None or tier is None or price.stripe_price_id is not None or not stripe.is_configured():
        return
    end_reading()
    catalog_flows.push(stripe.current(), dry_run=False, only_tier=tier.code)

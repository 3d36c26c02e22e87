"""Keeping what a tier included: bought from now on, and charged once however often Stripe is asked."""

from datetime import datetime
from typing import Any

from portal.addons import flows, included, mirror, purchase, queries, service
from portal.addons.purchase import Offer
from portal.addons.queries import Had
from portal.addons.rules import AddonStatus, Origin
from portal.addons.service import Paid
from portal.billing import methods, tax
from portal.gateways import stripe
from portal.gateways.stripe import CardRefused
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.errors import Conflict, NotFound, PaymentRequired, Unavailable
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import item_flows
from portal.subscriptions import remote as tier
from portal.subscriptions.queries import Held
from portal.subscriptions.remote import RemoteItem

Document = dict[str, Any]


def keep(addon_id: int, vendor_id: int, price_id: int) -> None:
    """What the old tier included is bought from now on: an item of the tier's subscription, or one of its own.

    Charged to the card on file, as it was confirmed with the change of the tier. Repeatable: what an earlier try made
    is found by asking. Where Stripe refuses it (no card, card declined), it ends and the vendor is told. Unavailable
    when nobody knows: the next try asks first, and has another key, since Stripe repeats a 500 for its key.
    """
    with unit_of_work():
        waits = included.waits_to_be_kept(addon_id, vendor_id)
    if not waits:
        return
    had, found, now = queries.one(vendor_id, addon_id), purchase.offer(price_id), clock.business()
    try:
        paid = _charged(had, found, now)
    except (CardRefused, Conflict, NotFound, PaymentRequired):
        with unit_of_work():
            service.end(service.locked(addon_id, vendor_id), "unpaid", actor=SYSTEM, now=now)
        return
    except Unavailable:
        with unit_of_work():
            service.locked(addon_id, vendor_id).version += 1
        raise
    with unit_of_work():
        addon = service.locked(addon_id, vendor_id)
        if addon.origin == Origin.INCLUDED and addon.status != AddonStatus.CANCELLED:
            included.becomes_bought(addon, found, paid, now=now)
    if paid.stripe_subscription_id:
        flows.sync(vendor_id, paid.stripe_subscription_id)


def _charged(had: Had, found: Offer, now: datetime) -> Paid:
    held, has_card, _since = purchase.held_with_card(had.vendor_id)
    way, taken = purchase.way(held, found, has_card, now), {row.stripe_item_id for row in purchase.had(had.vendor_id)}
    end_reading()
    plan = stripe.current().subscription(str(held.stripe_subscription_id))
    if way == purchase.Way.ITEM:
        items = tier.read(plan, held.stripe_item_id).addon_items
        item = _left_there([i for i in items if i.id not in taken], had, found) or _added(had, found, now)
        return Paid("stripe", found.price_id, item.period_start, item.period_end, item.period_start, None, item.id)
    own = mirror.read(_made(held, had) or _make(held, had, found, _card_of(held, plan)))
    return Paid("stripe", found.price_id, own.period_start, own.period_end, own.period_start, own.id, own.item_id)


def _left_there(items: list[RemoteItem], had: Had, found: Offer) -> RemoteItem | None:
    """The item that an earlier try added, and that no add-on of ours has."""
    wanted = (found.stripe_price_id, had.quantity)
    return next((item for item in items if (item.stripe_price_id, item.quantity) == wanted), None)


def _added(had: Had, found: Offer, now: datetime) -> RemoteItem:
    done = item_flows.add_item(
        had.vendor_id, str(found.stripe_price_id), had.quantity, key=_key(had), at=now.replace(microsecond=0),
        shown=None, now=now,
    )  # fmt: skip
    if done.item is None:
        raise CardRefused(detail="")
    return done.item


def _made(held: Held, had: Had) -> Document | None:
    """The subscription of its own that an earlier try made."""
    for document in stripe.current().subscriptions(str(held.stripe_customer_id)):
        if document["metadata"].get("addon") == str(had.id) and document["status"] not in mirror.OVER:
            return document
    return None


def _make(held: Held, had: Had, found: Offer, card: str | None) -> Document:
    params = {
        "customer": held.stripe_customer_id,
        "items": [{"price": found.stripe_price_id, "quantity": had.quantity}],
        "billing_mode": {"type": "flexible"},
        "metadata": {"vendor": str(had.vendor_id), "addon": str(had.id), "kind": "addon"},
        "default_payment_method": card,
        "payment_behavior": "error_if_incomplete",
        **tax.stripe_params(),
    }
    end_reading()
    try:
        return stripe.current().subscription_create(params, _key(had))
    except Unavailable:
        if (made := _made(held, had)) is not None:
            return made
        raise


def _key(had: Had) -> str:
    return f"addon-keep-{had.id}-{had.version}"


def _card_of(held: Held, plan: Document) -> str | None:
    """What the tier is paid with: Checkout keeps it with the subscription, not always with the customer."""
    found = tier.id_of(plan.get("default_payment_method")) or methods.default_of(held.vendor_id)
    end_reading()
    return found

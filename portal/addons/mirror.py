"""From what Stripe says of add-ons to what we hold: subscriptions of their own, and items of the tier's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.addons import mails, purchase, service
from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus
from portal.billing import queries as billing
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.money import Money
from portal.settings import queries as settings
from portal.subscriptions.remote import at, id_of, maybe_at

Document = dict[str, Any]
#: Stripe's states in which nothing more comes of a subscription.
OVER = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, slots=True)
class Own:
    """A Stripe subscription or item that an add-on is paid by. For an item ``id`` is the tier's subscription."""

    id: str
    customer_id: str
    status: str
    item_id: str
    stripe_price_id: str
    unit: Money
    quantity: int
    period_start: datetime
    period_end: datetime
    cancel_at: datetime | None
    pending_until: datetime | None
    latest_invoice_id: str | None
    order_ref: str | None
    cancel_reason: str | None


def read(document: Document) -> Own:
    """Read a subscription that has an add-on as its one item."""
    item = document["items"]["data"][0]
    price, leaving = item["price"], document.get("cancellation_details") or {}
    ends = at(item["current_period_end"]) if document.get("cancel_at_period_end") else None
    return Own(
        id=document["id"],
        customer_id=str(id_of(document["customer"])),
        status=document["status"],
        item_id=item["id"],
        stripe_price_id=price["id"],
        unit=Money(price["unit_amount"] or 0, price["currency"].upper()),
        quantity=item.get("quantity") or 1,
        period_start=at(item["current_period_start"]),
        period_end=at(item["current_period_end"]),
        cancel_at=ends or maybe_at(document.get("cancel_at")),
        pending_until=maybe_at((document.get("pending_update") or {}).get("expires_at")),
        latest_invoice_id=id_of(document.get("latest_invoice")),
        order_ref=(document.get("metadata") or {}).get("order"),
        cancel_reason=leaving.get("reason"),
    )


def mirror(addon: VendorAddon, own: Own, *, actor: Actor = STRIPE, now: datetime) -> None:
    """Make the add-on equal to Stripe's subscription of it, with what belongs to it: mails, its end. Under its lock.

    Whoever asked for a change here is the ``actor``; what was done in Stripe itself is told in Stripe's name.
    """
    if addon.status == AddonStatus.CANCELLED:
        return
    if own.status in OVER:
        cause = "unpaid" if own.cancel_reason == "payment_failed" else "asked"
        service.end(addon, cause, actor=actor, now=now)
        return
    follow(addon, own, actor=actor, now=now)
    service.ends_with(addon, own.cancel_at, actor=actor, now=now)
    if own.status in ("past_due", "unpaid"):
        behind(addon, own, now=now)
    else:
        service.caught_up(addon, now=now)


def follow(addon: VendorAddon, own: Own, *, actor: Actor, now: datetime) -> None:
    """Take over period, price and number. What is planned for the next period stays planned until that has begun."""
    renewed = addon.period_start is not None and own.period_start > addon.period_start
    found = purchase.by_stripe_price(own.stripe_price_id)
    addon.stripe_item_id = own.item_id
    addon.period_start, addon.period_end = own.period_start, own.period_end
    if found is None:
        return
    planned = addon.next_quantity is not None and (found.price_id, own.quantity) == (
        addon.next_price_id, addon.next_quantity,
    )  # fmt: skip
    if not planned or renewed:
        service.resize(addon, found.price_id, found.variant, own.quantity, actor=actor, now=now)


def behind(addon: VendorAddon, own: Own, *, now: datetime) -> None:
    """Its payment failed: told once, with until when it can be paid."""
    since = billing.behind_since(addon.vendor_id, own.id) or now
    if service.fell_behind(addon, since=since, now=now):
        amount = Money(own.unit.minor * own.quantity, own.unit.currency)
        mails.unpaid(addon, amount, ends_unpaid(addon), now)


def ends_unpaid(addon: VendorAddon) -> datetime:
    """When an add-on that is not paid for ends."""
    assert addon.past_due_since is not None
    return addon.past_due_since + timedelta(days=settings.current().grace_days)


def mirror_items(vendor_id: int, items: dict[str, Own], *, now: datetime) -> None:
    """Make the vendor's add-ons that are items of the tier's subscription equal to Stripe's; gone ones have ended."""
    for known in purchase.had(vendor_id):
        if known.stripe_item_id is None or known.stripe_subscription_id is not None:
            continue
        addon = service.locked(known.id, vendor_id)
        own = items.get(str(addon.stripe_item_id))
        if own is None:
            by = SYSTEM if addon.cancel_at_period_end else STRIPE
            service.end(addon, "asked", actor=by, now=now)
        else:
            follow(addon, own, actor=STRIPE, now=now)

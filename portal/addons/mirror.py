"""From what Stripe says of add-ons to what we hold: subscriptions of their own, and items of the tier's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.addons import mails, purchase, service
from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus
from portal.billing import queries as billing
from portal.kit.actor import STRIPE, Actor
from portal.kit.money import Money
from portal.settings import queries as settings
from portal.subscriptions.remote import Remote, RemoteItem, at, id_of, maybe_at

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
    addon.stripe_item_id = own.item_id
    follow(addon, own, actor=actor, now=now)
    service.ends_with(addon, own.cancel_at, actor=actor, now=now)
    if own.status in ("past_due", "unpaid"):
        behind(addon, own, now=now)
    else:
        service.caught_up(addon, now=now)


def follow(addon: VendorAddon, own: Own | RemoteItem, *, actor: Actor, now: datetime) -> None:
    """Take over period, price and number. What is planned for the next period stays so until that has begun."""
    renewed = addon.period_start is not None and own.period_start > addon.period_start
    if (addon.period_start, addon.period_end) != (own.period_start, own.period_end):
        addon.period_start, addon.period_end = own.period_start, own.period_end
        addon.version += 1
    found = purchase.by_stripe_price(own.stripe_price_id)
    if found is None:
        return
    present, planned = (addon.price_id, addon.quantity), (addon.next_price_id, addon.next_quantity)
    if renewed or (found.price_id, own.quantity) not in (present, planned):
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


def mirror_items(vendor_id: int, remote: Remote, *, actor: Actor = STRIPE, now: datetime) -> None:
    """Make the vendor's add-ons that are items of the tier's subscription equal to Stripe's; gone ones have ended."""
    items = {item.id: item for item in remote.addon_items}
    for known in purchase.had(vendor_id):
        if known.stripe_item_id is None or known.stripe_subscription_id is not None:
            continue
        addon = service.locked(known.id, vendor_id)
        item = items.get(known.stripe_item_id) or remote.heir(known.stripe_item_id)
        if remote.status in OVER:
            service.end(addon, "plan", actor=actor, now=now)
        elif item is None:
            service.end(addon, "asked", actor=actor, now=now)
        else:
            _mirror_item(addon, item, remote, actor, now)


def _mirror_item(addon: VendorAddon, item: RemoteItem, remote: Remote, actor: Actor, now: datetime) -> None:
    addon.stripe_item_id = item.id  # another price that was planned came as another item
    follow(addon, item, actor=actor, now=now)
    if remote.leaving:  # The plan's own mail tells that everything ends with it.
        service.ends_with(addon, remote.cancel_at or remote.period_end, actor=actor, now=now, tell=False)
        return
    over = item.planned is not None and item.planned.quantity == 0
    was_with_plan = addon.cancel_at_period_end and addon.ends_at != item.period_end
    service.ends_with(addon, item.period_end if over else None, actor=actor, now=now, tell=not was_with_plan)
    found = purchase.by_stripe_price(item.planned.stripe_price_id) if item.planned and not over else None
    wanted = (found.price_id, item.planned.quantity) if found and item.planned else (None, None)
    if (addon.next_price_id, addon.next_quantity) != wanted:
        service.plan(addon, *wanted, actor=actor, now=now)

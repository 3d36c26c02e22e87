"""Where Stripe and the portal differ about add-ons: items of the tier's subscription, or subscriptions of their own."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from portal.addons import mirror
from portal.addons import queries as addons
from portal.addons.queries import Had
from portal.addons.rules import AddonStatus
from portal.checkout import queries as orders
from portal.kit import clock
from portal.kit.money import Money
from portal.kit.unit_of_work import end_reading
from portal.stripe_events.difference import Difference
from portal.subscriptions.remote import Remote, RemoteItem

Document = dict[str, Any]
#: What is paid for a period, when that ends, and when the add-on ends.
Facts = tuple[Money | None, datetime | None, datetime | None]


def of_addons(vendor_id: int, tier: Remote | None, documents: list[Document]) -> Iterator[Difference]:
    """Each field of each add-on that differs, and items that nobody bought here. ``tier``: the tier's subscription."""
    known = [had for had in addons.of_vendor(vendor_id, clock.business()) if had.status != AddonStatus.CANCELLED]
    waits = orders.waits_for_item(vendor_id)
    end_reading()
    seen: set[str] = set()
    for had in known:
        if had.stripe_subscription_id:
            yield from _own(had, documents)
        elif had.stripe_item_id and tier:
            item = _item(tier, had.stripe_item_id)
            seen |= {item.id} if item else set()
            yield from _differing(had, _of_item(item, tier) if item else None, tier.id)
    for item in tier.addon_items if tier else ():
        if item.id not in seen and tier:
            subject = tier.id if waits else item.id
            yield Difference("addon_unknown", None, _total(item), subject, repairable=waits)


def _item(tier: Remote, item_id: str) -> RemoteItem | None:
    return next((item for item in tier.addon_items if item.id == item_id), None) or tier.heir(item_id)


def _own(had: Had, documents: list[Document]) -> Iterator[Difference]:
    subject = str(had.stripe_subscription_id)
    document = next((each for each in documents if each["id"] == subject and each["status"] not in mirror.OVER), None)
    there: Facts | None = None
    if document is not None:
        own = mirror.read(document)
        there = (Money(own.unit.minor * own.quantity, own.unit.currency), own.period_end, own.cancel_at)
    yield from _differing(had, there, subject)


def _of_item(item: RemoteItem, tier: Remote) -> Facts:
    over = item.planned is not None and item.planned.quantity == 0
    ends = tier.cancel_at or tier.period_end if tier.leaving else item.period_end if over else None
    return _total(item), item.period_end, ends


def _total(item: RemoteItem) -> Money:
    return Money(item.unit.minor * item.quantity, item.unit.currency)


def _differing(had: Had, there: Facts | None, subject: str) -> Iterator[Difference]:
    if there is None:
        yield Difference("addon", "active", None, subject, had.name)
        return
    paid = Money(had.each.minor * had.quantity, had.each.currency) if had.each else None
    here: Facts = (paid, had.period_end, had.ends_at if had.cancel_at_period_end else None)
    for field, before, after in zip(("addon_price", "addon_period_end", "addon_ends"), here, there, strict=True):
        if before != after:
            yield Difference(field, before, after, subject, had.name)

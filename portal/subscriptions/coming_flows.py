"""What a subscription becomes by itself: one schedule at Stripe for the planned tier and what is planned for add-ons.

The planned change of the tier stands in our table, what is planned for an add-on's item in the subscription's metadata:
both outlive the schedule, which is let go before an upgrade or a cancellation and written anew from them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from portal.gateways import stripe
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import changes, queries, remote
from portal.subscriptions.queries import Change
from portal.subscriptions.remote import Planned, Remote

Document = dict[str, Any]
#: What stands on the subscription (price, how many) from one turn to the next.
Items = tuple[tuple[str, int], ...]
#: Stripe's states in which a subscription renews.
RENEWS = ("trialing", "active", "past_due")


@dataclass(frozen=True, slots=True)
class Turn:
    """From this second on the subscription has these items."""

    at: int
    items: Items


def turns(present: Remote, change: Change | None) -> list[Turn]:
    """What is to come, in order: the planned tier with the tier's period, each planned item with its own."""
    ends = {item.period_end for item in present.addon_items if item.planned}
    if change is not None:
        ends.add(present.period_end)
    found = []
    for moment in sorted(ends):
        price = change.price.stripe_price_id if change and present.period_end <= moment else None
        tier = (price or present.stripe_price_id, 1 if price else present.quantity)
        stays = [_then(item, item.period_end <= moment) for item in present.addon_items]
        items = (tier, *((then.stripe_price_id, then.quantity) for then in stays if then.quantity))
        found.append(Turn(int(moment.timestamp()), items))
    return found


def _then(item: remote.RemoteItem, its_time_has_come: bool) -> Planned:
    if item.planned and its_time_has_come:
        return item.planned
    return Planned(item.stripe_price_id, item.quantity)


def params(document: Document, present: Remote, schedule: Document, change: Change | None) -> Document:
    """The whole of a schedule that does what is planned; a phase names every item, since what it leaves out goes."""
    running = _running(schedule)
    planned = turns(present, change)
    first: Document = {"items": _phase_items(now_items(document)), "start_date": running["start_date"]}
    if running.get("trial_end"):
        first["trial_end"] = running["trial_end"]
    phases = [first, *({"items": _phase_items(t.items), "proration_behavior": "none"} for t in planned)]
    for phase, turn in zip(phases, planned, strict=False):
        phase["end_date"] = turn.at
    phases[-1]["duration"] = {"interval": _interval(document, present, change), "interval_count": 1}
    for phase in phases:
        phase.update(_taxes(running))
    told = {"change": str(change.id) if change else "", "items": "planned" if present.planned else ""}
    return {"end_behavior": "release", "metadata": told, "phases": phases}


def now_items(document: Document) -> Items:
    """Everything that stands on a subscription now."""
    return tuple((item["price"]["id"], item.get("quantity", 1)) for item in document["items"]["data"])


def _phase_items(items: Items) -> list[Document]:
    return [{"price": price, "quantity": quantity} for price, quantity in items]


def _running(schedule: Document) -> Document:
    begun = (schedule.get("current_phase") or {}).get("start_date")
    found: Document = next((p for p in schedule["phases"] if p["start_date"] == begun), schedule["phases"][0])
    return found


def _interval(document: Document, present: Remote, change: Change | None) -> str:
    if change is not None:
        return "year" if change.price.cycle == "yearly" else "month"
    item = next(each for each in document["items"]["data"] if each["id"] == present.item_id)
    return str(item["price"]["recurring"]["interval"])


def _taxes(phase: Document) -> Document:
    """How the subscription is taxed now, for every phase to say again: what a phase leaves out is unset."""
    if (phase.get("automatic_tax") or {}).get("enabled"):
        return {"automatic_tax": {"enabled": True}}
    rates = [remote.id_of(rate) for rate in phase.get("default_tax_rates") or []]
    return {"default_tax_rates": rates} if rates else {}


def _coming(schedule: Document) -> Iterator[Document]:
    begun = _running(schedule)["start_date"]
    return (phase for phase in schedule["phases"] if phase["start_date"] > begun)


def _says(schedule: Document) -> list[Turn]:
    """What a schedule will do as it stands, in the order of items that it names."""
    return [
        Turn(phase["start_date"], tuple((str(remote.id_of(i["price"])), i["quantity"]) for i in phase["items"]))
        for phase in _coming(schedule)
    ]


def _same(one: list[Turn], other: list[Turn]) -> bool:
    return [(t.at, sorted(t.items)) for t in one] == [(t.at, sorted(t.items)) for t in other]


def keep(vendor_id: int) -> None:
    """Let Stripe's schedule say exactly what is planned: made, rewritten or let go. Safe to repeat; a second call asks
    and changes nothing. Nothing is planned for a subscription that ends.
    """
    held, change = queries.held(vendor_id), queries.scheduled_change(vendor_id)
    end_reading()
    if held.stripe_subscription_id is None:
        return
    gateway = stripe.current()
    document = gateway.subscription(held.stripe_subscription_id)
    present = remote.read(document, held.stripe_item_id)
    if present.leaving or present.status not in RENEWS:
        return
    schedule = gateway.schedule(present.schedule_id) if present.schedule_id else None
    wanted = turns(present, change)
    if _same(_says(schedule) if schedule else [], wanted):
        return
    with unit_of_work():
        number = changes.attempt(vendor_id)
    if present.spent_plans:
        forgotten = {"metadata": {remote.plan_key(item_id): "" for item_id in present.spent_plans}}
        gateway.subscription_update(present.id, forgotten, f"keep-{held.id}-{number}-tidy")
    if schedule is not None and not wanted:
        gateway.schedule_release(schedule["id"], f"release-{schedule['id']}")
        return
    if schedule is None:
        schedule = gateway.schedule_create(present.id, f"keep-{held.id}-{number}-schedule")
    gateway.schedule_update(schedule["id"], params(document, present, schedule, change), f"keep-{held.id}-{number}")


def let_go(held: queries.Held) -> bool:
    """Take the planned change of the tier out of the schedule; True when one stays, for what is planned for add-ons."""
    gateway = stripe.current()
    document = gateway.subscription(str(held.stripe_subscription_id))
    present = remote.read(document, held.stripe_item_id)
    if present.schedule_id is None:
        return False
    if not present.planned:
        gateway.schedule_release(present.schedule_id, f"release-{present.schedule_id}")
        return False
    with unit_of_work():
        number = changes.attempt(held.vendor_id)
    schedule = gateway.schedule(present.schedule_id)
    gateway.schedule_update(schedule["id"], params(document, present, schedule, None), f"keep-{held.id}-{number}")
    return True

"""What a subscription turns into, worked out before anything is touched.

Preview, update, renewal and schedule phases all ask this one module, so a preview equals its charge to the cent.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from portal.sandbox import catalog, lines, phases, timers
from portal.sandbox.errors import invalid, missing
from portal.sandbox.ids import new_id
from portal.sandbox.periods import boundary_after, period_at, prorate
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

FIVE_YEARS = 5 * 366 * 86_400
LARGEST = 99_999_999


@dataclass
class Plan:
    """The state after a change, and what it costs.

    `lines` are invoiced at once when `invoice_now`, otherwise they wait for the next invoice.
    """

    items: list[Doc]
    anchor: int
    status: str
    trial_start: int | None
    trial_end: int | None
    lines: list[Doc] = field(default_factory=list)
    invoice_now: bool = False
    proration_date: int | None = None


def amount_of(tx: Tx, item: Doc) -> int:
    """The price of one whole period of this item, in minor units."""
    return int(tx.get("price", item["price"])["unit_amount"] * item["quantity"])


def recurring_of(tx: Tx, item: Doc) -> Doc:
    """The interval of an item."""
    found: Doc = tx.get("price", item["price"])["recurring"]
    return found


def new_item(tx: Tx, subscription: str, price: str, quantity: int, metadata: Any = None) -> Doc:
    """An item whose period is not known yet.

    `debited` is what was charged for its running period, `anchor` what its periods are counted from.
    """
    return {
        "id": new_id("subscription_item"),
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": tx.now,
        "current_period_end": 0,
        "current_period_start": 0,
        "current_trial": None,
        "discounts": [],
        "metadata": metadata_of(metadata),
        "price": price,
        "quantity": quantity,
        "subscription": subscription,
        "tax_rates": [],
        "_private": {"debited": 0, "anchor": tx.now},
    }


def with_period(items: list[Doc], start: int, end: int) -> list[Doc]:
    """The same items, in this period."""
    for item in items:
        item.update(current_period_start=start, current_period_end=end, billed_until=end)
    return items


def begin(tx: Tx, item: Doc, at: int) -> None:
    """Let an item's first period begin, by its own interval."""
    with_period([item], at, boundary_after(at, recurring_of(tx, item), at))
    item["_private"].update(anchor=at, debited=amount_of(tx, item))


def check_amount(amount: int, param: str) -> None:
    """Stripe charges at most eight digits of minor units."""
    if amount > LARGEST:
        raise invalid("Amount must be no more than €999,999.99", param=param, code="amount_too_large")


def check_items(tx: Tx, items: list[Doc]) -> None:
    """Refuse what the sandbox (or Stripe) cannot bill together."""
    if not items:
        raise invalid("A subscription must have at least one active plan.", param="items")
    prices = [tx.get("price", item["price"]) for item in items]
    if any(item["quantity"] < 0 for item in items):
        raise invalid("This value must be greater than or equal to 0.", param="items[0][quantity]")
    check_amount(sum(amount_of(tx, item) for item in items), "items")
    if len({price["currency"] for price in prices}) > 1:
        raise invalid("All prices on a subscription must use the same currency.", param="items")
    if not _aligned([price["recurring"] for price in prices]):
        raise invalid(
            "The prices on a subscription must have intervals that are multiples of the shortest one.", param="items"
        )
    if len({price["id"] for price in prices}) < len(prices):
        raise invalid("Cannot add multiple subscription items with the same plan.", param="items")


#: Intervals as multiples of a day or of a month; weeks and months have no common measure.
MEASURES = {"day": ("day", 1), "week": ("day", 7), "month": ("month", 1), "year": ("month", 12)}


def _aligned(intervals: list[Doc]) -> bool:
    measured = [(*MEASURES[each["interval"]], each["interval_count"]) for each in intervals]
    lengths = [(kind, size * count) for kind, size, count in measured]
    kind, shortest = min(lengths, key=lambda each: each[1] * (30 if each[0] == "month" else 1))
    if kind == "day" and shortest == 1:
        return True  # a day is a part of everything
    return all(other == kind and length % shortest == 0 for other, length in lengths)


def merged_items(tx: Tx, subscription: Doc, wanted: list[Params]) -> list[Doc]:
    """The subscription's items with the wanted changes; without an id a price is added as another item."""
    items: list[Doc] = copy.deepcopy(subscription["items"]["data"])
    for place, change in enumerate(wanted):
        param = f"items[{place}]"
        if "price" in change:
            catalog.recurring_price(tx, change["price"], f"{param}[price]", [item["price"] for item in items])
        if "id" not in change:
            if "price" not in change:
                raise invalid(
                    f"Missing required param: {param}[price].", param=f"{param}[price]", code="parameter_missing"
                )
            added = new_item(tx, subscription["id"], change["price"], change.get("quantity", 1), change.get("metadata"))
            items.append(_joined(tx, subscription, added))
            continue
        found = next((item for item in items if item["id"] == change["id"]), None)
        if found is None:
            raise missing("subscription item", change["id"], param=f"{param}[id]", status=400)
        _change_item(items, found, change)
    check_items(tx, items)
    return items


def _change_item(items: list[Doc], found: Doc, change: Params) -> None:
    if change.get("deleted"):
        items.remove(found)
        return
    if "price" in change and change["price"] != found["price"]:
        # As at Stripe, another price starts again with a quantity of one unless the quantity is sent too.
        found.update(price=change["price"], quantity=change.get("quantity", 1))
    found["quantity"] = change.get("quantity", found["quantity"])
    found["metadata"] = metadata_of(change.get("metadata"), found["metadata"])


def _joined(tx: Tx, subscription: Doc, added: Doc) -> Doc:
    """A new item joins those of its interval; without any, its periods count from the subscription's anchor."""
    recurring = recurring_of(tx, added)
    for item in subscription["items"]["data"]:
        if recurring_of(tx, item) == recurring or subscription["status"] == "trialing":
            with_period([added], item["current_period_start"], item["current_period_end"])
            added["_private"]["anchor"] = _anchor(subscription, item)
            return added
    anchor = subscription["billing_cycle_anchor"]
    with_period([added], *period_at(anchor, recurring, tx.now))
    added["_private"]["anchor"] = anchor
    return added


def _anchor(subscription: Doc, item: Doc) -> int:
    return int(item["_private"].get("anchor") or subscription["billing_cycle_anchor"])


def change(tx: Tx, subscription: Doc, wanted: Params, items: list[Doc] | None = None) -> Plan:
    """Work out an update: items, proration_behavior, proration_date, billing_cycle_anchor, trial_end.

    Second-exact: the unused part of what was debited is credited, the rest of the new price charged. An interval
    change, free to paid, the end of a trial and `billing_cycle_anchor: now` start a new period and invoice at once.
    """
    after = merged_items(tx, subscription, wanted.get("items", [])) if items is None else items
    trialing = subscription["status"] == "trialing"
    at = _proration_date(tx, subscription, wanted)
    plan = Plan(
        after,
        subscription["billing_cycle_anchor"],
        subscription["status"],
        subscription["trial_start"],
        subscription["trial_end"],
    )
    credit = [] if trialing or wanted.get("proration_behavior") == "none" else credits(tx, subscription, at)
    if isinstance(wanted.get("trial_end"), int):
        _to_trial(tx, subscription, plan, wanted["trial_end"], credit)
    elif _starts_anew(tx, subscription, after, wanted):
        _to_new_period(tx, plan, credit, wanted.get("trial_end") == "now")
    elif not trialing:
        _within_period(tx, subscription, plan, wanted.get("proration_behavior", "create_prorations"), at)
    plan.proration_date = at if any(_is_proration(line) for line in plan.lines) else None
    if plan.invoice_now:
        plan.lines = [*subscription["_private"]["pending_lines"], *plan.lines]
    return plan


def _is_proration(line: Doc) -> bool:
    return bool(line["parent"]["subscription_item_details"]["proration"])


def _proration_date(tx: Tx, subscription: Doc, wanted: Params) -> int:
    start, end = timers.period(subscription)
    at = int(wanted.get("proration_date", tx.now))
    if "proration_date" in wanted and not start <= at <= end:
        raise invalid("Invalid proration_date: must be within the current period.", param="proration_date")
    return min(max(at, start), end)


def credits(tx: Tx, subscription: Doc, at: int) -> list[Doc]:
    """Credit lines for what was debited for the time after `at`."""
    found = [_credit(tx, item, at) for item in subscription["items"]["data"] if at < item["current_period_end"]]
    return [line for line in found if line is not None]


def _credit(tx: Tx, item: Doc, at: int) -> Doc | None:
    debited = item["_private"]["debited"]
    if not debited:
        return None
    rest = prorate(debited, item["current_period_start"], item["current_period_end"], at)
    return lines.unused(tx, item, -rest, at)


def _starts_anew(tx: Tx, subscription: Doc, after: list[Doc], wanted: Params) -> bool:
    if wanted.get("trial_end") == "now":
        return True
    if subscription["status"] == "trialing":
        return False
    before = subscription["items"]["data"]
    free_to_paid = not any(amount_of(tx, item) for item in before) and any(amount_of(tx, item) for item in after)
    anchor_now = wanted.get("billing_cycle_anchor", {}).get("type") == "now"
    return anchor_now or free_to_paid or _other_interval(tx, before, after)


def _other_interval(tx: Tx, before: list[Doc], after: list[Doc]) -> bool:
    """Does an item change its interval, or does nothing that stays have one of those before?"""
    known = {item["id"]: recurring_of(tx, item) for item in before}
    kept = [item for item in after if item["id"] in known]
    if not kept:
        return all(recurring_of(tx, item) not in known.values() for item in after)
    return any(recurring_of(tx, item) != known[item["id"]] for item in kept)


def _to_new_period(tx: Tx, plan: Plan, credit: list[Doc], ends_trial: bool) -> None:
    """Everything begins anew now, each item by its own interval."""
    for item in plan.items:
        begin(tx, item, tx.now)
    plan.anchor, plan.invoice_now = tx.now, True
    plan.lines = credit + [lines.full(tx, item, tx.now, item["current_period_end"]) for item in plan.items]
    if plan.status == "trialing" or ends_trial:
        plan.status, plan.trial_end = "active", tx.now if plan.trial_end else None


def _to_trial(tx: Tx, subscription: Doc, plan: Plan, end: int, credit: list[Doc]) -> None:
    check_trial_end(tx, end)
    trialing = subscription["status"] == "trialing"
    start = timers.period(subscription)[0] if trialing else tx.now
    with_period(plan.items, start, end)
    for item in plan.items:
        item["_private"].update(debited=0, anchor=end)
    plan.anchor, plan.status, plan.trial_end = end, "trialing", end
    if not trialing:
        plan.trial_start, plan.invoice_now = tx.now, True
        plan.lines = credit + [lines.trial(tx, item, start, end) for item in plan.items]


def check_trial_end(tx: Tx, end: int) -> None:
    """A trial ends later than now and within five years."""
    if end <= tx.now:
        raise invalid("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    if end > tx.now + FIVE_YEARS:
        raise invalid("The maximum number of trial period days is 1825 (5 years).", param="trial_end")


def _within_period(tx: Tx, subscription: Doc, plan: Plan, behaviour: str, at: int) -> None:
    if behaviour == "none":
        return
    plan.lines = _prorated(tx, subscription["items"]["data"], plan.items, at)
    plan.invoice_now = behaviour == "always_invoice" and bool(plan.lines)


def _prorated(tx: Tx, before: list[Doc], after: list[Doc], at: int) -> list[Doc]:
    """Credit and charge, each for the rest of its item's own period, of whatever differs."""
    found: list[Doc | None] = []
    old_ones, new_ones = {item["id"]: item for item in before}, {item["id"]: item for item in after}
    for ident in {**old_ones, **new_ones}:
        old, new = old_ones.get(ident), new_ones.get(ident)
        if old and new and (old["price"], old["quantity"]) == (new["price"], new["quantity"]):
            continue
        found.append(_credit(tx, old, at) if old else None)
        if new:
            whole = amount_of(tx, new)
            rest = prorate(whole, new["current_period_start"], new["current_period_end"], at)
            found.append(lines.remaining(tx, new, rest, at))
            new["_private"]["debited"] = whole
    return [line for line in found if line is not None]


def renewal(tx: Tx, subscription: Doc) -> Plan:
    """What comes at the earliest end of an item's period: the next period of all items that end then, the next phase's
    items if a schedule says so, and what waited for an invoice. Items that end later go on as they are.
    """
    boundary = timers.period(subscription)[1]
    before = subscription["items"]["data"]
    phase = phases.starting_at(tx, subscription, boundary)
    items = items_of_phase(tx, subscription, phase) if phase else copy.deepcopy(before)
    found = list(subscription["_private"]["pending_lines"])
    stays = {item["id"] for item in before if item["current_period_end"] > boundary}
    if phase and phase["proration_behavior"] != "none":
        old, new = ([item for item in each if item["id"] in stays] for each in (before, items))
        found += _prorated(tx, old, new, boundary)
    intervals = [recurring_of(tx, item) for item in before]
    for item in items:
        if item["id"] not in stays:
            if recurring_of(tx, item) not in intervals:
                item["_private"]["anchor"] = boundary
            found.append(_renewed(tx, subscription, item, boundary))
    same = any(recurring_of(tx, item) in intervals for item in items)
    anchor = subscription["billing_cycle_anchor"] if same else boundary
    return Plan(items, anchor, "active", subscription["trial_start"], subscription["trial_end"], found, True)


def _renewed(tx: Tx, subscription: Doc, item: Doc, boundary: int) -> Doc:
    """The next period of an item. One that the subscription's end cuts short is charged for its part only."""
    end = boundary_after(_anchor(subscription, item), recurring_of(tx, item), boundary)
    whole, last = amount_of(tx, item), subscription["cancel_at"]
    if last and boundary < last < end:
        amount = whole - prorate(whole, boundary, end, last)
        with_period([item], boundary, last)
        item["_private"]["debited"] = amount
        return lines.remaining(tx, item, amount, boundary)
    with_period([item], boundary, end)
    item["_private"]["debited"] = whole
    return lines.full(tx, item, boundary, end)


def items_of_phase(tx: Tx, subscription: Doc, phase: Doc) -> list[Doc]:
    """The items of a schedule's phase: one with the same price stays, another price is another item."""
    existing = {item["price"]: item for item in copy.deepcopy(subscription["items"]["data"])}
    items = []
    for wanted in phase["items"]:
        item = existing.get(wanted["price"])
        if item is None:
            item = _joined(tx, subscription, new_item(tx, subscription["id"], wanted["price"], 1))
        item["quantity"] = wanted["quantity"]
        items.append(item)
    check_items(tx, items)
    return items


def apply(subscription: Doc, plan: Plan) -> None:
    """Make the subscription what the plan says; lines that are not invoiced now are kept for the next invoice."""
    subscription["items"]["data"] = plan.items
    subscription["items"]["total_count"] = len(plan.items)
    subscription["billing_cycle_anchor"] = plan.anchor
    subscription["trial_start"], subscription["trial_end"] = plan.trial_start, plan.trial_end
    if plan.status in ("trialing", "active") and subscription["status"] in ("trialing", "active"):
        subscription["status"] = plan.status
    pending = subscription["_private"]["pending_lines"]
    subscription["_private"]["pending_lines"] = [] if plan.invoice_now else pending + plan.lines

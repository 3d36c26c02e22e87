"""What a subscription turns into, worked out before anything is touched.

Preview, update, renewal and schedule phases all ask this one module, so a preview equals its charge to the cent.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from portal.sandbox import catalog, lines, phases
from portal.sandbox.errors import invalid, missing, unsupported
from portal.sandbox.ids import new_id
from portal.sandbox.periods import boundary_after, prorate
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

    @property
    def period(self) -> tuple[int, int]:
        """The current period of the first item (all items share one interval here)."""
        return self.items[0]["current_period_start"], self.items[0]["current_period_end"]


def amount_of(tx: Tx, item: Doc) -> int:
    """The price of one whole period of this item, in minor units."""
    return int(tx.get("price", item["price"])["unit_amount"] * item["quantity"])


def recurring_of(tx: Tx, items: list[Doc]) -> Doc:
    """The interval that all items share."""
    found: Doc = tx.get("price", items[0]["price"])["recurring"]
    return found


def new_item(tx: Tx, subscription: str, price: str, quantity: int, metadata: Any = None) -> Doc:
    """An item whose period is not known yet; `debited` is what was charged for its running period."""
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
        "_private": {"debited": 0},
    }


def with_period(items: list[Doc], start: int, end: int) -> list[Doc]:
    """The same items, in this period."""
    for item in items:
        item.update(current_period_start=start, current_period_end=end, billed_until=end)
    return items


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
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}) > 1:
        raise unsupported("items with different intervals on one subscription", param="items")
    if len({price["id"] for price in prices}) < len(prices):
        raise invalid("Cannot add multiple subscription items with the same plan.", param="items")


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
            items += with_period([added], *_period(subscription))
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


def _period(subscription: Doc) -> tuple[int, int]:
    first = subscription["items"]["data"][0]
    return first["current_period_start"], first["current_period_end"]


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
    start, end = _period(subscription)
    at = int(wanted.get("proration_date", tx.now))
    if "proration_date" in wanted and not start <= at <= end:
        raise invalid("Invalid proration_date: must be within the current period.", param="proration_date")
    return min(max(at, start), end)


def credits(tx: Tx, subscription: Doc, at: int) -> list[Doc]:
    """Credit lines for what was debited for the time after `at`."""
    found = []
    for item in subscription["items"]["data"]:
        debited = item["_private"]["debited"]
        if debited:
            rest = prorate(debited, item["current_period_start"], item["current_period_end"], at)
            found.append(lines.unused(tx, item, -rest, at))
    return found


def _starts_anew(tx: Tx, subscription: Doc, after: list[Doc], wanted: Params) -> bool:
    if wanted.get("trial_end") == "now":
        return True
    if subscription["status"] == "trialing":
        return False
    before = subscription["items"]["data"]
    free_to_paid = not any(amount_of(tx, item) for item in before) and any(amount_of(tx, item) for item in after)
    anchor_now = wanted.get("billing_cycle_anchor", {}).get("type") == "now"
    return anchor_now or free_to_paid or recurring_of(tx, before) != recurring_of(tx, after)


def _to_new_period(tx: Tx, plan: Plan, credit: list[Doc], ends_trial: bool) -> None:
    end = boundary_after(tx.now, recurring_of(tx, plan.items), tx.now)
    with_period(plan.items, tx.now, end)
    for item in plan.items:
        item["_private"]["debited"] = amount_of(tx, item)
    plan.anchor, plan.invoice_now = tx.now, True
    plan.lines = credit + [lines.full(tx, item, tx.now, end) for item in plan.items]
    if plan.status == "trialing" or ends_trial:
        plan.status, plan.trial_end = "active", tx.now if plan.trial_end else None


def _to_trial(tx: Tx, subscription: Doc, plan: Plan, end: int, credit: list[Doc]) -> None:
    check_trial_end(tx, end)
    trialing = subscription["status"] == "trialing"
    start = _period(subscription)[0] if trialing else tx.now
    with_period(plan.items, start, end)
    for item in plan.items:
        item["_private"]["debited"] = 0
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
    before = {item["id"]: item for item in subscription["items"]["data"]}
    after = {item["id"]: item for item in plan.items}
    for ident in {**before, **after}:
        old, new = before.get(ident), after.get(ident)
        if old and new and (old["price"], old["quantity"]) == (new["price"], new["quantity"]):
            continue
        if old and old["_private"]["debited"]:
            rest = prorate(old["_private"]["debited"], old["current_period_start"], old["current_period_end"], at)
            plan.lines.append(lines.unused(tx, old, -rest, at))
        if new:
            whole = amount_of(tx, new)
            rest = prorate(whole, new["current_period_start"], new["current_period_end"], at)
            plan.lines.append(lines.remaining(tx, new, rest, at))
            new["_private"]["debited"] = whole
    plan.invoice_now = behaviour == "always_invoice" and bool(plan.lines)


def renewal(tx: Tx, subscription: Doc) -> Plan:
    """The next period: the next phase's items if a schedule says so, and what waited for an invoice."""
    boundary = _period(subscription)[1]
    before = subscription["items"]["data"]
    items = copy.deepcopy(before)
    phase = phases.starting_at(tx, subscription, boundary)
    if phase:
        items = items_of_phase(tx, subscription, phase)
    same = recurring_of(tx, items) == recurring_of(tx, before)
    anchor = subscription["billing_cycle_anchor"] if same else boundary
    end = boundary_after(anchor, recurring_of(tx, items), boundary)
    with_period(items, boundary, end)
    for item in items:
        item["_private"]["debited"] = amount_of(tx, item)
    found = subscription["_private"]["pending_lines"] + [lines.full(tx, item, boundary, end) for item in items]
    return Plan(items, anchor, "active", subscription["trial_start"], subscription["trial_end"], found, True)


def items_of_phase(tx: Tx, subscription: Doc, phase: Doc) -> list[Doc]:
    """The items of a schedule's phase: one with the same price stays, another price is another item."""
    existing = {item["price"]: item for item in copy.deepcopy(subscription["items"]["data"])}
    items = []
    for wanted in phase["items"]:
        item = existing.get(wanted["price"]) or new_item(tx, subscription["id"], wanted["price"], 1)
        item["quantity"] = wanted["quantity"]
        items.append(item)
    check_items(tx, items)
    return with_period(items, *_period(subscription))


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

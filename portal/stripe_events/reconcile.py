"""Bringing us in step with Stripe when events were lost: the same verbs as the events', asked for instead of told."""

from dataclasses import dataclass
from typing import Any

from portal.billing import queries as billing
from portal.checkout import flows as checkout
from portal.checkout import queries as orders
from portal.checkout.rules import OrderState
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit.unit_of_work import end_reading
from portal.stripe_events import flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions import remote


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which we were out of step with Stripe, before and after."""

    what: str
    before: Any
    after: Any


def vendor(vendor_id: int) -> list[Difference]:
    """Fulfil what was paid, mirror every subscription and invoice of the vendor's customer; says what differed."""
    found = identity.vendor(vendor_id)
    customer_id = found.stripe_customer_id if found else None
    before = snapshot(vendor_id)
    for order in orders.open_of(vendor_id):
        checkout.fulfil(order.id)
    end_reading()
    if customer_id:
        _follow_all(vendor_id, customer_id)
    after = snapshot(vendor_id)
    return [
        Difference(k, before.get(k), after.get(k)) for k in sorted({*before, *after}) if before.get(k) != after.get(k)
    ]


def _follow_all(vendor_id: int, customer_id: str) -> None:
    """Two lists from Stripe; only what differs from what we hold is fetched one by one."""
    gateway = stripe.current()
    for document in gateway.subscriptions(customer_id):
        if not subscriptions.in_step(vendor_id, remote.read(document)):
            end_reading()
            flows.follow(document["id"], customer_id, document.get("metadata"))
    known = billing.settled_ids(customer_id)
    end_reading()
    for document in reversed(gateway.invoices(customer_id)):
        details = (document.get("parent") or {}).get("subscription_details") or {}
        if details.get("subscription") and (document["id"], document["status"]) not in known:
            flows.follow(details["subscription"], customer_id, details.get("metadata"), document["id"])


def snapshot(vendor_id: int) -> dict[str, Any]:
    """What a difference is looked for in."""
    overview = subscriptions.overview(vendor_id)
    if overview is None:
        return {}
    fields = ("status", "tier_code", "amount", "period_start", "period_end", "cancel_at_period_end", "trial_ends_at",
              "payment_method", "balance")  # fmt: skip
    state = {f"subscription {name}": getattr(overview, name) for name in fields}
    state.update({f"invoice {row.number or row.id}": str(row.status) for row in billing.latest(vendor_id, 1000)})
    state["orders waiting"] = sum(o.state == OrderState.OPEN for o in orders.open_of(vendor_id))
    return state

"""States of an order, and how long a started trial stays free at Checkout."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portal.kit.money import Money
from portal.subscriptions.rules import Status

#: A running subscription is changed, not bought a second time.
PAID_FOR = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.SUSPENDED})


class OrderState(StrEnum):
    """open → fulfilled, expired, cancelled, or refused when what was paid is not what was asked."""

    OPEN = "open"
    FULFILLED = "fulfilled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUSED = "refused"


#: Stripe takes a trial end only when it lies at least 48 hours ahead; the margin covers the way there.
SHORTEST_TRIAL = timedelta(hours=48, minutes=10)


def free_until(trial_ends_at: datetime | None, now: datetime) -> datetime | None:
    """Until when the new subscription stays free: what is left of the trial, under 48 hours rounded up (SUB-3)."""
    if trial_ends_at is None or trial_ends_at <= now:
        return None
    return max(trial_ends_at, now + SHORTEST_TRIAL)


@dataclass(frozen=True, slots=True)
class Paid:
    """What the provider says was agreed to: price and amount for a whole cycle, quantity, and who the customer is."""

    customer_id: str | None
    order_ref: str | None
    stripe_price_id: str | None
    unit: Money
    quantity: int


def mismatch(
    paid: Paid, *, customer_id: str | None, order_ref: str, stripe_price_id: str, unit: Money, quantity: int = 1
) -> str | None:
    """Name the first thing in which the payment differs from what was asked, or None when all agrees."""
    pairs = [
        ("customer", paid.customer_id, customer_id),
        ("order", paid.order_ref, order_ref),
        ("price", paid.stripe_price_id, stripe_price_id),
        ("currency", paid.unit.currency, unit.currency),
        ("amount", paid.unit.minor, unit.minor),
        ("quantity", paid.quantity, quantity),
    ]
    return next((what for what, got, asked in pairs if got != asked), None)

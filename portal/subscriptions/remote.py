"""What Stripe says, as values: the parts of its documents that the portal reads, in one place."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portal.kit.money import Money

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """A card as it may be shown; the fingerprint tells the same card again (SUB-1)."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str | None

    def shown(self) -> dict[str, Any]:
        """What is kept and shown: no fingerprint."""
        return {"kind": "card", "brand": self.brand, "last4": self.last4, "exp": f"{self.exp_month:02}/{self.exp_year}"}


@dataclass(frozen=True, slots=True)
class Remote:
    """A Stripe subscription as it is now. The first item is the tier's; periods are the item's."""

    id: str
    customer_id: str
    status: str
    item_id: str
    stripe_price_id: str
    unit: Money
    quantity: int
    period_start: datetime
    period_end: datetime
    trial_end: datetime | None
    cancel_at_period_end: bool
    schedule_id: str | None
    pending_until: datetime | None
    latest_invoice_id: str | None
    card: Card | None
    order_ref: str | None
    started_at: datetime
    canceled_at: datetime | None = None
    cancel_reason: str | None = None
    cancel_feedback: str | None = None
    cancel_comment: str | None = None

    @property
    def pending_update(self) -> bool:
        """Does a change wait for its payment?"""
        return self.pending_until is not None


def at(timestamp: int) -> datetime:
    """Stripe's seconds as aware UTC."""
    return datetime.fromtimestamp(timestamp, UTC)


def maybe_at(timestamp: int | None) -> datetime | None:
    """Stripe's seconds or nothing."""
    return at(timestamp) if timestamp is not None else None


def id_of(value: Any) -> str | None:
    """The id of something that may be expanded; None where there is no text that could be one."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def read_card(method: Any) -> Card | None:
    """The card of an expanded payment method; None when it is not expanded or no card."""
    card = method.get("card") if isinstance(method, dict) else None
    if not card:
        return None
    return Card(card["brand"], card["last4"], card["exp_month"], card["exp_year"], card.get("fingerprint"))


def read(document: Document) -> Remote:
    """Read a subscription retrieved with its default payment method expanded."""
    item = document["items"]["data"][0]
    price = item["price"]
    leaving = document.get("cancellation_details") or {}
    return Remote(
        id=document["id"],
        customer_id=str(id_of(document["customer"])),
        status=document["status"],
        item_id=item["id"],
        stripe_price_id=price["id"],
        unit=Money(price["unit_amount"] or 0, price["currency"].upper()),
        quantity=item.get("quantity") or 1,
        period_start=at(item["current_period_start"]),
        period_end=at(item["current_period_end"]),
        trial_end=maybe_at(document.get("trial_end")),
        cancel_at_period_end=bool(document.get("cancel_at_period_end")),
        schedule_id=id_of(document.get("schedule")),
        pending_until=maybe_at((document.get("pending_update") or {}).get("expires_at")),
        latest_invoice_id=id_of(document.get("latest_invoice")),
        card=read_card(document.get("default_payment_method")),
        order_ref=(document.get("metadata") or {}).get("order"),
        started_at=at(document["start_date"]),
        canceled_at=maybe_at(document.get("canceled_at")),
        cancel_reason=leaving.get("reason"),
        cancel_feedback=leaving.get("feedback"),
        cancel_comment=leaving.get("comment"),
    )

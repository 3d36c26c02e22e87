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
class Planned:
    """What an item becomes with its next period; a ``quantity`` of 0: it ends."""

    stripe_price_id: str
    quantity: int

    def text(self) -> str:
        """As the subscription's metadata keeps it."""
        return f"{self.stripe_price_id}*{self.quantity}"


@dataclass(frozen=True, slots=True)
class RemoteItem:
    """An item beside the tier's: an add-on. ``unit`` is for one and a whole period; ``planned`` what it becomes."""

    id: str
    stripe_price_id: str
    unit: Money
    quantity: int
    period_start: datetime
    period_end: datetime
    planned: Planned | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """A Stripe subscription as it is now. Price, cycle and period are those of the tier's item.

    ``cancel_at`` is when Stripe ends it, whether that is the end of a period (``cancel_at_period_end``) or another day.
    """

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
    cancel_at: datetime | None = None
    addon_items: tuple[RemoteItem, ...] = ()
    #: Everything that the metadata plans, by item, also for items that have gone since.
    plans: tuple[tuple[str, Planned], ...] = ()
    #: The customer's balance, in the vendor's favour above zero; None where the customer did not come along.
    credit_minor: int | None = None

    @property
    def pending_update(self) -> bool:
        """Does a change wait for its payment?"""
        return self.pending_until is not None

    @property
    def leaving(self) -> bool:
        """Is its end planned?"""
        return self.cancel_at_period_end or self.cancel_at is not None

    @property
    def ends_elsewhere(self) -> datetime | None:
        """The planned end where it is not the end of the tier's period."""
        return self.cancel_at if self.cancel_at != self.period_end else None

    @property
    def planned(self) -> dict[str, Planned]:
        """What is planned for add-ons, by item; what is so already is no plan."""
        return {item.id: item.planned for item in self.addon_items if item.planned}

    def heir(self, item_id: str) -> RemoteItem | None:
        """The item that took an item's place as it was planned: another price comes as another item."""
        if any(item.id == item_id for item in self.addon_items):
            return None
        wanted = next((then.stripe_price_id for was, then in self.plans if was == item_id and then.quantity), None)
        return next((item for item in self.addon_items if item.stripe_price_id == wanted), None)

    @property
    def spent_plans(self) -> list[str]:
        """Items that went as planned and that nothing took the place of: nobody asks for their plan any more."""
        here = {item.id for item in self.addon_items}
        return [was for was, _ in self.plans if was not in here and self.heir(was) is None]


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


#: In the subscription's metadata: what becomes of an item with the next period. It outlives every schedule.
PLAN = "item:"


def plan_key(item_id: str) -> str:
    """The name under which the subscription's metadata keeps what is planned for an item."""
    return f"{PLAN}{item_id}"


def tier_item(items: list[Document], known: str | None = None) -> Document:
    """The item that is the tier's: the one we know, else the one whose price the catalog marked as a tier's.

    A price that somebody made in Stripe bears no mark; it is the tier's where all others are add-ons'.
    """
    for fits in (
        lambda item: item["id"] == known,
        lambda item: _kind(item) == "tier",
        lambda item: _kind(item) != "addon",
    ):
        found = next((item for item in items if fits(item)), None)
        if found is not None:
            return found
    return items[0]


def _kind(item: Document) -> str | None:
    kind: str | None = (item["price"].get("metadata") or {}).get("kind")
    return kind


def read_item(item: Document, metadata: Document) -> RemoteItem:
    """An item beside the tier's, with what the subscription's metadata plans for it."""
    return RemoteItem(
        item["id"], item["price"]["id"], _unit(item), _quantity(item), at(item["current_period_start"]),
        at(item["current_period_end"]), _planned(item, metadata.get(plan_key(item["id"]))),
    )  # fmt: skip


def _planned(item: Document, text: str | None) -> Planned | None:
    found = _plan(text)
    return found if found != Planned(item["price"]["id"], _quantity(item)) else None


def _plan(text: str | None) -> Planned | None:
    price, mark, quantity = (text or "").rpartition("*")
    return Planned(price, int(quantity)) if mark and quantity.isdecimal() else None


def _plans(metadata: Document) -> tuple[tuple[str, Planned], ...]:
    named = ((key.removeprefix(PLAN), _plan(text)) for key, text in metadata.items() if key.startswith(PLAN))
    return tuple((item_id, plan) for item_id, plan in named if plan)


def _unit(item: Document) -> Money:
    return Money(item["price"]["unit_amount"] or 0, item["price"]["currency"].upper())


def _quantity(item: Document) -> int:
    quantity: int | None = item.get("quantity")
    return 1 if quantity is None else quantity


def credit_of(customer: Any, currency: str) -> int | None:
    """What stands to a customer's credit at Stripe, which counts it below zero; nothing in another currency.

    None where only the customer's id is known, or where it was deleted.
    """
    if not isinstance(customer, dict) or "balance" not in customer:
        return None
    return -int(customer["balance"]) if customer.get("currency") == currency.lower() else 0


def read(document: Document, known_item: str | None = None) -> Remote:
    """Read a subscription retrieved with its default payment method expanded; ``known_item`` is the tier's."""
    items = document["items"]["data"]
    item = tier_item(items, known_item)
    metadata = document.get("metadata") or {}
    leaving = document.get("cancellation_details") or {}
    return Remote(
        id=document["id"],
        customer_id=str(id_of(document["customer"])),
        status=document["status"],
        item_id=item["id"],
        stripe_price_id=item["price"]["id"],
        unit=_unit(item),
        quantity=item.get("quantity") or 1,
        period_start=at(item["current_period_start"]),
        period_end=at(item["current_period_end"]),
        trial_end=maybe_at(document.get("trial_end")),
        cancel_at_period_end=bool(document.get("cancel_at_period_end")),
        schedule_id=id_of(document.get("schedule")),
        pending_until=maybe_at((document.get("pending_update") or {}).get("expires_at")),
        latest_invoice_id=id_of(document.get("latest_invoice")),
        card=read_card(document.get("default_payment_method")),
        order_ref=metadata.get("order"),
        started_at=at(document["start_date"]),
        canceled_at=maybe_at(document.get("canceled_at")),
        cancel_reason=leaving.get("reason"),
        cancel_feedback=leaving.get("feedback"),
        cancel_comment=leaving.get("comment"),
        cancel_at=maybe_at(document.get("cancel_at")),
        addon_items=tuple(read_item(other, metadata) for other in items if other is not item),
        plans=_plans(metadata),
        credit_minor=credit_of(document["customer"], item["price"]["currency"]),
    )

"""What Stripe lacks of the catalog; pure. Documents are Stripe's objects as plain dicts."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from portal.catalog.rules import Cycle
from portal.kit.money import Money

Document = Mapping[str, Any]
Owner = Literal["tier", "addon"]

INTERVALS = {Cycle.MONTHLY: "month", Cycle.YEARLY: "year"}


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A tier or an add-on as it is to stand at Stripe; ``stripe_id`` is the product that we think it is."""

    owner: Owner
    row_id: int
    code: str
    name: str
    pitch: str
    stripe_id: str | None

    def params(self) -> dict[str, Any]:
        """Its words; Stripe refuses an empty description, so one that is empty is left out."""
        described = {"description": self.pitch} if self.pitch else {}
        return {"name": self.name, **described, "metadata": {"kind": self.owner, "code": self.code}}


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A live price; ``vendor_id`` is set for an agreed one, which has no lookup key, since nobody else may find it."""

    owner: Owner
    row_id: int
    code: str
    variant: str
    cycle: Cycle
    amount: Money
    vendor_id: int | None
    stripe_id: str | None

    @property
    def lookup_key(self) -> str | None:
        """tier-<code>-<cycle>-<currency>; an add-on's variant stands after its code."""
        if self.vendor_id is not None:
            return None
        parts = (self.owner, self.code, self.variant, self.cycle, self.amount.currency.lower())
        return "-".join(part for part in parts if part)

    def params(self) -> dict[str, Any]:
        """All but the product, whose id may not be known yet. A lookup key is taken over from the price before."""
        about = {"kind": self.owner, "code": self.code, "variant": self.variant, "vendor": str(self.vendor_id or "")}
        key = {"lookup_key": self.lookup_key, "transfer_lookup_key": True} if self.lookup_key else {}
        return {
            "currency": self.amount.currency.lower(),
            "unit_amount": self.amount.minor,
            "recurring": {"interval": INTERVALS[self.cycle]},
            "metadata": {name: value for name, value in about.items() if value},
            **key,
        }

    def is_like(self, price: Document, product_id: str | None) -> bool:
        """Does a price at Stripe have our figures, which it can never change?"""
        recurring = price.get("recurring") or {}
        theirs = (
            price.get("product"),
            price.get("currency"),
            price.get("unit_amount"),
            recurring.get("interval"),
            recurring.get("interval_count", 1),
        )
        ours = (product_id, self.amount.currency.lower(), self.amount.minor, INTERVALS[self.cycle], 1)
        return theirs == ours


@dataclass(frozen=True, slots=True)
class PushStep:
    """One change. ``adopt`` changes nothing at Stripe: what stands there is ours and we note its id."""

    action: Literal["create", "update", "adopt"]
    row: ProductRow | PriceRow
    stripe_id: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> Literal["product", "price"]:
        """Which kind of object."""
        return "product" if isinstance(self.row, ProductRow) else "price"

    def creation_key(self) -> str:
        """The idempotency key of a creation: same row, same figures, same object, however often it is tried.

        The id that the row had before is part of it, so that an object which is gone is made anew and not replayed.
        """
        asked = json.dumps([dict(self.params), self.row.stripe_id], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
        return f"catalog-{self.what}-{self.row.owner}-{self.row.row_id}-{digest}"


@dataclass(frozen=True, slots=True)
class AtStripe:
    """What stands at Stripe, archived objects too, and which price ids our closed rows hold."""

    products: Iterable[Document]
    prices: Iterable[Document]
    held: frozenset[str]


def plan(products: Iterable[ProductRow], prices: Iterable[PriceRow], there: AtStripe) -> list[PushStep]:
    """The steps that bring Stripe in step, products first; none when it is.

    Prices that are closed here stay active there: their subscribers renew by them and change from them.
    """
    found = {(row.owner, row.code): _product(row, there.products) for row in products}
    steps = [step for row in products if (step := _product_step(row, found[row.owner, row.code]))]
    by_id = {price["id"]: price for price in there.prices}
    by_key = {price["lookup_key"]: price for price in there.prices if price.get("lookup_key")}
    for row in prices:
        product = found.get((row.owner, row.code))
        step = _price_step(row, product["id"] if product else None, by_id, by_key, there.held)
        steps.extend([step] if step else [])
    return steps


def _product(row: ProductRow, products: Iterable[Document]) -> Document | None:
    """Ours by id, or else one that carries our mark."""
    mark = {"kind": row.owner, "code": row.code}
    marked = [p for p in products if mark.items() <= dict(p.get("metadata") or {}).items()]
    return next((p for p in products if p["id"] == row.stripe_id), None) or next(iter(marked), None)


def _product_step(row: ProductRow, found: Document | None) -> PushStep | None:
    if found is None:
        return PushStep("create", row, params=row.params())
    wanted = row.params()
    metadata = dict(found.get("metadata") or {})
    same = {**found, "metadata": {k: metadata.get(k) for k in wanted["metadata"]}}
    differs = {name: value for name, value in wanted.items() if same.get(name) != value}
    if not found.get("active", True):
        differs["active"] = True
    if differs:
        return PushStep("update", row, found["id"], differs)
    return None if found["id"] == row.stripe_id else PushStep("adopt", row, found["id"])


def _price_step(
    row: PriceRow,
    product_id: str | None,
    by_id: Mapping[str, Document],
    by_key: Mapping[str, Document],
    held: frozenset[str],
) -> PushStep | None:
    ours = by_id.get(row.stripe_id or "")
    if ours is None or not row.is_like(ours, product_id):
        ours = by_key.get(row.lookup_key or "")
    if ours is None or not row.is_like(ours, product_id) or ours["id"] in held:
        return PushStep("create", row, params=row.params())
    differs: dict[str, Any] = {}
    if row.lookup_key and ours.get("lookup_key") != row.lookup_key:
        differs = {"lookup_key": row.lookup_key, "transfer_lookup_key": True}
    if not ours.get("active", True):
        differs["active"] = True
    if differs:
        return PushStep("update", row, ours["id"], differs)
    return None if ours["id"] == row.stripe_id else PushStep("adopt", row, ours["id"])

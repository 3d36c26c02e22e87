"""Add-on products as the operator changes them (CAT-4): words, promises and prices; nothing in use is ever deleted."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.catalog import prices
from portal.catalog.models import AddonPrice, AddonProduct
from portal.catalog.rules import Cycle, price_name
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.kit.text import N_

NAME_MAX, PITCH_MAX = 80, 500
MOST, LONGEST_PROMISE = 10_000, 24 * 90


@dataclass(frozen=True, slots=True)
class Words:
    """What an add-on is called and promises: ready within so many hours, so many for one vendor at most."""

    name: str
    pitch: str
    promised_hours: int
    max_quantity: int


@dataclass(frozen=True, slots=True)
class LivePrice:
    """A price that is sold now."""

    id: int
    variant: str
    cycle: Cycle
    amount: Money
    stripe_price_id: str | None


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A product as staff see it, retired ones too."""

    id: int
    code: str
    words: Words
    provisioning: str
    retired_at: datetime | None
    prices: tuple[LivePrice, ...]


def products() -> list[ProductRow]:
    """Every product with its live prices, by position; two statements."""
    rows = db.session.scalars(
        select(AddonProduct).order_by(AddonProduct.retired_at.is_not(None), AddonProduct.position, AddonProduct.id)
    )
    live: dict[int, list[LivePrice]] = {}
    found = select(AddonPrice).where(AddonPrice.valid_until.is_(None)).order_by(AddonPrice.amount_minor, AddonPrice.id)
    for price in db.session.scalars(found):
        amount = Money(price.amount_minor, price.currency)
        live.setdefault(price.addon_id, []).append(
            LivePrice(price.id, price.variant, Cycle(price.cycle), amount, price.stripe_price_id)
        )
    return [
        ProductRow(
            row.id, row.code, Words(row.name, row.pitch, row.promised_hours, row.max_quantity), row.provisioning,
            row.retired_at, tuple(live.get(row.id, ())),
        )
        for row in rows
    ]  # fmt: skip


def product(product_id: int) -> ProductRow:
    """One of them; NotFound when there is none."""
    found = next((row for row in products() if row.id == product_id), None)
    if found is None:
        raise NotFound
    return found


def change(product_id: int, words: Words, *, actor: Actor, now: datetime) -> bool:
    """Call it otherwise, promise something else; False when nothing differs. Invalid at the fields."""
    check_words(words)
    row = locked(product_id)
    before = Words(row.name, row.pitch, row.promised_hours, row.max_quantity)
    if before == words:
        return False
    row.name, row.pitch = words.name, words.pitch
    row.promised_hours, row.max_quantity = words.promised_hours, words.max_quantity
    changed = {name: [getattr(before, name), getattr(words, name)] for name in words.__dataclass_fields__
               if getattr(before, name) != getattr(words, name)}  # fmt: skip
    mark(row, *changed)
    audit.record(actor, "catalog.addon_changed", vendor_id=None, data={"addon": row.code, **changed}, now=now)
    return True


def check_words(words: Words) -> None:
    """Invalid at the fields for words and promises that do not do."""
    fields = {}
    if not words.name or len(words.name) > NAME_MAX:
        fields["name"] = N_("Enter a name of at most 80 characters.")
    if len(words.pitch) > PITCH_MAX:
        fields["pitch"] = N_("Use at most 500 characters.")
    if not 0 <= words.promised_hours <= LONGEST_PROMISE:
        fields["promised_hours"] = N_("Give between 0 and 2160 hours.")
    if not 1 <= words.max_quantity <= MOST:
        fields["max_quantity"] = N_("Give between 1 and 10,000.")
    if fields:
        raise Invalid(fields=fields)


def change_price(price_id: int, amount_minor: int, *, actor: Actor, now: datetime) -> bool:
    """Sell it at another amount from now on; who bought before keeps the old price. False when nothing differs.

    NotFound for a price that is not live, Conflict for a retired product, Invalid at ``amount``.
    """
    old = db.session.scalar(
        select(AddonPrice).where(AddonPrice.id == min(price_id, 2**63 - 1), AddonPrice.valid_until.is_(None))
    )
    if old is None:
        raise NotFound
    row = locked(old.addon_id)
    if row.retired_at is not None:
        raise Conflict(N_("This add-on is retired; it is not sold any more."))
    amount = Money(amount_minor, old.currency)
    if not prices.set_addon_price(row.id, old.variant, Cycle(old.cycle), amount, now=now):
        return False
    mark(row, price_name(old.variant, old.cycle, old.currency))
    data = {"addon": row.code, "variant": old.variant, "cycle": old.cycle, "currency": old.currency,
            "amount_minor": [old.amount_minor, amount_minor]}  # fmt: skip
    audit.record(actor, "catalog.addon_price_changed", vendor_id=None, data=data, now=now)
    return True


def mark(row: AddonProduct, *names: str) -> None:
    """Staff decided this: loading a preset leaves it alone from now on."""
    row.edited = sorted({*row.edited, *names})


def retire(product_id: int, *, actor: Actor, now: datetime) -> bool:
    """Take it off the market; who has it keeps it. False when it was retired before."""
    row = locked(product_id)
    if row.retired_at is not None:
        return False
    row.retired_at = now
    audit.record(actor, "catalog.addon_retired", vendor_id=None, data={"addon": row.code}, now=now)
    return True


def locked(product_id: int) -> AddonProduct:
    """A product, read anew under its lock; NotFound when there is none."""
    row = db.session.scalar(
        select(AddonProduct)
        .where(AddonProduct.id == min(product_id, 2**63 - 1))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFound
    return row

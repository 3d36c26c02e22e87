"""The range of add-ons as staff shape it (CAT-7): new products and sizes, their order, and which tiers sell them.

Nothing in use is deleted: a product is retired or sold again, a price is closed, and whoever has something keeps it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from portal.audit import service as audit
from portal.catalog import addons, prices
from portal.catalog.addons import Words
from portal.catalog.models import AddonPrice, AddonProduct, SubscriptionTier, TierAddon
from portal.catalog.rules import Cycle, Metric, price_name
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.kit.text import N_

#: What is counted of an add-on that is set up in this way; by hand it may be anything, or nothing.
COUNTS = {
    "domain": Metric.DOMAINS, "mailboxes": Metric.MAILBOXES, "certificate": Metric.CERTIFICATES,
    "storage": Metric.STORAGE_GB,
}  # fmt: skip
KINDS = (*COUNTS, "manual")
CODE = re.compile(r"[a-z][a-z0-9-]{1,39}")
MOST_GRANTED, MOST_INCLUDED, STEP = 1_000_000, 1_000, 10


@dataclass(frozen=True, slots=True)
class Size:
    """A size on sale: ``amount`` for a whole cycle; one of it adds ``grants`` to the limit of what is counted."""

    cycle: Cycle
    amount: Money
    grants: int
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class Sale:
    """How a tier sells a size; ``included`` None: not at all, 0: on top, more: so many come with the tier."""

    tier_id: int
    tier: str
    variant: str
    included: int | None


def create(code: str, kind: str, words: Words, size: Size, *, actor: Actor, now: datetime) -> int:
    """A new product with its first size, sold on top of every tier that is sold now; gives its id.

    Invalid at the fields ``code``, ``kind``, ``grants``, ``amount`` and those of ``Words``.
    """
    addons.check_words(words)
    _check_new(code, kind, size)
    last = db.session.scalar(select(func.max(AddonProduct.position))) or 0
    row = AddonProduct(
        code=code, name=words.name, pitch=words.pitch, position=last + STEP, provisioning=kind, grants={},
        max_quantity=words.max_quantity, promised_hours=words.promised_hours, created_at=now,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    variant = _put_size(row, size, now)
    for tier_id in db.session.scalars(select(SubscriptionTier.id).where(SubscriptionTier.retired_at.is_(None))):
        db.session.add(TierAddon(tier_id=tier_id, addon_id=row.id, variant=variant, included=0))
    db.session.flush()
    _record(actor, "catalog.addon_created", row, now, name=words.name, kind=kind)
    return row.id


def _check_new(code: str, kind: str, size: Size) -> None:
    fields = {}
    if not CODE.fullmatch(code):
        fields["code"] = N_("Use 2 to 40 small letters, digits and hyphens, beginning with a letter.")
    elif db.session.scalar(select(AddonProduct.id).where(AddonProduct.code == code)) is not None:
        fields["code"] = N_("There is an add-on with this code already.")
    if kind not in KINDS:
        fields["kind"] = N_("Choose one of the options.")
    fields |= _wrong_size(kind, size)
    if fields:
        raise Invalid(fields=fields)


def _wrong_size(kind: str, size: Size) -> dict[str, str]:
    least = 0 if kind == "manual" and size.metric is None else 1
    if not least <= size.grants <= MOST_GRANTED:
        return {"grants": N_("Give a whole number from 1 to 1,000,000.")}
    if size.amount.minor <= 0:
        return {"amount": N_("Give an amount above 0. What costs nothing is given to a vendor by staff.")}
    return {}


def add_size(product_id: int, size: Size, *, actor: Actor, now: datetime) -> bool:
    """Sell another size of mailboxes, or the same at another interval or in another currency; False when it is so.

    The tiers that sell it now sell the new size too. Conflict for a retired product.
    """
    row = addons.locked(product_id)
    if row.retired_at is not None:
        raise Conflict(N_("This add-on is retired; it is not sold any more."))
    if wrong := _wrong_size(row.provisioning, size):
        raise Invalid(fields=wrong)
    before = _live(row.id, _variant(row.provisioning, size), size)
    if before is not None and before.amount_minor == size.amount.minor:
        return False
    variant = _put_size(row, size, now)
    mine = select(TierAddon.tier_id, TierAddon.variant).where(TierAddon.addon_id == row.id)
    sold = [(tier_id, sold) for tier_id, sold in db.session.execute(mine)]
    for tier_id in {tier_id for tier_id, _sold in sold} - {tier_id for tier_id, sold_as in sold if sold_as == variant}:
        db.session.add(TierAddon(tier_id=tier_id, addon_id=row.id, variant=variant, included=0))
    addons.mark(row, price_name(variant, size.cycle, size.amount.currency), "grants")
    db.session.flush()
    _record(actor, "catalog.addon_price_changed", row, now, variant=variant, cycle=str(size.cycle),
            currency=size.amount.currency, amount_minor=[None, size.amount.minor])  # fmt: skip
    return True


def _live(addon_id: int, variant: str, size: Size) -> AddonPrice | None:
    return db.session.scalar(
        select(AddonPrice).where(
            AddonPrice.addon_id == addon_id, AddonPrice.variant == variant, AddonPrice.cycle == size.cycle,
            AddonPrice.currency == size.amount.currency, AddonPrice.valid_until.is_(None),
        )
    )  # fmt: skip


def _variant(kind: str, size: Size) -> str:
    """Only mailboxes are sold by size, and the size says how many there are."""
    return str(size.grants) if kind == "mailboxes" else ""


def _put_size(row: AddonProduct, size: Size, now: datetime) -> str:
    variant = _variant(row.provisioning, size)
    metric = COUNTS.get(row.provisioning, size.metric)
    limits: dict[str, Any] = dict(row.grants.get("limits", {}))
    if variant not in limits:
        limits[variant] = {str(metric): size.grants} if metric is not None else {}
    row.grants = {**row.grants, "limits": limits}
    prices.set_addon_price(row.id, variant, size.cycle, size.amount, now=now)
    return variant


def close_price(price_id: int, *, actor: Actor, now: datetime) -> None:
    """Sell at this price no longer, without another in its place; who has it keeps it. NotFound for a closed one."""
    found = db.session.scalar(
        select(AddonPrice)
        .where(AddonPrice.id == min(price_id, 2**63 - 1), AddonPrice.valid_until.is_(None))
        .with_for_update()
    )
    if found is None:
        raise NotFound
    row = addons.locked(found.addon_id)
    found.valid_until = max(now, found.valid_from)
    addons.mark(row, price_name(found.variant, found.cycle, found.currency))
    db.session.flush()
    _record(actor, "catalog.addon_price_changed", row, now, variant=found.variant, cycle=found.cycle,
            currency=found.currency, amount_minor=[found.amount_minor, None])  # fmt: skip


def sell_again(product_id: int, *, actor: Actor, now: datetime) -> bool:
    """Back on the market at its live prices; False when it was never off."""
    row = addons.locked(product_id)
    if row.retired_at is None:
        return False
    row.retired_at = None
    _record(actor, "catalog.addon_sold_again", row, now)
    return True


def move(product_id: int, *, up: bool, actor: Actor, now: datetime) -> bool:
    """Change places with the neighbour above or below; False at the end of the list."""
    statement = select(AddonProduct).order_by(AddonProduct.retired_at.is_not(None), AddonProduct.position,
                                              AddonProduct.id)  # fmt: skip
    rows = list(db.session.scalars(statement.with_for_update().execution_options(populate_existing=True)))
    place = next((i for i, row in enumerate(rows) if row.id == product_id), None)
    if place is None:
        raise NotFound
    other = place - 1 if up else place + 1
    if not 0 <= other < len(rows):
        return False
    rows[place], rows[other] = rows[other], rows[place]
    for i, row in enumerate(rows, 1):
        if row.position != i * STEP:
            row.position = i * STEP
            addons.mark(row, "position")
    db.session.flush()
    _record(actor, "catalog.addon_moved", rows[other], now, up=up)
    return True


def sales(product_id: int) -> list[Sale]:
    """Every tier that is sold, with each size of the product; the tiers in their order."""
    row = addons.product(product_id)
    sizes = sorted({price.variant for price in row.prices}, key=lambda variant: (len(variant), variant)) or [""]
    tiers = db.session.execute(
        select(SubscriptionTier.id, SubscriptionTier.name)
        .where(SubscriptionTier.retired_at.is_(None))
        .order_by(SubscriptionTier.position, SubscriptionTier.id)
    ).all()
    held = select(TierAddon.tier_id, TierAddon.variant, TierAddon.included).where(TierAddon.addon_id == product_id)
    known = {(tier_id, variant): included for tier_id, variant, included in db.session.execute(held)}
    return [Sale(t.id, t.name, variant, known.get((t.id, variant))) for t in tiers for variant in sizes]


def sell_with(product_id: int, wanted: Mapping[tuple[int, str], int | None], *, actor: Actor, now: datetime) -> bool:
    """Which tiers sell which size, and how many each brings along, by (tier, size); False when nothing differs.

    What a tier brings is seen by its vendors at once; what it brings no more stays with those who have set it up, until
    their tier changes. Invalid (field ``included``).
    """
    row = addons.locked(product_id)
    present = {(sale.tier_id, sale.variant): sale for sale in sales(product_id)}
    if any(n is not None and not 0 <= n <= MOST_INCLUDED for n in wanted.values()) or wanted.keys() - present.keys():
        raise Invalid(fields={"included": N_("Give a whole number from 0 to 1,000, or leave it empty.")})
    changed = {key: n for key, n in wanted.items() if n != present[key].included}
    for (tier_id, variant), included in changed.items():
        _sell(row.id, tier_id, variant, included)
    if not changed:
        return False
    addons.mark(row, "tiers")
    db.session.flush()
    told = [[present[key].tier, key[1], present[key].included, n] for key, n in changed.items()]
    _record(actor, "catalog.addon_tiers_changed", row, now, tiers=told)
    return True


def _sell(addon_id: int, tier_id: int, variant: str, included: int | None) -> None:
    mine = (TierAddon.addon_id == addon_id, TierAddon.tier_id == tier_id, TierAddon.variant == variant)
    held = db.session.scalar(select(TierAddon).where(*mine))
    if held is not None and included is None:
        db.session.delete(held)
    elif held is not None and included is not None:
        held.included = included
    elif included is not None:
        db.session.add(TierAddon(addon_id=addon_id, tier_id=tier_id, variant=variant, included=included))


def _record(actor: Actor, action: str, row: AddonProduct, now: datetime, **data: Any) -> None:
    audit.record(actor, action, vendor_id=None, data={"addon": row.code, **data}, now=now)

"""Reading the catalog."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, cast, literal, null, or_, select, union_all
from sqlalchemy.engine import Row

from portal.catalog.models import (
    AddonPrice,
    AddonProduct,
    SubscriptionTier,
    TierAddon,
    TierFeature,
    TierLimit,
    TierPrice,
)
from portal.catalog.rules import AddonPriceTag, CreditPolicy, Cycle, IncludedAddon, Price, Tier
from portal.kit.db import BigId, db
from portal.kit.direct import Direct
from portal.kit.money import Money

AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]

_TIER = (
    SubscriptionTier.id,
    SubscriptionTier.code,
    SubscriptionTier.name,
    SubscriptionTier.pitch,
    SubscriptionTier.position,
    SubscriptionTier.trial_days,
    SubscriptionTier.included_credits,
    SubscriptionTier.credit_policy,
    SubscriptionTier.rollover_cap,
    SubscriptionTier.is_public,
    SubscriptionTier.retired_at,
    SubscriptionTier.self_service,
    SubscriptionTier.highlighted,
    SubscriptionTier.stripe_product_id,
)
_PRICE = (
    TierPrice.id,
    TierPrice.tier_id,
    TierPrice.cycle,
    TierPrice.amount_minor,
    TierPrice.currency,
    TierPrice.stripe_price_id,
)
_CYCLES = {Cycle.MONTHLY: 0, Cycle.YEARLY: 1}


def tiers(*, public_only: bool = True) -> list[Tier]:
    """Active tiers by position, with all that belongs to them; three queries whatever their number."""
    statement = select(*_TIER).where(SubscriptionTier.retired_at.is_(None))
    if public_only:
        statement = statement.where(SubscriptionTier.is_public)
    return _load(statement)


def tier_by_code(code: str) -> Tier | None:
    """A tier by its code, retired and hidden ones too. Codes come from addresses and forms: PostgreSQL refuses NUL."""
    return None if "\0" in code else _one(SubscriptionTier.code == code)


def tier_by_id(tier_id: int) -> Tier | None:
    """A tier by its id, retired and hidden ones too."""
    return next(iter(_whole(_BY_ID({"tier": tier_id}))), None)


def price(price_id: int) -> Price | None:
    """A price by its id, closed ones too: a subscriber keeps the one it bought (CAT-2)."""
    return next(map(_price, _PRICE_BY_ID({"price": price_id})), None)


def price_by_stripe_id(stripe_price_id: str) -> Price | None:
    """The price that Stripe knows by this id, closed ones too."""
    return next(map(_price, _PRICE_BY_STRIPE_ID({"price": stripe_price_id})), None)


def offer(tier_code: str, cycle: Cycle, currency: str | None = None, vendor_id: int | None = None) -> Price | None:
    """The price at which this tier can be bought now, or None when it cannot.

    That is the live price of an active, public, self-service tier; a price agreed with this vendor comes before it
    and needs no public tier (SUB-6). Without a currency, the one that was priced first.
    """
    if "\0" in tier_code:
        return None
    public = TierPrice.vendor_id.is_(None) & SubscriptionTier.is_public & SubscriptionTier.self_service
    allowed = public if vendor_id is None else or_(TierPrice.vendor_id == vendor_id, public)
    statement = (
        select(*_PRICE)
        .join(SubscriptionTier)
        .where(SubscriptionTier.code == tier_code, SubscriptionTier.retired_at.is_(None), allowed)
        .where(TierPrice.cycle == cycle, TierPrice.valid_until.is_(None))
        .order_by(TierPrice.vendor_id.is_(None), TierPrice.id)
    )
    return _first(statement if currency is None else statement.where(TierPrice.currency == currency))


def successor(price_id: int, vendor_id: int) -> Price | None:
    """The price at which this vendor is offered now what ``price_id`` stood for; None for a price it never saw."""
    row = db.session.execute(
        select(SubscriptionTier.code, TierPrice.cycle, TierPrice.currency)
        .join(TierPrice, TierPrice.tier_id == SubscriptionTier.id)
        .where(TierPrice.id == price_id, or_(TierPrice.vendor_id.is_(None), TierPrice.vendor_id == vendor_id))
    ).first()
    return offer(row.code, Cycle(row.cycle), row.currency, vendor_id) if row else None


def addon_prices(codes: Iterable[str], currency: str) -> list[AddonPriceTag]:
    """The live list prices of these add-ons in one currency, every size and cycle."""
    rows = db.session.execute(
        select(AddonPrice.id, AddonProduct.code, AddonPrice.variant, AddonPrice.cycle, AddonPrice.amount_minor)
        .join(AddonProduct)
        .where(AddonProduct.code.in_(list(codes)), AddonProduct.retired_at.is_(None))
        .where(AddonPrice.currency == currency, AddonPrice.valid_until.is_(None))
        .order_by(AddonPrice.id)
    )
    return [AddonPriceTag(r.id, r.code, r.variant, Cycle(r.cycle), Money(r.amount_minor, currency)) for r in rows]


def currencies() -> list[str]:
    """The currencies in which public tiers can be bought now, by code."""
    statement = (
        select(TierPrice.currency)
        .join(SubscriptionTier)
        .where(SubscriptionTier.is_public, SubscriptionTier.retired_at.is_(None))
        .where(TierPrice.valid_until.is_(None), TierPrice.vendor_id.is_(None))
    )
    return sorted(db.session.scalars(statement.distinct()))


def _one(condition: ColumnElement[bool]) -> Tier | None:
    return next(iter(_load(select(*_TIER).where(condition))), None)


def _first(statement: AnySelect) -> Price | None:
    row = db.session.execute(statement.limit(1)).first()
    return _price(row) if row else None


def _price(row: Any) -> Price:
    amount = Money(row.amount_minor, row.currency)
    return Price(row.id, row.tier_id, Cycle(row.cycle), amount, row.stripe_price_id)


@dataclass(slots=True)
class _Parts:
    """What hangs on one tier, while it is gathered."""

    limits: dict[str, int | None]
    features: dict[str, str]
    addons: list[IncludedAddon]


def _load(statement: AnySelect) -> list[Tier]:
    return _whole(db.session.execute(statement.order_by(SubscriptionTier.position, SubscriptionTier.id)).all())


def _whole(rows: Sequence[Any]) -> list[Tier]:
    if not rows:
        return []
    ids = [row.id for row in rows]
    parts, prices = _parts(ids), _live_prices(ids)
    return [_tier(row, parts[row.id], prices[row.id]) for row in rows]


def _tier(row: Any, parts: _Parts, prices: Iterable[Price]) -> Tier:
    return Tier(
        id=row.id,
        code=row.code,
        name=row.name,
        pitch=row.pitch,
        position=row.position,
        trial_days=row.trial_days,
        included_credits=row.included_credits,
        credit_policy=CreditPolicy(row.credit_policy),
        rollover_cap=row.rollover_cap,
        is_public=row.is_public,
        is_active=row.retired_at is None,
        self_service=row.self_service,
        highlighted=row.highlighted,
        limits=parts.limits,
        features=parts.features,
        prices=tuple(prices),
        addons=tuple(parts.addons),
        stripe_product_id=row.stripe_product_id,
    )


def _live_prices(tier_ids: Sequence[int]) -> dict[int, list[Price]]:
    """Live public prices per tier, monthly before yearly, by currency."""
    found: dict[int, list[Price]] = defaultdict(list)
    for row in db.session.execute(_LIVE, {"tiers": list(tier_ids)}):
        found[row.tier_id].append(_price(row))
    for prices in found.values():
        prices.sort(key=lambda p: (p.amount.currency, _CYCLES[p.cycle]))
    return found


_LIVE = select(*_PRICE).where(
    TierPrice.tier_id.in_(bindparam("tiers", expanding=True, type_=BigId)),
    TierPrice.valid_until.is_(None),
    TierPrice.vendor_id.is_(None),
)


def _parts(tier_ids: Sequence[int]) -> dict[int, _Parts]:
    """Limits, features and included add-ons of these tiers in one query, each in the order of its own kind."""
    found: dict[int, _Parts] = defaultdict(lambda: _Parts({}, {}, []))
    for row in db.session.execute(_PARTS, {"tiers": list(tier_ids)}):
        mine = found[row.tier_id]
        if row.kind == "limit":
            mine.limits[row.key] = row.number
        elif row.kind == "feature":
            mine.features[row.key] = row.text
        else:
            mine.addons.append(IncludedAddon(row.key, row.name, row.text, row.number))
    return found


def _parts_statement() -> AnySelect:
    tier_ids = bindparam("tiers", expanding=True, type_=BigId)
    no_text, no_number = cast(null(), String), cast(null(), BigId)
    limits = select(
        TierLimit.tier_id,
        literal("limit").label("kind"),
        TierLimit.id.label("place"),
        TierLimit.metric.label("key"),
        no_text.label("name"),
        no_text.label("text"),
        TierLimit.value.label("number"),
    ).where(TierLimit.tier_id.in_(tier_ids))
    features = select(
        TierFeature.tier_id,
        literal("feature"),
        TierFeature.id,
        TierFeature.feature,
        no_text,
        TierFeature.value,
        no_number,
    ).where(TierFeature.tier_id.in_(tier_ids))
    addons = (
        select(
            TierAddon.tier_id,
            literal("addon"),
            AddonProduct.position,
            AddonProduct.code,
            AddonProduct.name,
            TierAddon.variant,
            TierAddon.included,
        )
        .join(AddonProduct)
        .where(TierAddon.tier_id.in_(tier_ids), TierAddon.included > 0)
    )
    every = union_all(limits, features, addons).subquery()
    return select(every).order_by(every.c.kind, every.c.place, every.c.key, every.c.text)


#: Built once: building it took longer than its answer.
_PARTS = _parts_statement()
_BY_ID = Direct(select(*_TIER).where(SubscriptionTier.id == bindparam("tier")))
_PRICE_BY_ID = Direct(select(*_PRICE).where(TierPrice.id == bindparam("price")))
_PRICE_BY_STRIPE_ID = Direct(select(*_PRICE).where(TierPrice.stripe_price_id == bindparam("price")).limit(1))

"""What would let through what the gate refused: the next tier, and add-ons. Asked only when something was refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct, SubscriptionTier, TierAddon
from portal.catalog.rules import Metric, Tier, counted, reaches
from portal.entitlements.state import state
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class WayTier:
    """A tier that helps, with its number of the metric (``limit`` None: unlimited) or its level of the feature."""

    code: str
    name: str
    limit: int | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class WayAddon:
    """An add-on in one size that adds to the limit; the name is a message id."""

    code: str
    variant: str
    name: str
    adds: int


@dataclass(frozen=True, slots=True)
class Ways:
    """What to do about a refusal. Limits here are the catalog's numbers: gigabytes, not bytes."""

    tier: WayTier | None
    addons: tuple[WayAddon, ...] = ()


def for_limit(vendor_id: int, metric: Metric, needed: int, now: datetime) -> Ways:
    """The next public tier that can be bought at once and has room for ``needed`` (in the unit that is counted), or
    failing that the one that comes closest; and the add-ons that the vendor's tier may add.
    """
    held = state(vendor_id, now)
    limit = held.limit(metric)
    more = [t for t in _larger(held.tier) if _above(counted(metric, t.limits.get(metric, 0)), limit)]
    roomy = [t for t in more if _above(counted(metric, t.limits[metric]), needed - 1)]
    best = next(iter(roomy), None) or (more[-1] if more else None)
    tier = WayTier(best.code, best.name, limit=best.limits[metric]) if best else None
    return Ways(tier, tuple(_addons(held.tier, metric)))


def for_feature(vendor_id: int, feature: str, level: str | None, now: datetime) -> Ways:
    """The next public tier that can be bought at once and has the feature, at this level where one is asked for."""
    return Ways(tier_with(_larger(state(vendor_id, now).tier), lambda tier: tier.features.get(feature), feature, level))


def tier_with(tiers: list[Tier], held: Callable[[Tier], str | None], feature: str, level: str | None) -> WayTier | None:
    """The first of these tiers whose level of a feature is enough."""
    found = next((tier for tier in tiers if reaches(feature, held(tier), level)), None)
    return WayTier(found.code, found.name, level=held(found)) if found else None


def _above(limit: int | None, than: int | None) -> bool:
    return than is not None and (limit is None or limit > than)


def _larger(code: str | None) -> list[Tier]:
    """Tiers above this one that are sold in its currency, smallest first; all of them for whoever has none."""
    sold = [tier for tier in catalog.tiers() if tier.self_service]
    own = catalog.tier_by_code(code) if code else None
    if own is None:
        return sold
    money = {price.amount.currency for price in own.prices}
    return [
        t for t in sold if t.position > own.position and (not money or money & {p.amount.currency for p in t.prices})
    ]


def _addons(tier_code: str | None, metric: Metric) -> list[WayAddon]:
    rows = db.session.execute(
        select(AddonProduct.code, AddonProduct.name, AddonProduct.grants, TierAddon.variant)
        .join(TierAddon, TierAddon.addon_id == AddonProduct.id)
        .join(SubscriptionTier, SubscriptionTier.id == TierAddon.tier_id)
        .where(SubscriptionTier.code == tier_code, AddonProduct.retired_at.is_(None))
        .order_by(AddonProduct.position, TierAddon.id)
    )
    found = [WayAddon(r.code, r.variant, r.name, _adds(r.grants, r.variant, metric)) for r in rows]
    return [addon for addon in found if addon.adds > 0]


def _adds(grants: dict[str, dict[str, dict[str, int]]], variant: str, metric: Metric) -> int:
    return int(grants.get("limits", {}).get(variant, {}).get(metric, 0))

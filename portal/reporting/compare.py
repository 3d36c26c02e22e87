"""What a vendor would gain and lose by another tier, with the numbers; pure (SUB-4, SUB-5)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from portal.catalog.rules import Cycle, IncludedAddon, Metric, Price, Tier, higher_level
from portal.subscriptions.meters import Meter


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """A feature's level before and after; None where it is not there."""

    feature: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit before and after (None: unlimited) with what is used now (None: nothing was counted)."""

    metric: Metric
    before: int | None
    after: int | None
    used: int | Decimal | None

    @property
    def is_less(self) -> bool:
        """Does the vendor get less?"""
        return self.after is not None and (self.before is None or self.after < self.before)

    @property
    def over(self) -> int | Decimal:
        """By how much what is used now would exceed the limit."""
        return max(0, (self.used or 0) - self.after) if self.after is not None else 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that differs, in the catalog's order."""

    gained: tuple[FeatureChange, ...]
    lost: tuple[FeatureChange, ...]
    limits: tuple[LimitChange, ...]
    addons_gained: tuple[IncludedAddon, ...]
    addons_lost: tuple[IncludedAddon, ...]
    credits_before: int
    credits_after: int

    @property
    def exceeded(self) -> tuple[LimitChange, ...]:
        """Limits that what is used now would exceed. Nothing is deleted; only new things are refused."""
        return tuple(limit for limit in self.limits if limit.over)

    @property
    def is_loss(self) -> bool:
        """Is anything taken away?"""
        less = any(limit.is_less for limit in self.limits) or self.credits_after < self.credits_before
        return bool(self.lost or self.addons_lost or less)

    @property
    def is_gain(self) -> bool:
        """Is anything added?"""
        more = any(not limit.is_less for limit in self.limits) or self.credits_after > self.credits_before
        return bool(self.gained or self.addons_gained or more)


def compare(now: Tier, then: Tier, meters: Sequence[Meter]) -> Comparison:
    """What changes from one tier to another for a vendor with these meters.

    What add-ons and overrides grant stays: an add-on's share is added to the coming limit, and an overridden limit
    does not change with the tier.
    """
    differing = [c for c in _features(now, then) if c.before != c.after]
    return Comparison(
        gained=tuple(c for c in differing if _is_gain(c)),
        lost=tuple(c for c in differing if not _is_gain(c)),
        limits=tuple(limit for limit in _limits(now, then, meters) if limit.before != limit.after),
        addons_gained=_beyond(then.addons, now.addons),
        addons_lost=_beyond(now.addons, then.addons),
        credits_before=now.included_credits,
        credits_after=then.included_credits,
    )


def _features(now: Tier, then: Tier) -> list[FeatureChange]:
    names = dict.fromkeys([*now.features, *then.features])
    return [FeatureChange(name, now.features.get(name), then.features.get(name)) for name in names]


def _is_gain(change: FeatureChange) -> bool:
    if change.before is None or change.after is None:
        return change.before is None
    return higher_level(change.feature, change.before, change.after) == change.after


def _limits(now: Tier, then: Tier, meters: Sequence[Meter]) -> list[LimitChange]:
    seen = {meter.metric: meter for meter in meters}
    metrics = [metric for metric in Metric if metric in now.limits or metric in then.limits]
    return [_limit(metric, now, then, seen.get(metric)) for metric in metrics]


def _limit(metric: Metric, now: Tier, then: Tier, meter: Meter | None) -> LimitChange:
    before, after = now.limits.get(metric, 0), then.limits.get(metric, 0)
    if meter is None:
        return LimitChange(metric, before, after, None)
    if meter.source == "override":
        return LimitChange(metric, meter.limit, meter.limit, meter.used)
    if meter.limit is None and before is not None:
        return LimitChange(metric, None, None, meter.used)
    extra = meter.limit - before if "addon" in meter.source and meter.limit is not None and before is not None else 0
    return LimitChange(metric, meter.limit, after if after is None else after + extra, meter.used)


def _beyond(many: Iterable[IncludedAddon], few: Iterable[IncludedAddon]) -> tuple[IncludedAddon, ...]:
    """What ``many`` includes and ``few`` does not, or includes less of."""
    known = {(addon.code, addon.variant): addon.quantity for addon in few}
    return tuple(addon for addon in many if addon.quantity > known.get((addon.code, addon.variant), 0))


class Direction(StrEnum):
    """What choosing a tier would be for a vendor."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    CYCLE = "cycle"
    PRICE = "price"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Choice:
    """A tier that can be chosen, or (``price`` None) one whose price must be agreed first."""

    tier: Tier
    price: Price | None
    direction: Direction


def choices(
    tiers: Iterable[Tier], now: Tier | None, price: Price | None, cycle: Cycle, currency: str, agreed: Price | None
) -> list[Choice]:
    """The tiers to choose from at one cycle, cheapest first, without the very price that the vendor has now.

    ``agreed`` is the price that only this vendor sees; it comes before its tier's public one (SUB-6).
    """
    found = []
    for tier in tiers:
        offer = _offer(tier, cycle, currency, agreed)
        if price is not None and offer is not None and offer.id == price.id:
            continue
        if offer is None and (not tier.is_public or tier.self_service or (now and tier.id == now.id)):
            continue
        found.append(Choice(tier, offer, _direction(tier, offer, now, price)))
    return found


def _offer(tier: Tier, cycle: Cycle, currency: str, agreed: Price | None) -> Price | None:
    if agreed is not None and (agreed.tier_id, agreed.cycle, agreed.amount.currency) == (tier.id, cycle, currency):
        return agreed
    return tier.price(cycle, currency) if tier.is_public and tier.self_service else None


def _direction(tier: Tier, offer: Price | None, now: Tier | None, price: Price | None) -> Direction:
    if offer is None:
        return Direction.CONTACT
    if now is not None and tier.id == now.id:
        return Direction.CYCLE if price is None or price.cycle != offer.cycle else Direction.PRICE
    return Direction.DOWNGRADE if now is not None and tier.position < now.position else Direction.UPGRADE

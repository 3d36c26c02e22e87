"""The pricing page's view of the catalog: what a tier holds in words, what it adds to its neighbour, the comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from portal.catalog.rules import (
    FEATURE_NAMES,
    LEVEL_NAMES,
    METRIC_NAMES,
    ON,
    PER_PERIOD,
    Cycle,
    IncludedAddon,
    Metric,
    Price,
    Tier,
    higher_level,
)
from portal.kit.money import Money
from portal.web.kit.filters import number


@dataclass(frozen=True, slots=True)
class Offer:
    """A card: the tier, its price in the chosen cycle (None: on request), and what it says. ``beyond`` names the tier
    whose contents come along, so that ``words`` need only say what this one adds."""

    tier: Tier
    price: Price | None
    beyond: str | None
    words: tuple[str, ...]
    monthly_equivalent: Money | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the comparison: one word per tier, None where a tier lacks it."""

    name: str
    cells: tuple[str | None, ...]


def offers(tiers: Sequence[Tier], cycle: Cycle) -> list[Offer]:
    """Cards in the tiers' order; each but the first says what it adds to the one before."""
    found: list[Offer] = []
    for before, tier in zip((None, *tiers), tiers, strict=False):
        words = gains(before, tier) if before else everything(tier)
        price = tier.price(cycle) if tier.self_service else None
        found.append(Offer(tier, price, _(before.name) if before else None, tuple(words), _by_month(price)))
    return found


def _by_month(price: Price | None) -> Money | None:
    """What a yearly price is for one month, rounded down to whole units; None for monthly ones."""
    if price is None or price.cycle != Cycle.YEARLY:
        return None
    return Money(price.amount.minor // 12, price.amount.currency)


def saving(tiers: Sequence[Tier]) -> int:
    """Months that a yearly price gives free, the least of all tiers; 0 when one of them gives none."""
    months = []
    for tier in tiers:
        monthly, yearly = tier.price(Cycle.MONTHLY), tier.price(Cycle.YEARLY)
        if monthly and yearly and monthly.amount.minor:
            months.append(12 - -(-yearly.amount.minor // monthly.amount.minor))
    return max(0, min(months, default=0))


def everything(tier: Tier) -> list[str]:
    """All that a tier holds, in words."""
    words = [limit_words(metric, value) for metric, value in tier.limits.items()]
    words += [credit_words(tier.included_credits)] if tier.included_credits else []
    words += [feature_words(feature, level) for feature, level in tier.features.items()]
    return words + [addon_words(addon) for addon in tier.addons]


def gains(before: Tier, tier: Tier) -> list[str]:
    """What ``tier`` has more of than ``before``, in words."""
    words = [limit_words(m, v) for m, v in tier.limits.items() if _more(before.limits.get(m, 0), v)]
    if tier.included_credits > before.included_credits:
        words.append(credit_words(tier.included_credits))
    for feature, level in tier.features.items():
        had = before.features.get(feature)
        if had is None or (had != level and higher_level(feature, had, level) == level):
            words.append(feature_words(feature, level))
    return words + [addon_words(addon) for addon in tier.addons if addon not in before.addons]


def _more(had: int | None, has: int | None) -> bool:
    return had is not None and (has is None or has > had)


def limit_words(metric: str, value: int | None) -> str:
    """500 orders a month; unlimited products."""
    name = _(METRIC_NAMES[Metric(metric)])
    amount = _("unlimited") if value is None else number(value)
    if Metric(metric) in PER_PERIOD and value is not None:
        return str(_("%(name)s: %(amount)s a month", name=name, amount=amount))
    return str(_("%(name)s: %(amount)s", name=name, amount=amount))


def credit_words(credits: int) -> str:
    """2,000 credits a month."""
    return str(_("%(amount)s credits a month", amount=number(credits)))


def feature_words(feature: str, level: str) -> str:
    """Analytics: advanced; API access."""
    name = _(FEATURE_NAMES.get(feature, feature))
    return str(name if level == ON else _("%(name)s: %(level)s", name=name, level=_(LEVEL_NAMES.get(level, level))))


def addon_words(addon: IncludedAddon) -> str:
    """Custom domain; Email package (5)."""
    name = _("%(name)s (%(size)s)", name=_(addon.name), size=addon.variant) if addon.variant else _(addon.name)
    return str(_("%(count)s × %(name)s", count=addon.quantity, name=name) if addon.quantity > 1 else name)


def comparison(tiers: Sequence[Tier]) -> list[Row]:
    """Every limit, feature and included add-on that any of the tiers has, tier by tier."""
    rows = [
        Row(_(METRIC_NAMES[Metric(m)]), tuple(_limit_cell(t, m) for t in tiers))
        for m in _keys([t.limits for t in tiers])
    ]
    rows.append(Row(_("Credits a month"), tuple(number(t.included_credits) or None for t in tiers)))
    for feature in _keys([t.features for t in tiers]):
        cells = tuple(
            _(LEVEL_NAMES.get(t.features[feature], t.features[feature])) if feature in t.features else None
            for t in tiers
        )
        rows.append(Row(_(FEATURE_NAMES.get(feature, feature)), cells))
    names = dict.fromkeys((a.code, a.name) for t in tiers for a in t.addons)
    return rows + [Row(_(name), tuple(_addon_cell(t, code) for t in tiers)) for code, name in names]


def _keys(each: Sequence[dict[str, object]] | Sequence[dict[str, int | None]] | Sequence[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for one in each for key in one))


def _limit_cell(tier: Tier, metric: str) -> str | None:
    if metric not in tier.limits:
        return None
    value = tier.limits[metric]
    if value is None:
        return str(_("Unlimited"))
    return str(_("%(amount)s a month", amount=number(value)) if Metric(metric) in PER_PERIOD else number(value))


def _addon_cell(tier: Tier, code: str) -> str | None:
    found = [addon for addon in tier.addons if addon.code == code]
    return ", ".join(addon.variant or number(addon.quantity) for addon in found) or None

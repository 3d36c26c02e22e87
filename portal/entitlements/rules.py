"""How grants add up to what a vendor may do; pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from portal.catalog.rules import higher_level


class Source(StrEnum):
    """Because of what a right is there."""

    TIER = "tier"
    ADDON = "addon"
    OVERRIDE = "override"


class Kind(StrEnum):
    """What a grant gives."""

    LIMIT = "limit"
    FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant. A limit has an ``amount`` (None: unlimited), a feature a ``level``; ``ref`` names the cause."""

    source: Source
    ref: str
    kind: Kind
    key: str
    amount: int | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Rights:
    """What a vendor may do now. A limit of None is unlimited; a metric or feature that is absent is not granted.

    ``source`` says where each number and level comes from: tier, addon, tier+addon or override. An answer may be
    kept exactly as long as ``version`` stays the same.
    """

    version: int
    limits: dict[str, int | None] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)


def combine(version: int, grants: Iterable[Grant]) -> Rights:
    """Add up grants, given from the oldest to the newest.

    The newest override beats everything, also when it is lower. Otherwise add-ons add to the tier's number, and
    unlimited wins. Of a feature's levels the highest counts.
    """
    by_key: dict[tuple[Kind, str], list[Grant]] = defaultdict(list)
    for grant in grants:
        by_key[grant.kind, grant.key].append(grant)
    rights = Rights(version)
    for (kind, key), same in by_key.items():
        overrides = [grant for grant in same if grant.source == Source.OVERRIDE]
        counted = overrides[-1:] or same
        rights.source[key] = _sources(counted)
        if kind == Kind.LIMIT:
            rights.limits[key] = _sum(counted)
        else:
            rights.features[key] = _highest(key, counted)
    return rights


def _sum(grants: Iterable[Grant]) -> int | None:
    total = 0
    for grant in grants:
        if grant.amount is None:
            return None
        total += grant.amount
    return total


def _highest(feature: str, grants: Iterable[Grant]) -> str:
    levels = [grant.level or "" for grant in grants]
    best = levels[0]
    for level in levels[1:]:
        best = higher_level(feature, best, level)
    return best


def _sources(grants: Iterable[Grant]) -> str:
    present = {grant.source for grant in grants}
    return "+".join(source for source in Source if source in present)

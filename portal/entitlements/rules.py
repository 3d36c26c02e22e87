"""How grants add up to what a vendor may do; pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from portal.catalog.rules import Metric, counted, higher_level
from portal.usage.rules import counter_start, usage_window


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
    """One grant. A limit has an ``amount`` (None: unlimited), a feature a ``level``; ``ref`` names the cause.

    Only an override may be of a feature without a level: it takes the feature away.
    """

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

    The newest override beats everything, also when it is lower; one of a feature without a level takes it away.
    Otherwise add-ons add to the tier's number, and unlimited wins. Of a feature's levels the highest counts.
    """
    by_key: dict[tuple[Kind, str], list[Grant]] = defaultdict(list)
    for grant in grants:
        by_key[grant.kind, grant.key].append(grant)
    rights = Rights(version)
    for (kind, key), same in by_key.items():
        overrides = [grant for grant in same if grant.source == Source.OVERRIDE]
        counted = overrides[-1:] or same
        if kind == Kind.FEATURE and not _highest(key, counted):
            continue
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


class Refusal(StrEnum):
    """Why the gate says no, for programs. The first two are limits of the tier (403), the others are money (402)."""

    LIMIT_REACHED = "limit_reached"
    FEATURE_MISSING = "feature_missing"
    SUSPENDED = "suspended"
    TRIAL_ENDED = "trial_ended"
    CANCELLED = "cancelled"
    PAYMENT_PENDING = "payment_pending"
    PAST_DUE = "past_due"
    NO_PLAN = "no_plan"


#: What a closed standing is called at the gate.
CLOSED_BY = {
    "suspended": Refusal.SUSPENDED,
    "trial_ended": Refusal.TRIAL_ENDED,
    "cancelled": Refusal.CANCELLED,
    "pending_payment": Refusal.PAYMENT_PENDING,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What the gate knows of a subscription. ``create_until`` and ``open_until`` empty: not limited."""

    standing: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    create_until: datetime | None = None
    open_until: datetime | None = None

    def closed(self, now: datetime) -> Refusal | None:
        """Why the product is closed at ``now``; None while it is open."""
        if self.standing is None:
            return Refusal.NO_PLAN
        if self.open_until is not None and self.open_until <= now:
            return CLOSED_BY.get(self.standing, Refusal.NO_PLAN)
        return None

    def bars_creating(self, now: datetime) -> Refusal | None:
        """Why nothing new may be created at ``now``: the product is closed, or a debt has lasted too long (SUB-8)."""
        owes = self.create_until is not None and self.create_until <= now
        return self.closed(now) or (Refusal.PAST_DUE if owes else None)

    def window(self, now: datetime) -> datetime:
        """Where the month of usage that ``now`` lies in began; the calendar's where there is no subscription."""
        if self.period_start is None:
            return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return usage_window(self.period_start, now)


@dataclass(frozen=True, slots=True)
class State:
    """What the gate looks at, as one read found it. ``counters`` maps (metric, start of its period) to what is used."""

    frame: Frame
    rights: Rights
    counters: dict[tuple[str, datetime], int]
    grants: tuple[Grant, ...] = ()

    @property
    def tier(self) -> str | None:
        """The code of the tier that grants something here; None where none does."""
        return next((grant.ref for grant in self.grants if grant.source == Source.TIER), None)

    def used(self, metric: Metric, now: datetime) -> int:
        """What counts against the limit now; nothing recorded is zero here."""
        return self.counters.get((metric, counter_start(metric, self.frame.window(now))), 0)

    def limit(self, metric: Metric) -> int | None:
        """The limit in the unit that is counted; None unlimited; zero where nothing is granted."""
        return counted(metric, self.rights.limits.get(metric, 0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says. ``used`` and ``limit`` are in the unit that is counted (bytes for storage); ``limit`` None is
    unlimited. ``used`` is what counts after an admission, and before it where the gate was only asked. ``replayed``:
    this key was admitted before, and nothing was taken now.
    """

    allowed: bool
    metric: Metric
    quantity: int
    used: int
    limit: int | None
    code: Refusal | None = None
    replayed: bool = False

    @property
    def left(self) -> int | None:
        """How much more fits; None without a limit. A lowered limit may lie below what is there: then nothing."""
        return None if self.limit is None else max(0, self.limit - self.used)


def judge(state: State, metric: Metric, quantity: int, now: datetime) -> Verdict:
    """May ``quantity`` more be taken? What is there already stays, however low the limit became."""
    used, limit = state.used(metric, now), state.limit(metric)
    refusal = state.frame.bars_creating(now)
    if refusal is None and limit is not None and used + quantity > limit:
        refusal = Refusal.LIMIT_REACHED
    return Verdict(refusal is None, metric, quantity, used, limit, refusal)

"""What a vendor uses of what it may use, in one query over rights and counters (P9)."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_UP, Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    literal,
    null,
    or_,
    select,
    union_all,
)

from portal.catalog.models import SubscriptionTier, TierLimit
from portal.catalog.rules import METRIC_NAMES, PER_PERIOD, UNITS, Metric
from portal.entitlements.models import EntitlementGrant
from portal.entitlements.rules import Grant, Kind, Rights, Source, combine
from portal.kit.db import BigId, UtcDateTime
from portal.kit.direct import Direct
from portal.notifications.models import Dismissal
from portal.subscriptions.rules import usage_window
from portal.usage.models import UsageCounter
from portal.usage.rules import EPOCH

#: From this share of a limit on a meter is nearly full.
NEAR_PERCENT = 80
#: The least of a gigabyte that is shown; what is less is shown as this much.
_LEAST = Decimal("0.01")


class MeterState(StrEnum):
    """How far a meter is, in the words of its template."""

    NO_DATA = "no_data"
    UNLIMITED = "unlimited"
    NORMAL = "normal"
    NEAR = "near"
    REACHED = "reached"


@dataclass(frozen=True, slots=True)
class Part:
    """One reason of a limit: ``name`` is the tier's for a tier; ``counts`` is False where an override beats it."""

    source: Source
    name: str
    amount: int | None
    until: datetime | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric. ``used`` None: nothing was counted yet. ``unlimited``: granted without a limit.

    Both numbers are in the limit's unit: storage is counted in bytes and given here in gigabytes. ``since`` is the
    start of the month of usage for what is counted per period, None for levels; ``parts`` says why the limit is so.
    """

    metric: Metric
    name: str
    used: int | Decimal | None
    limit: int | None
    unlimited: bool
    source: str
    since: datetime | None
    parts: tuple[Part, ...] = ()

    @property
    def state(self) -> MeterState:
        """Judged by the exact number, not by the rounded one that is shown."""
        if self.used is None:
            return MeterState.NO_DATA
        if self.limit is None:
            return MeterState.UNLIMITED
        if self.used >= self.limit:
            return MeterState.REACHED
        return MeterState.NEAR if self.used * 100 >= self.limit * NEAR_PERCENT else MeterState.NORMAL

    @property
    def shown(self) -> int | Decimal | None:
        """The number as it is written: a part of a gigabyte in hundredths, rounded up, so that something is not 0."""
        return self.used.quantize(_LEAST, ROUND_UP) if isinstance(self.used, Decimal) else self.used


@dataclass(frozen=True, slots=True)
class Offer:
    """What a public tier allows of a metric; ``self_service`` False: its price must be asked for."""

    metric: Metric
    tier_code: str
    tier_name: str
    amount: int | None
    position: int
    self_service: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The meters; for pages also what their reader has dismissed, and what the public tiers allow."""

    window: datetime
    meters: list[Meter]
    dismissed: frozenset[str] = frozenset()
    offers: tuple[Offer, ...] = ()
    tiers: frozenset[str] = field(default_factory=frozenset)


def meters(vendor_id: int, period_start: datetime, now: datetime) -> list[Meter]:
    """Every metric that the vendor's rights limit or grant, in the catalog's order."""
    return read(vendor_id, period_start, now).meters


def read(vendor_id: int, period_start: datetime, now: datetime, *, user_id: int | None = None) -> Reading:
    """The meters in one query; with ``user_id`` also what an upsell needs: dismissals of that person, and offers."""
    window = usage_window(period_start, now)
    parts: dict[str, list[Any]] = {}
    used: dict[str, int] = {}
    dismissed: set[str] = set()
    offers: list[Offer] = []
    told = {"vendor": vendor_id, "window": window, "now": now, "user": user_id}
    for row in _READ[user_id is not None](told):
        if row.what == "used":
            used[row.key] = row.amount
        elif row.what == "dismissed":
            dismissed.add(row.key)
        elif row.what == "offer":
            offers.append(Offer(Metric(row.key), row.ref, row.name, row.amount, row.at, row.source == "self"))
        else:
            parts.setdefault(row.key, []).append(row)
    rights = combine(0, [_grant(row) for rows in parts.values() for row in rows])
    found = [_meter(metric, rights, parts[metric], used.get(metric), window) for metric in Metric if metric in parts]
    tiers = {row.ref for rows in parts.values() for row in rows if row.source == Source.TIER}
    return Reading(window, found, frozenset(dismissed), tuple(offers), frozenset(tiers))


def _grant(row: Any) -> Grant:
    return Grant(Source(row.source), row.ref, Kind.LIMIT, row.key, row.amount)


def _meter(metric: Metric, rights: Rights, rows: list[Any], used: int | None, window: datetime) -> Meter:
    return Meter(
        metric=metric,
        name=METRIC_NAMES[metric],
        used=_in_units(metric, used),
        limit=rights.limits[metric],
        unlimited=rights.limits[metric] is None,
        source=rights.source[metric],
        since=window if metric in PER_PERIOD else None,
        parts=_parts(rows),
    )


def _in_units(metric: Metric, used: int | None) -> int | Decimal | None:
    return used if used is None or metric not in UNITS else Decimal(used) / UNITS[metric]


def _parts(rows: list[Any]) -> tuple[Part, ...]:
    """The reasons of a limit, from the oldest: the newest override alone counts where there is one (rules.combine)."""
    overrides = [row for row in rows if row.source == Source.OVERRIDE]
    counted = overrides[-1:] or rows
    return tuple(
        Part(Source(row.source), row.name or row.ref, row.amount, row.until, row in counted)
        for row in rows
        if row.source != Source.OVERRIDE or row in counted
    )


_VENDOR, _USER = bindparam("vendor", type_=BigId), bindparam("user", type_=BigId)
_WINDOW, _NOW = bindparam("window", type_=UtcDateTime()), bindparam("now", type_=UtcDateTime())


def _statement(of_page: bool) -> CompoundSelect[Any]:
    parts = [_granted(), _counted(), *([_dismissed(), _offered()] if of_page else [])]
    return union_all(*parts).order_by("at")


def _granted() -> Select[*tuple[Any, ...]]:
    grant = EntitlementGrant
    of_tier = and_(grant.source == Source.TIER, SubscriptionTier.code == grant.source_ref)
    return (
        select(
            literal("grant", String()).label("what"),
            grant.key.label("key"),
            grant.amount.label("amount"),
            grant.source.label("source"),
            grant.source_ref.label("ref"),
            grant.id.label("at"),
            grant.valid_until.label("until"),
            SubscriptionTier.name.label("name"),
        )
        .outerjoin(SubscriptionTier, of_tier)
        .where(
            grant.vendor_id == _VENDOR,
            grant.kind == Kind.LIMIT,
            grant.valid_from <= _NOW,
            or_(grant.valid_until.is_(None), grant.valid_until > _NOW),
        )
    )


def _counted() -> Select[*tuple[Any, ...]]:
    return select(
        literal("used", String()), UsageCounter.metric, UsageCounter.used, *_nothing(),
    ).where(
        UsageCounter.vendor_id == _VENDOR,
        or_(
            and_(UsageCounter.metric.in_(PER_PERIOD), UsageCounter.period_start == _WINDOW),
            and_(UsageCounter.metric.not_in(PER_PERIOD), UsageCounter.period_start == EPOCH),
        ),
    )  # fmt: skip


def _dismissed() -> Select[*tuple[Any, ...]]:
    mine = (Dismissal.vendor_id == _VENDOR, Dismissal.user_id == _USER, Dismissal.what.like("upsell:%"))
    return select(literal("dismissed", String()), Dismissal.what, cast(null(), BigId), *_nothing()).where(*mine)


def _offered() -> Select[*tuple[Any, ...]]:
    tier = SubscriptionTier
    text = String()
    return (
        select(
            literal("offer", text), TierLimit.metric, TierLimit.value,
            case((tier.self_service, literal("self", text)), else_=literal("ask", text)),
            tier.code, cast(tier.position, BigId), cast(null(), UtcDateTime), tier.name,
        )
        .join(tier, tier.id == TierLimit.tier_id)
        .where(tier.is_public, tier.retired_at.is_(None))
    )  # fmt: skip


def _nothing() -> tuple[Any, ...]:
    """The last columns of a select that has nothing to say in them: source, ref, at, until, name."""
    text = String()
    return cast(null(), text), cast(null(), text), cast(null(), BigId), cast(null(), UtcDateTime), cast(null(), text)


#: By whether it is for a whole page. Built once: building it took longer than its answer. Each part names the vendor.
_READ = {of_page: Direct(_statement(of_page)) for of_page in (False, True)}

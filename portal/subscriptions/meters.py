"""What a vendor uses of what it may use, in one query over rights and counters (P9)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, String, and_, cast, literal, null, or_, select, union_all

from portal.catalog.rules import METRIC_NAMES, PER_PERIOD, Metric
from portal.entitlements.models import EntitlementGrant
from portal.entitlements.rules import Grant, Kind, Source, combine
from portal.kit.db import BigId, db
from portal.subscriptions.rules import usage_window
from portal.usage.models import UsageCounter
from portal.usage.rules import EPOCH


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric. ``used`` None: nothing was counted yet. ``unlimited``: granted without a limit.

    ``since`` is the start of the month of usage for what is counted per period, None for levels.
    """

    metric: Metric
    name: str
    used: int | None
    limit: int | None
    unlimited: bool
    source: str
    since: datetime | None


def meters(vendor_id: int, period_start: datetime, now: datetime) -> list[Meter]:
    """Every metric that the vendor's rights limit or grant, in the catalog's order."""
    window = usage_window(period_start, now)
    grants: list[Grant] = []
    used: dict[str, int] = {}
    for row in db.session.execute(_statement(vendor_id, window, now)):
        if row.what == "used":
            used[row.key] = row.amount
        else:
            grants.append(Grant(Source(row.source), row.ref, Kind.LIMIT, row.key, row.amount))
    rights = combine(0, grants)
    return [
        Meter(
            metric=metric,
            name=METRIC_NAMES[metric],
            used=used.get(metric),
            limit=rights.limits[metric],
            unlimited=rights.limits[metric] is None,
            source=rights.source[metric],
            since=window if metric in PER_PERIOD else None,
        )
        for metric in Metric
        if metric in rights.limits
    ]


def _statement(vendor_id: int, window: datetime, now: datetime) -> CompoundSelect[Any]:
    text = String()
    granted = select(
        literal("grant", text).label("what"),
        EntitlementGrant.key.label("key"),
        EntitlementGrant.amount.label("amount"),
        EntitlementGrant.source.label("source"),
        EntitlementGrant.source_ref.label("ref"),
        EntitlementGrant.id.label("at"),
    ).where(
        EntitlementGrant.vendor_id == vendor_id,
        EntitlementGrant.kind == Kind.LIMIT,
        EntitlementGrant.valid_from <= now,
        or_(EntitlementGrant.valid_until.is_(None), EntitlementGrant.valid_until > now),
    )
    counted = select(
        literal("used", text),
        UsageCounter.metric,
        UsageCounter.used,
        cast(null(), text),
        cast(null(), text),
        cast(null(), BigId),
    ).where(
        UsageCounter.vendor_id == vendor_id,
        or_(
            and_(UsageCounter.metric.in_(PER_PERIOD), UsageCounter.period_start == window),
            and_(UsageCounter.metric.not_in(PER_PERIOD), UsageCounter.period_start == EPOCH),
        ),
    )
    both: CompoundSelect[Any] = union_all(granted, counted)
    return both.order_by("at")

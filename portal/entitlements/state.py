"""Everything the gate looks at, in one statement: the frame, the grants, what was counted."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, String, and_, cast, literal, null, or_, select, union_all

from portal.catalog.rules import Metric
from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.entitlements.rules import Frame, Grant, Kind, Source, State, combine
from portal.kit.db import BigId, UtcDateTime, db
from portal.usage.models import UsageCounter
from portal.usage.rules import EPOCH

#: No month of usage began longer ago.
LONGEST_MONTH = timedelta(days=32)


def state(
    vendor_id: int, now: datetime, *, metrics: Iterable[Metric] | None = None, feature: str | None = None
) -> State:
    """The vendor's frame, rights and counters at ``now``; one statement.

    ``metrics`` and ``feature`` narrow it to what is asked for (a feature alone needs ``metrics=()``); without either it
    is everything.
    """
    frame, version, grants, counters = Frame(), 0, [], {}
    for row in db.session.execute(_statement(vendor_id, now, metrics, feature)):
        if row.what == "frame":
            version = row.amount
            frame = Frame(row.key, row.start, row.ends, row.until, row.closed)
        elif row.what == "used":
            counters[row.key, row.start] = row.amount
        else:
            grants.append(Grant(Source(row.what), row.ref, Kind(row.kind), row.key, row.amount, row.level))
    return State(frame, combine(version, grants), counters, tuple(grants))


def _statement(
    vendor_id: int, now: datetime, metrics: Iterable[Metric] | None, feature: str | None
) -> CompoundSelect[Any]:
    wanted = None if metrics is None else [str(metric) for metric in metrics]
    every: CompoundSelect[Any] = union_all(
        _frame(vendor_id), _grants(vendor_id, now, wanted, feature), _counters(vendor_id, now, wanted)
    )
    return every.order_by("at")


_TEXT, _AT = String(), UtcDateTime()


def _frame(vendor_id: int) -> Any:
    version = EntitlementVersion
    return select(
        literal("frame", _TEXT).label("what"),
        version.standing.label("key"),
        version.version.label("amount"),
        cast(null(), _TEXT).label("ref"),
        cast(null(), _TEXT).label("kind"),
        cast(null(), _TEXT).label("level"),
        version.period_start.label("start"),
        version.period_end.label("ends"),
        version.create_until.label("until"),
        version.open_until.label("closed"),
        cast(null(), BigId).label("at"),
    ).where(version.vendor_id == vendor_id)


def _grants(vendor_id: int, now: datetime, metrics: list[str] | None, feature: str | None) -> Any:
    grant = EntitlementGrant
    return select(
        grant.source, grant.key, grant.amount, grant.source_ref, grant.kind, grant.level, cast(null(), _AT),
        cast(null(), _AT), cast(null(), _AT), cast(null(), _AT), grant.id,
    ).where(
        grant.vendor_id == vendor_id,
        grant.valid_from <= now,
        or_(grant.valid_until.is_(None), grant.valid_until > now),
        *_narrowed(metrics, feature),
    )  # fmt: skip


def _narrowed(metrics: list[str] | None, feature: str | None) -> list[ColumnElement[bool]]:
    if metrics is None:
        return []
    limits = and_(EntitlementGrant.kind == Kind.LIMIT, EntitlementGrant.key.in_(metrics))
    named = and_(EntitlementGrant.kind == Kind.FEATURE, EntitlementGrant.key == feature)
    return [or_(limits, named)] if feature is not None else [limits]


def _counters(vendor_id: int, now: datetime, metrics: list[str] | None) -> Any:
    """Which month counts is only known when the frame has been read, so all that may be it come along: few."""
    counter = UsageCounter
    recent = and_(counter.period_start > now - LONGEST_MONTH, counter.period_start <= now)
    return select(
        literal("used", _TEXT), counter.metric, counter.used, cast(null(), _TEXT), cast(null(), _TEXT),
        cast(null(), _TEXT), counter.period_start, cast(null(), _AT), cast(null(), _AT), cast(null(), _AT),
        cast(null(), BigId),
    ).where(
        counter.vendor_id == vendor_id,
        or_(recent, counter.period_start == EPOCH),
        *([] if metrics is None else [counter.metric.in_(metrics)]),
    )  # fmt: skip

"""Everything the gate looks at, in one statement: the frame, the grants, what was counted."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    String,
    and_,
    bindparam,
    cast,
    literal,
    null,
    or_,
    select,
    union_all,
)

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
    told: dict[str, Any] = {"vendor_id": vendor_id, "now": now, "since": now - LONGEST_MONTH}
    if metrics is not None:
        told["metrics"] = [str(metric) for metric in metrics]
    if feature is not None:
        told["feature"] = feature
    return _read(db.session.execute(_statement(metrics is not None, feature is not None), told))


def _read(rows: Iterable[Any]) -> State:
    frame, version = Frame(), 0
    grants: list[Grant] = []
    counters: dict[tuple[str, datetime], int] = {}
    for row in rows:
        if row.what == "frame":
            version, frame = row.amount, Frame(row.key, row.start, row.ends, row.until, row.closed)
        elif row.what == "used":
            counters[row.key, row.start] = row.amount
        else:
            grants.append(Grant(Source(row.what), row.ref, Kind(row.kind), row.key, row.amount, row.level))
    return State(frame, combine(version, grants), counters, tuple(grants))


@cache
def _statement(narrowed: bool, with_feature: bool) -> CompoundSelect[Any]:
    """Built once for each way to ask: building it anew took longer than the database takes to answer."""
    every: CompoundSelect[Any] = union_all(_frame(), _grants(narrowed, with_feature), _counters(narrowed))
    return every.order_by("at")


_TEXT, _AT = String(), UtcDateTime()
_VENDOR, _NOW = bindparam("vendor_id", type_=BigId), bindparam("now", type_=_AT)
_SINCE, _FEATURE = bindparam("since", type_=_AT), bindparam("feature", type_=_TEXT)
_METRICS = bindparam("metrics", expanding=True, type_=_TEXT)


def _frame() -> Any:
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
    ).where(version.vendor_id == _VENDOR)


def _grants(narrowed: bool, with_feature: bool) -> Any:
    grant = EntitlementGrant
    return select(
        grant.source, grant.key, grant.amount, grant.source_ref, grant.kind, grant.level, cast(null(), _AT),
        cast(null(), _AT), cast(null(), _AT), cast(null(), _AT), grant.id,
    ).where(
        grant.vendor_id == _VENDOR,
        grant.valid_from <= _NOW,
        or_(grant.valid_until.is_(None), grant.valid_until > _NOW),
        *_asked(narrowed, with_feature),
    )  # fmt: skip


def _asked(narrowed: bool, with_feature: bool) -> list[ColumnElement[bool]]:
    if not narrowed:
        return []
    limits = and_(EntitlementGrant.kind == Kind.LIMIT, EntitlementGrant.key.in_(_METRICS))
    named = and_(EntitlementGrant.kind == Kind.FEATURE, EntitlementGrant.key == _FEATURE)
    return [or_(limits, named)] if with_feature else [limits]


def _counters(narrowed: bool) -> Any:
    """Which month counts is only known when the frame has been read, so all that may be it come along: few."""
    counter = UsageCounter
    recent = and_(counter.period_start > _SINCE, counter.period_start <= _NOW)
    return select(
        literal("used", _TEXT), counter.metric, counter.used, cast(null(), _TEXT), cast(null(), _TEXT),
        cast(null(), _TEXT), counter.period_start, cast(null(), _AT), cast(null(), _AT), cast(null(), _AT),
        cast(null(), BigId),
    ).where(
        counter.vendor_id == _VENDOR,
        or_(recent, counter.period_start == EPOCH),
        *([counter.metric.in_(_METRICS)] if narrowed else []),
    )  # fmt: skip

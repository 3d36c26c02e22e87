"""Which alerts a vendor was given and which it does not want to be told of (LIM-6). entitlements.alerts raises them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, cast, delete, literal, null, select, union_all

from portal.catalog.rules import Metric
from portal.kit.db import BigId, UtcDateTime, db, insert_once
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.usage.models import UsageAlert, UsageAlertMute
from portal.usage.rules import THRESHOLDS

#: Alerts that a page shows.
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert as it was raised; numbers are in the unit that is counted (bytes for storage)."""

    metric: Metric
    threshold: int
    used: int
    limit: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Alerts:
    """The newest alerts, newest first, and what is muted: (metric, threshold)."""

    raised: list[Raised]
    muted: frozenset[tuple[str, int]]


def of_vendor(vendor_id: int) -> Alerts:
    """Both in one query."""
    raised, muted = [], set()
    for row in db.session.execute(_statement(vendor_id)):
        if row.at is None:
            muted.add((row.metric, row.threshold))
        else:
            raised.append(Raised(Metric(row.metric), row.threshold, row.used, row.limit_value, row.at))
    return Alerts(sorted(raised, key=lambda alert: (alert.at, alert.threshold), reverse=True), frozenset(muted))


def _statement(vendor_id: int) -> CompoundSelect[Any]:
    newest = (
        select(UsageAlert.metric, UsageAlert.threshold, UsageAlert.used, UsageAlert.limit_value, UsageAlert.raised_at)
        .where(UsageAlert.vendor_id == vendor_id)
        .order_by(UsageAlert.raised_at.desc(), UsageAlert.id.desc())
        .limit(SHOWN)
        .subquery()
    )
    muted = select(
        UsageAlertMute.metric, UsageAlertMute.threshold, cast(literal(0), BigId), cast(literal(0), BigId),
        cast(null(), UtcDateTime),
    ).where(UsageAlertMute.vendor_id == vendor_id)  # fmt: skip
    columns = newest.c.metric, newest.c.threshold, newest.c.used, newest.c.limit_value, newest.c.raised_at.label("at")
    return union_all(select(*columns), muted)


def choose(vendor_id: int, metrics: Iterable[Metric], told: Iterable[tuple[Metric, int]]) -> None:
    """Be told of exactly these thresholds of ``metrics``; other metrics stay as they are. Can be repeated.

    Muted means: neither note nor mail; webhooks and the list of what was reached go on. Raises Invalid (field
    ``told``) for a threshold that does not exist.
    """
    wanted, named = set(told), set(metrics)
    if any(threshold not in THRESHOLDS or metric not in named for metric, threshold in wanted):
        raise Invalid(fields={"told": N_("There is no such alert.")})
    for metric in sorted(named):
        for threshold in THRESHOLDS:
            _set(vendor_id, metric, threshold, muted=(metric, threshold) not in wanted)


def _set(vendor_id: int, metric: Metric, threshold: int, *, muted: bool) -> None:
    this = {"vendor_id": vendor_id, "metric": str(metric), "threshold": threshold}
    if muted:
        insert_once(UsageAlertMute, this, list(this))
        return
    mute = UsageAlertMute
    db.session.execute(
        delete(mute).where(mute.vendor_id == vendor_id, mute.metric == metric, mute.threshold == threshold)
    )

"""Telling a vendor that a limit comes near or is reached: at 50, 80 and 100 %, each once in a month of usage (LIM-6).

Written in the transaction of the count that crosses the line, so that none is lost and none is told twice. What is
counted may cross several at once: each is written down and published, people are told of the highest alone.
"""

from datetime import datetime

from sqlalchemy import select

from portal.catalog.rules import METRIC_NAMES, PER_PERIOD, UNITS, Metric
from portal.identity import queries as identity
from portal.kit.db import db, insert_once
from portal.notifications import notes, webhooks
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.usage.models import UsageAlert, UsageAlertMute
from portal.usage.rules import crossed

#: Below this a line in the portal is enough: half of a limit is nothing to write a letter about.
MAILED_FROM = 80


def watch(
    vendor_id: int, metric: Metric, before: int, after: int, limit: int | None, *, window: datetime, now: datetime
) -> None:
    """Raise what the way from ``before`` to ``after`` crosses; numbers are in the unit that is counted.

    ``window`` is the month of usage: levels too are told of once in it. No statement where nothing is crossed.
    """
    if limit is None:
        return
    new = [t for t in crossed(before, after, limit) if _raise(vendor_id, metric, t, after, limit, window, now)]
    for threshold in new:
        _publish(vendor_id, metric, threshold, after, limit, window, now)
    if new and not _muted(vendor_id, metric, new[-1]):
        _tell(vendor_id, metric, new[-1], after, limit, window, now)


def _raise(
    vendor_id: int, metric: Metric, threshold: int, used: int, limit: int, window: datetime, now: datetime
) -> bool:
    this = {"vendor_id": vendor_id, "metric": metric, "threshold": threshold, "period_start": window}
    return insert_once(UsageAlert, {**this, "used": used, "limit_value": limit, "raised_at": now}, list(this))


def _muted(vendor_id: int, metric: Metric, threshold: int) -> bool:
    statement = select(UsageAlertMute.id).where(
        UsageAlertMute.vendor_id == vendor_id, UsageAlertMute.metric == metric, UsageAlertMute.threshold == threshold
    )
    return db.session.scalar(statement) is not None


def _cause(metric: Metric, threshold: int, window: datetime) -> str:
    return f"usage:{metric}:{threshold}:{window.isoformat()}"


def _publish(
    vendor_id: int, metric: Metric, threshold: int, used: int, limit: int, window: datetime, now: datetime
) -> None:
    data = {
        "metric": str(metric),
        "unit": "bytes" if metric in UNITS else "count",
        "threshold": threshold,
        "usage": used,
        "limit": limit,
        "period_start": window.isoformat() if metric in PER_PERIOD else None,
    }
    event_id = f"{vendor_id}:{_cause(metric, threshold, window)}"
    webhooks.publish("usage.alert", vendor_id=vendor_id, event_id=event_id, data=data, now=now)


def _tell(
    vendor_id: int, metric: Metric, threshold: int, used: int, limit: int, window: datetime, now: datetime
) -> None:
    unit = UNITS.get(metric, 1)
    told = {
        "metric": METRIC_NAMES[metric],
        "threshold": threshold,
        "used": min(used // unit, limit // unit) if threshold < 100 else used // unit,
        "limit": limit // unit,
    }
    cause = _cause(metric, threshold, window)
    notes.tell(vendor_id, "usage_alert", told, dedupe_key=cause, now=now)
    vendor, owner = identity.vendor(vendor_id), identity.owner(vendor_id)
    if threshold >= MAILED_FROM and vendor is not None:
        notifications.send(
            "limit_reached", Recipient(owner.email, owner.name, owner.locale), dedupe_key=f"{vendor_id}:{cause}",
            vendor_id=vendor_id, now=now, vendor_code=vendor.code, vendor_name=vendor.name, **told,
        )  # fmt: skip

"""Reading usage. Callers have set the tenancy scope."""

from datetime import datetime

from sqlalchemy import and_, or_, select

from portal.catalog.rules import PER_PERIOD
from portal.kit.db import db
from portal.usage.models import UsageCounter
from portal.usage.rules import EPOCH


def counters(vendor_id: int, period_start: datetime) -> dict[str, int]:
    """What was used: levels as they stand, the rest in the period that begins at ``period_start``; one query.

    A metric that was never recorded (in this period) is absent, so that no data and zero differ.
    """
    counted = and_(UsageCounter.metric.in_(PER_PERIOD), UsageCounter.period_start == period_start)
    level = and_(UsageCounter.metric.not_in(PER_PERIOD), UsageCounter.period_start == EPOCH)
    statement = select(UsageCounter.metric, UsageCounter.used).where(
        UsageCounter.vendor_id == vendor_id, or_(counted, level)
    )
    return {row.metric: row.used for row in db.session.execute(statement)}

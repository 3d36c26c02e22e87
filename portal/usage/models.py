"""Usage events, and the counters and days that are sums of them."""

from datetime import date, datetime

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import Id, Model, TenantMixin


class UsageEvent(TenantMixin, Model):
    """Something happened, once: ``key`` is the sender's idempotency key. ``quantity`` may be negative for levels."""

    __tablename__ = "usage_events"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(120))
    metric: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]
    subject: Mapped[str | None] = mapped_column(String(120))
    at: Mapped[datetime]
    # By month and source is read by the index, a month of one vendor at a time.
    __table_args__ = (UniqueConstraint("vendor_id", "key"), Index(None, "vendor_id", "metric", "at"))


class UsageCounter(TenantMixin, Model):
    """The sum of a metric's events in a period; levels use one period that starts at the epoch.

    ``as_of`` is the moment of the newest gauge that set a level: an older one does not overwrite it.
    """

    __tablename__ = "usage_counters"
    id: Mapped[Id]
    metric: Mapped[str] = mapped_column(String(40))
    period_start: Mapped[datetime]
    used: Mapped[int]
    as_of: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("vendor_id", "metric", "period_start"),)


class UsageDaily(TenantMixin, Model):
    """The sum of a metric's events on a day (UTC)."""

    __tablename__ = "usage_daily"
    id: Mapped[Id]
    metric: Mapped[str] = mapped_column(String(40))
    day: Mapped[date]
    quantity: Mapped[int]
    __table_args__ = (UniqueConstraint("vendor_id", "metric", "day"),)


class UsageAlert(TenantMixin, Model):
    """A threshold (in percent) was reached; said once for each metric, threshold and period (LIM-6)."""

    __tablename__ = "usage_alerts"
    id: Mapped[Id]
    metric: Mapped[str] = mapped_column(String(40))
    threshold: Mapped[int]
    period_start: Mapped[datetime]
    used: Mapped[int]
    limit_value: Mapped[int]
    raised_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("vendor_id", "metric", "threshold", "period_start"),)


class UsageAlertMute(TenantMixin, Model):
    """The vendor does not want to be told of this threshold of this metric."""

    __tablename__ = "usage_alert_mutes"
    id: Mapped[Id]
    metric: Mapped[str] = mapped_column(String(40))
    threshold: Mapped[int]
    __table_args__ = (UniqueConstraint("vendor_id", "metric", "threshold"),)

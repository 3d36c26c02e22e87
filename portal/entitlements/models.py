"""Versioned grants: what a vendor may do, since when, because of what; and what an admin set by hand."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model, TenantMixin, one_of


class EntitlementGrant(TenantMixin, Model):
    """One right. ``kind`` limit: ``amount`` (empty = unlimited). ``kind`` feature: ``level``."""

    __tablename__ = "entitlement_grants"
    id: Mapped[Id]
    source: Mapped[str] = mapped_column(String(10))
    source_ref: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(40))
    amount: Mapped[int | None]
    level: Mapped[str | None] = mapped_column(String(40))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    version: Mapped[int]
    __table_args__ = (
        one_of("source", ("tier", "addon", "override")),
        one_of("kind", ("limit", "feature")),
        CheckConstraint("valid_until IS NULL OR valid_from <= valid_until", name="span"),
        Index(None, "vendor_id", "valid_until", "valid_from"),
    )


class LimitOverride(TenantMixin, Model):
    """An admin set a limit or a feature for one vendor (LIM-7): why, and until when. One at a time for each."""

    __tablename__ = "limit_overrides"
    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(40))
    amount: Mapped[int | None]
    level: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    __table_args__ = (
        one_of("kind", ("limit", "feature")),
        CheckConstraint("amount IS NULL OR amount >= 0", name="amount"),
        CheckConstraint("valid_until IS NULL OR valid_from < valid_until", name="span"),
        Index(
            "uq_limit_overrides_one_live",
            "vendor_id",
            "kind",
            "key",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(None, "ended_at", "valid_until"),
    )


class EntitlementVersion(Model):
    """Counts the changes of a vendor's rights: a cached answer holds exactly as long as this number.

    Beside it stands the frame that subscriptions keep here, so that the gate needs one query: the vendor's standing,
    the period that counters run by, until when anything may be created (``create_until``) and until when the product
    is open (``open_until``); an empty moment means: not limited.
    """

    __tablename__ = "entitlement_versions"
    vendor_id: Mapped[int] = mapped_column(BigId, ForeignKey("vendors.id"), primary_key=True)
    version: Mapped[int] = mapped_column(default=0)
    standing: Mapped[str | None] = mapped_column(String(16))
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    create_until: Mapped[datetime | None]
    open_until: Mapped[datetime | None]

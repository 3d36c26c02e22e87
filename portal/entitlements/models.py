"""Versioned grants: what a vendor may do, since when, because of what."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
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


class EntitlementVersion(Model):
    """Counts the changes of a vendor's rights: a cached answer holds exactly as long as this number."""

    __tablename__ = "entitlement_versions"
    vendor_id: Mapped[int] = mapped_column(BigId, ForeignKey("vendors.id"), primary_key=True)
    version: Mapped[int] = mapped_column(default=0)

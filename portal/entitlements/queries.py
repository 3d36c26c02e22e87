"""Reading rights. Callers have set the tenancy scope."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select

from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.entitlements.rules import Grant, Kind, Rights, Source, combine
from portal.kit.db import db


def rights(vendor_id: int, now: datetime) -> Rights:
    """What the vendor may do at ``now`` (business time), in one query; version 0 and nothing where none was granted."""
    live = and_(
        EntitlementGrant.vendor_id == EntitlementVersion.vendor_id,
        EntitlementGrant.valid_from <= now,
        or_(EntitlementGrant.valid_until.is_(None), EntitlementGrant.valid_until > now),
    )
    statement = (
        select(
            EntitlementVersion.version,
            EntitlementGrant.source,
            EntitlementGrant.source_ref,
            EntitlementGrant.kind,
            EntitlementGrant.key,
            EntitlementGrant.amount,
            EntitlementGrant.level,
        )
        .select_from(EntitlementVersion)
        .outerjoin(EntitlementGrant, live)
        .where(EntitlementVersion.vendor_id == vendor_id)
        .order_by(EntitlementGrant.id)
    )
    rows: Sequence[Any] = db.session.execute(statement).all()
    found = [Grant(Source(r[1]), r[2], Kind(r[3]), r[4], r[5], r[6]) for r in rows if r[1] is not None]
    return combine(rows[0][0] if rows else 0, found)

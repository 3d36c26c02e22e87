"""Writing grants. Nothing is overwritten: grants are closed and new ones written, under the next version."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import case, func, null, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from portal.catalog.rules import Tier
from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.entitlements.rules import Grant, Kind, Source
from portal.kit.db import db, insert_once


def replace_tier_grants(vendor_id: int, tier: Tier, *, now: datetime) -> int:
    """Make the tier's limits and features the vendor's from ``now`` on; gives the version of its rights.

    Closes what another tier (or an older shape of this one) granted. When nothing differs no row is written and the
    version stays. Add-ons' grants and overrides are left alone. Locks the vendor's version row.
    """
    version = _locked_version(vendor_id)
    live = _live_tier_grants(vendor_id, now)
    wanted = tier_grants(tier)
    if {_value(row) for row in live} == set(wanted):
        return version.version
    version.version += 1
    _close(live, now)
    _open(vendor_id, wanted, version.version, now)
    return version.version


def end_tier_grants(vendor_id: int, *, now: datetime) -> None:
    """Take back what the tier granted (the subscription has ended); a second call changes nothing."""
    version = _locked_version(vendor_id)
    live = _live_tier_grants(vendor_id, now)
    if live:
        version.version += 1
        _close(live, now)


def keep_frame(
    vendor_id: int,
    *,
    standing: str | None,
    period_start: datetime,
    period_end: datetime,
    create_until: datetime | None,
    open_until: datetime | None,
) -> None:
    """Keep what the gate must know of the vendor's subscription beside the version of its rights; one statement.

    Subscriptions alone call it, also from within a flush, which is why no ORM object is touched. A product that was
    closed before keeps the moment it closed. Answers about rights change with the standing, so the version counts it.
    """
    connection = db.session.connection()
    values = {
        "vendor_id": vendor_id,
        "version": 0,
        "standing": standing,
        "period_start": period_start,
        "period_end": period_end,
        "create_until": create_until,
        "open_until": open_until,
    }
    connection.execute(_frame_statement(connection.dialect.name), values)


@cache
def _frame_statement(dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: Any = insert(EntitlementVersion.__table__)
    old, new = EntitlementVersion.__table__.c, statement.excluded
    differs = or_(
        old.standing.is_distinct_from(new.standing),
        old.create_until.is_distinct_from(new.create_until),
        old.open_until.is_(None) != new.open_until.is_(None),
    )
    return statement.on_conflict_do_update(
        index_elements=[old.vendor_id],
        set_={
            "version": old.version + case((differs, 1), else_=0),
            "standing": new.standing,
            "period_start": new.period_start,
            "period_end": new.period_end,
            "create_until": new.create_until,
            "open_until": case((new.open_until.is_(None), null()), else_=func.coalesce(old.open_until, new.open_until)),
        },
    ).inline()


def tier_grants(tier: Tier) -> list[Grant]:
    """What a tier grants, limits first."""
    limits = [Grant(Source.TIER, tier.code, Kind.LIMIT, key, amount=value) for key, value in tier.limits.items()]
    return limits + [Grant(Source.TIER, tier.code, Kind.FEATURE, k, level=v) for k, v in tier.features.items()]


def _locked_version(vendor_id: int) -> EntitlementVersion:
    insert_once(EntitlementVersion, {"vendor_id": vendor_id, "version": 0}, ["vendor_id"])
    statement = select(EntitlementVersion).where(EntitlementVersion.vendor_id == vendor_id).with_for_update()
    return db.session.scalars(statement.execution_options(populate_existing=True)).one()


def _live_tier_grants(vendor_id: int, now: datetime) -> list[EntitlementGrant]:
    """Those that count at ``now`` or later, so that nothing is left to come alive afterwards."""
    statement = select(EntitlementGrant).where(
        EntitlementGrant.vendor_id == vendor_id,
        EntitlementGrant.source == Source.TIER,
        or_(EntitlementGrant.valid_until.is_(None), EntitlementGrant.valid_until > now),
    )
    return list(db.session.scalars(statement.execution_options(populate_existing=True)))


def _value(row: EntitlementGrant) -> Grant:
    return Grant(Source(row.source), row.source_ref, Kind(row.kind), row.key, row.amount, row.level)


def _close(rows: Iterable[EntitlementGrant], now: datetime) -> None:
    for row in rows:
        row.valid_until = max(now, row.valid_from)
    db.session.flush()


def _open(vendor_id: int, grants: Iterable[Grant], version: int, now: datetime) -> None:
    for grant in grants:
        row = EntitlementGrant(
            vendor_id=vendor_id,
            source=grant.source,
            source_ref=grant.ref,
            kind=grant.kind,
            key=grant.key,
            amount=grant.amount,
            level=grant.level,
            valid_from=now,
            version=version,
        )
        db.session.add(row)
    db.session.flush()

"""Writing grants. Nothing is overwritten: grants are closed and new ones written, under the next version."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import or_, select

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

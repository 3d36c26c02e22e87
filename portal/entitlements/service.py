"""Writing grants. Nothing is overwritten: grants are closed and new ones written, under the next version."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import case, func, null, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from portal.catalog.rules import Metric, Tier
from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.entitlements.rules import Grant, Kind, Source
from portal.kit.db import db, insert_once
from portal.notifications import webhooks


def replace_tier_grants(vendor_id: int, tier: Tier, *, now: datetime) -> int:
    """Make the tier's limits and features the vendor's from ``now`` on; gives the version of its rights.

    Closes what another tier (or an older shape of this one) granted. When nothing differs no row is written and the
    version stays. Add-ons' grants and overrides are left alone. Locks the vendor's version row.
    """
    return replace(vendor_id, Source.TIER, None, tier_grants(tier), now=now)


def end_tier_grants(vendor_id: int, *, now: datetime) -> None:
    """Take back what the tier granted (the subscription has ended); a second call changes nothing."""
    replace(vendor_id, Source.TIER, None, [], now=now)


def grant_addon(vendor_id: int, ref: str, limits: Mapping[Metric | str, int], *, now: datetime) -> int:
    """Let an add-on add ``limits`` (in the unit of the limit) from ``now`` on; gives the version of the rights.

    ``ref`` names the add-on, such as ``addon:17``: granted again the same changes nothing, another quantity replaces
    what it gave before.
    """
    wanted = [Grant(Source.ADDON, ref, Kind.LIMIT, Metric(key), amount=n) for key, n in limits.items() if n]
    return replace(vendor_id, Source.ADDON, ref, wanted, now=now)


def end_addon(vendor_id: int, ref: str, *, now: datetime) -> int:
    """Take back what an add-on gave; a second call changes nothing. What is there stays, only more is refused."""
    return replace(vendor_id, Source.ADDON, ref, [], now=now)


def replace(
    vendor_id: int,
    source: Source,
    ref: str | None,
    wanted: list[Grant],
    *,
    now: datetime,
    until: datetime | None = None,
) -> int:
    """Make ``wanted`` all that this source (this one of it, with ``ref``) grants from ``now`` on, until ``until``.

    Gives the version of the rights, a new one if anything differed; programs that listen are told of it.
    """
    version = _locked_version(vendor_id)
    live = _live(vendor_id, source, ref, now)
    if {(_value(row), row.valid_until) for row in live} == {(grant, until) for grant in wanted}:
        return version.version
    version.version += 1
    _close(live, now)
    _open(vendor_id, wanted, version.version, now, until)
    _publish(version, now)
    return version.version


def count_change(vendor_id: int, *, now: datetime) -> None:
    """A grant has ended by itself: answers that were kept until now hold no longer."""
    version = _locked_version(vendor_id)
    version.version += 1
    db.session.flush()
    _publish(version, now)


def _publish(version: EntitlementVersion, now: datetime) -> None:
    vendor_id, number = version.vendor_id, version.version
    webhooks.publish(
        "entitlements.changed",
        vendor_id=vendor_id,
        event_id=f"entitlements:{vendor_id}:{number}",
        data={"version": number},
        now=now,
    )


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


def _live(vendor_id: int, source: Source, ref: str | None, now: datetime) -> list[EntitlementGrant]:
    """Those that count at ``now`` or later, so that nothing is left to come alive afterwards."""
    statement = select(EntitlementGrant).where(
        EntitlementGrant.vendor_id == vendor_id,
        EntitlementGrant.source == source,
        or_(EntitlementGrant.valid_until.is_(None), EntitlementGrant.valid_until > now),
    )
    if ref is not None:
        statement = statement.where(EntitlementGrant.source_ref == ref)
    return list(db.session.scalars(statement.execution_options(populate_existing=True)))


def _value(row: EntitlementGrant) -> Grant:
    return Grant(Source(row.source), row.source_ref, Kind(row.kind), row.key, row.amount, row.level)


def _close(rows: Iterable[EntitlementGrant], now: datetime) -> None:
    for row in rows:
        row.valid_until = max(now, row.valid_from)
    db.session.flush()


def _open(vendor_id: int, grants: Iterable[Grant], version: int, now: datetime, until: datetime | None) -> None:
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
            valid_until=until,
            version=version,
        )
        db.session.add(row)
    db.session.flush()

"""API keys (ACC-9): made and shown once, listed, revoked. Who calls with one is found by accounts.callers.

``vendor_id`` None means the operator's own platform. Keys live by the wall clock, as sessions and tokens do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update

from portal.audit import service as audit
from portal.identity.api_key_rules import LIFETIMES, MOST_KEYS, NAME_MAX, NOTED_EVERY, Reach, new_key
from portal.identity.models import ApiKey, Vendor
from portal.identity.rules import KeyScope
from portal.kit import clock, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.text import N_


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key; ``text`` is the whole of it and exists nowhere else."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as pages show it; times by the wall clock."""

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """``live``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


def create(
    vendor_id: int | None, *, name: str, scopes: Sequence[str], days: int | None, actor: Actor, now: datetime
) -> MadeKey:
    """Make a key that ends after ``days`` (None: never). Locks the vendor.

    Raises Invalid (fields ``name``, ``scopes``, ``days``), Conflict when there are as many living keys as may be. That
    the vendor's tier has the feature is the door's question.
    """
    name, reach = name.strip(), sorted(set(scopes))
    _check(name, reach, days)
    _lock(vendor_id)
    _room(vendor_id)
    made_at = clock.wall()
    text, kept = new_key()
    row = ApiKey(
        vendor_id=vendor_id,
        scope=KeyScope.VENDOR if vendor_id else KeyScope.PLATFORM,
        name=name,
        prefix=kept.prefix,
        key_hash=kept.key_hash,
        scopes=reach,
        created_by_id=actor.id,
        created_by=actor.label[:120],
        created_at=made_at,
        expires_at=made_at + timedelta(days=days) if days else None,
    )
    db.session.add(row)
    db.session.flush()
    data = {"key": row.id, "prefix": kept.prefix, "name": name, "scopes": reach, "days": days}
    audit.record(actor, "api_key.created", vendor_id=vendor_id, data=data, now=now)
    return MadeKey(row.id, text)


def revoke(vendor_id: int | None, key_id: int, *, actor: Actor, now: datetime) -> bool:
    """End a key at once, for good; False when it was revoked before. NotFound for a key of somebody else."""
    statement = select(ApiKey).where(ApiKey.id == key_id, _owned(vendor_id)).with_for_update()
    row = db.session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise NotFound
    if row.revoked_at is not None:
        return False
    row.revoked_at = clock.wall()
    db.session.flush()
    data = {"key": row.id, "prefix": row.prefix, "name": row.name}
    audit.record(actor, "api_key.revoked", vendor_id=vendor_id, data=data, now=now)
    return True


def revoke_made_by(vendor_id: int, user_id: int, *, actor: Actor, now: datetime) -> int:
    """End every working key of the vendor that this person has made; gives how many. Each is audited."""
    made = (ApiKey.vendor_id == vendor_id, ApiKey.created_by_id == user_id, *_living())
    ids = db.session.scalars(select(ApiKey.id).where(*made).order_by(ApiKey.id)).all()
    return sum(revoke(vendor_id, key_id, actor=actor, now=now) for key_id in ids)


def live_made_by(vendor_id: int, user_id: int) -> int:
    """How many of the vendor's working keys this person has made: they outlive the person's place in the team."""
    made = (ApiKey.vendor_id == vendor_id, ApiKey.created_by_id == user_id, *_living())
    return int(db.session.scalar(select(func.count()).select_from(ApiKey).where(*made)) or 0)


def of(vendor_id: int | None) -> list[KeyRow]:
    """Every key of a vendor, or of the platform: the living ones first, then the newest; one query."""
    statement = (
        select(
            ApiKey.id,
            ApiKey.name,
            ApiKey.prefix,
            ApiKey.scopes,
            ApiKey.created_by,
            ApiKey.created_at,
            ApiKey.expires_at,
            ApiKey.last_used_at,
            ApiKey.revoked_at,
        )
        .where(_owned(vendor_id))
        .order_by(ApiKey.revoked_at.is_not(None), ApiKey.id.desc())
        .limit(100)
    )
    return [_row(row) for row in db.session.execute(statement)]


def one(vendor_id: int | None, key_id: int) -> KeyRow:
    """One key. NotFound when it is missing or somebody else's."""
    found = next((row for row in of(vendor_id) if row.id == key_id), None)
    if found is None:
        raise NotFound
    return found


def note_use(key_id: int, at: datetime) -> None:
    """Keep when a key was last used. Two processes that note the same minute write it once."""
    with tenancy.unscoped("a key notes its own use"):
        db.session.execute(
            update(ApiKey)
            .where(ApiKey.id == key_id)
            .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= at - NOTED_EVERY))
            .values(last_used_at=at)
            .execution_options(synchronize_session=False)
        )


def _check(name: str, scopes: Sequence[str], days: int | None) -> None:
    fields: dict[str, str] = {}
    if not name or len(name) > NAME_MAX:
        fields["name"] = N_("Give the key a name of at most 80 characters, by which you will know it again.")
    if not scopes or set(scopes) - set(Reach):
        fields["scopes"] = N_("Choose at least one thing that the key may do.")
    if days not in LIFETIMES:
        fields["days"] = N_("Choose one of the times.")
    if fields:
        raise Invalid(fields=fields)


def _lock(vendor_id: int | None) -> None:
    if vendor_id is not None:
        db.session.execute(select(Vendor.id).where(Vendor.id == vendor_id).with_for_update())


def _room(vendor_id: int | None) -> None:
    count = db.session.scalar(select(func.count()).select_from(ApiKey).where(_owned(vendor_id), *_living()))
    if int(count or 0) >= MOST_KEYS:
        raise Conflict(N_("There are 25 keys already. Revoke one that is no longer used."), code="too_many_keys")


def _living() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Neither revoked nor expired by now."""
    return ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.wall())


def _owned(vendor_id: int | None) -> ColumnElement[bool]:
    return ApiKey.vendor_id.is_(None) if vendor_id is None else ApiKey.vendor_id == vendor_id


def _row(row: Any) -> KeyRow:
    return KeyRow(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=tuple(row.scopes),
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )

"""Who is at the door: one query answers user, staff role, vendor, role and standing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Subquery, bindparam, case, func, or_, select

from portal.entitlements.models import EntitlementGrant
from portal.entitlements.rules import Grant, Kind, Source, combine
from portal.identity.models import Membership, SecondFactor, StaffRole, User, UserSession, Vendor
from portal.identity.rules import Role, StaffKind
from portal.kit import clock
from portal.kit.db import BigId, UtcDateTime
from portal.kit.direct import Direct
from portal.notifications.models import Notification
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status

#: Between the parts of a text that joins rows; signing up refuses names with such characters.
FIELD, ROW = "\x1f", "\x1e"


@dataclass(frozen=True, slots=True)
class VendorAtDoor:
    """The vendor that a request speaks for, as it is now; ``standing`` is None before any tier was chosen."""

    id: int
    code: str
    name: str
    stage: str
    time_zone: str
    role: Role
    standing: Status | None
    trial_ends_at: datetime | None
    period_end: datetime | None
    blocked: bool
    past_due_since: datetime | None = None
    #: Notes of the portal that nobody has read.
    unread: int = 0
    #: Feature → level, as the gate reckons them (entitlements.rules.combine); pages ask the gate, navigation this.
    features: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Door:
    """A vendor that a person may switch to, and what they are there."""

    code: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in person. ``vendor`` is None for staff without a vendor and for vendors that are not theirs;
    ``doors`` are all of the person's vendors, by name.
    """

    session_id: int
    user_id: int
    name: str
    email: str
    locale: str
    theme: str
    verified: bool
    staff: StaffKind | None
    second_factor: bool
    vendor: VendorAtDoor | None
    doors: tuple[Door, ...] = ()


def visitor(token_hash: str, *, code: str | None, preferred_vendor: int | None) -> Visitor | None:
    """The person behind a session token, with the vendor named in the address or else the preferred or first one.

    None when the session is unknown, expired or revoked, or the person is blocked. One query.
    """
    told = {"token": token_hash, "code": code, "preferred": preferred_vendor}
    row = next(iter(_AT_THE_DOOR[bool(code)]({**told, "now": clock.business(), "wall": clock.wall()})), None)
    if row is None:
        return None
    vendor = None
    if row.vendor_id is not None:
        vendor = VendorAtDoor(
            id=row.vendor_id,
            code=row.code,
            name=row.vendor_name,
            stage=row.stage,
            time_zone=row.time_zone,
            role=Role(row.role),
            standing=Status(row.status) if row.status else None,
            trial_ends_at=row.trial_ends_at,
            period_end=row.period_end,
            blocked=row.vendor_blocked_at is not None,
            past_due_since=row.past_due_since,
            unread=row.unread,
            features=_features(row.features),
        )
    return Visitor(
        session_id=row.session_id,
        user_id=row.user_id,
        name=row.name,
        email=row.email,
        locale=row.locale,
        theme=row.theme,
        verified=row.email_verified_at is not None,
        staff=StaffKind(row.staff) if row.staff else None,
        second_factor=row.confirmed_at is not None,
        vendor=vendor,
        doors=_doors(row.doors),
    )


@lru_cache(maxsize=1024)
def _features(joined: str | None) -> Mapping[str, str]:
    """By feature its level. Most vendors of a plan hold the same, so it is seldom reckoned."""
    grants = []
    for part in (joined or "").split(";"):
        source, key, level = part.split("|") if part else ("", "", "")
        if source:
            grants.append(Grant(Source(source), "", Kind.FEATURE, key, level=level))
    return MappingProxyType(combine(0, grants).features)


def _doors(joined: str | None) -> tuple[Door, ...]:
    parts = [each.split(FIELD, 2) for each in joined.split(ROW)] if joined else []
    return tuple(sorted((Door(code, name, Role(role)) for code, role, name in parts),
                        key=lambda door: (door.name.casefold(), door.code)))  # fmt: skip


def _signed_in() -> Subquery:
    """Whose session it is. OFFSET 0 has this looked up first, by the token: left to itself and without statistics,
    PostgreSQL 15 went through all people, which took half as long again.
    """
    return (
        select(
            UserSession.id.label("session_id"),
            User.id.label("user_id"),
            User.name,
            User.email,
            User.locale,
            User.theme,
            User.email_verified_at,
        )
        .join(User, User.id == UserSession.user_id)
        .where(
            UserSession.token_hash == bindparam("token"),
            UserSession.revoked_at.is_(None),
            UserSession.expires_at > bindparam("wall", type_=UtcDateTime()),
            User.blocked_at.is_(None),
        )
        .offset(0)
        .subquery("me")
    )


def _theirs(user_id: ColumnElement[int]) -> ScalarSelect[str]:
    """All vendors of the person in one text, so that the switch between them costs no statement of its own."""
    member, theirs = Membership.__table__.alias("member"), Vendor.__table__.alias("theirs")
    each = theirs.c.code + FIELD + member.c.role + FIELD + theirs.c.name
    return (
        select(func.aggregate_strings(each, ROW))
        .select_from(member.join(theirs, theirs.c.id == member.c.vendor_id))
        .where(member.c.user_id == user_id)
        .scalar_subquery()
    )


def _granted() -> ScalarSelect[str]:
    """The features of the vendor as ``source|key|level;…``, so that navigation costs no statement of its own."""
    grant, now = EntitlementGrant.__table__.alias("granted"), bindparam("now", type_=UtcDateTime())
    each = grant.c.source + "|" + grant.c.key + "|" + func.coalesce(grant.c.level, "")
    return (
        select(func.aggregate_strings(each, ";"))
        .where(grant.c.vendor_id == Vendor.id, grant.c.kind == Kind.FEATURE, grant.c.valid_from <= now)
        .where(or_(grant.c.valid_until.is_(None), grant.c.valid_until > now))
        .correlate(Vendor)
        .scalar_subquery()
    )


def _unread() -> ScalarSelect[int]:
    note = Notification.__table__.alias("note")
    mine = select(func.count()).select_from(note).where(note.c.vendor_id == Vendor.id, note.c.read_at.is_(None))
    return mine.correlate(Vendor).scalar_subquery()


def _statement(named: bool) -> Select[*tuple[Any, ...]]:
    me = _signed_in()
    user_id = me.c.user_id
    wanted = Vendor.code == bindparam("code") if named else Vendor.id.is_not(None)
    found = (
        select(
            *me.c,
            StaffRole.role.label("staff"),
            SecondFactor.confirmed_at,
            Vendor.id.label("vendor_id"),
            Vendor.code,
            Vendor.name.label("vendor_name"),
            Vendor.stage,
            Vendor.time_zone,
            Vendor.blocked_at.label("vendor_blocked_at"),
            Membership.role,
            VendorSubscription.status,
            VendorSubscription.trial_ends_at,
            VendorSubscription.period_end,
            VendorSubscription.past_due_since,
            _theirs(user_id).label("doors"),
            _unread().label("unread"),
            _granted().label("features"),
        )
        .select_from(me)
        .outerjoin(StaffRole, StaffRole.user_id == user_id)
        .outerjoin(SecondFactor, SecondFactor.user_id == user_id)
        .outerjoin(
            Membership.__table__.join(Vendor.__table__, Vendor.id == Membership.vendor_id),
            (Membership.user_id == user_id) & wanted,
        )
        .outerjoin(
            VendorSubscription, (VendorSubscription.vendor_id == Vendor.id) & VendorSubscription.ended_at.is_(None)
        )
    )
    if named:  # nobody is in the same team twice, so there is nothing to choose
        return found
    first = case((Vendor.id == bindparam("preferred", type_=BigId), 0), else_=1)
    return found.order_by(first, Membership.id).limit(1)


#: By whether the address names the vendor. Built once: building it took longer than its answer. The person at the door
#: decides the tenant, so there is none yet.
_AT_THE_DOOR = {named: Direct(_statement(named)) for named in (False, True)}

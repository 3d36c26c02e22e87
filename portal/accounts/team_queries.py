"""Reading a team: its people and who is invited, in one list."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, case, func, literal, null, select, union_all

from portal.identity.models import Invitation, Membership, SecondFactor, User, UserSession
from portal.identity.rules import Role
from portal.kit import paging
from portal.kit.db import BigId, UtcDateTime, db
from portal.kit.errors import NotFound
from portal.kit.paging import Page

SIZE = 50


class Place(StrEnum):
    """What a row of the list is."""

    MEMBER = "member"
    INVITED = "invited"


@dataclass(frozen=True, slots=True)
class TeamRow:
    """Somebody in the team, or invited to it.

    ``id`` is the membership's or the invitation's. ``seen_at`` is the last sign-in that is still known (about a month
    back), ``second_factor`` whether signing in asks for a code; both are empty for invitations, which have
    ``expires_at``, ``invited_by`` and ``sent_count`` instead.
    """

    place: Place
    id: int
    user_id: int | None
    name: str
    email: str
    role: Role
    since: datetime
    seen_at: datetime | None
    second_factor: bool
    blocked: bool
    invited_by: str | None
    expires_at: datetime | None
    sent_count: int


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in the team, as the question before a change names them."""

    id: int
    user_id: int
    name: str
    email: str
    role: Role
    is_ready: bool


def team(vendor_id: int, cursor: str | None = None) -> Page[TeamRow]:
    """The owner, then managers and members by name, then who is invited; one statement.

    NotFound for a cursor that this list did not make.
    """
    paging.check(cursor, (int, str, int))
    rows = union_all(_members(vendor_id), _invited(vendor_id)).subquery()
    by = [(rows.c.rank, "asc"), (rows.c.sort, "asc"), (rows.c.id, "asc")]
    found = paging.fetch(select(rows), by, cursor, SIZE)  # type: ignore[arg-type]
    return Page([_row(row) for row in found.rows], found.previous, found.next)


def _members(vendor_id: int) -> Select[*tuple[Any, ...]]:
    seen = select(func.max(UserSession.created_at)).where(UserSession.user_id == User.id).scalar_subquery()
    rank = case((Membership.role == Role.OWNER, 0), (Membership.role == Role.MANAGER, 1), else_=2)
    return (
        select(
            rank.label("rank"),
            User.email_key.label("sort"),
            Membership.id.label("id"),
            Membership.user_id.label("user_id"),
            User.name.label("name"),
            User.email.label("email"),
            Membership.role.label("role"),
            Membership.created_at.label("since"),
            seen.label("seen_at"),
            SecondFactor.confirmed_at.label("second_factor_at"),
            User.blocked_at.label("blocked_at"),
            literal(None).label("invited_by"),
            _no_time("expires_at"),
            literal(0).label("sent_count"),
        )
        .join(User, User.id == Membership.user_id)
        .outerjoin(SecondFactor, SecondFactor.user_id == User.id)
        .where(Membership.vendor_id == vendor_id)
    )


def _invited(vendor_id: int) -> Select[*tuple[Any, ...]]:
    return select(
        literal(3).label("rank"),
        Invitation.email_key.label("sort"),
        Invitation.id.label("id"),
        null().cast(BigId).label("user_id"),
        literal("").label("name"),
        Invitation.email.label("email"),
        Invitation.role.label("role"),
        Invitation.created_at.label("since"),
        _no_time("seen_at"),
        _no_time("second_factor_at"),
        _no_time("blocked_at"),
        Invitation.invited_by.label("invited_by"),
        Invitation.expires_at.label("expires_at"),
        Invitation.sent_count.label("sent_count"),
    ).where(Invitation.vendor_id == vendor_id, Invitation.ended_at.is_(None))


def _no_time(name: str) -> Any:
    return null().cast(UtcDateTime()).label(name)


def _row(row: Any) -> TeamRow:
    return TeamRow(
        Place.INVITED if row.rank == 3 else Place.MEMBER, row.id, row.user_id, row.name, row.email, Role(row.role),
        row.since, row.seen_at, row.second_factor_at is not None, row.blocked_at is not None, row.invited_by,
        row.expires_at, row.sent_count,
    )  # fmt: skip


def member(vendor_id: int, member_id: int) -> Member:
    """One of the team; NotFound for another vendor's."""
    row = db.session.execute(
        select(Membership.id, Membership.role, User.id.label("user_id"), User.name, User.email, User.blocked_at,
               User.email_verified_at)
        .join(User, User.id == Membership.user_id)
        .where(Membership.id == member_id, Membership.vendor_id == vendor_id)
    ).first()  # fmt: skip
    if row is None:
        raise NotFound
    ready = row.blocked_at is None and row.email_verified_at is not None
    return Member(row.id, row.user_id, row.name, row.email, Role(row.role), ready)


def head_count(vendor_id: int) -> int:
    """How many people are in the team."""
    return int(db.session.scalar(select(func.count()).where(Membership.vendor_id == vendor_id)) or 0)

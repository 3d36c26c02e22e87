"""Invitations to a vendor's team: the rows. Who may invite and what a seat costs is for the accounts room to say."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select

from portal.identity import links
from portal.identity.models import Invitation, User, Vendor
from portal.identity.rules import Role, email_key
from portal.kit import tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import NotFound

#: How long an invitation stands, from the last time it was mailed; business time, as it holds a seat of the plan.
STANDS = timedelta(days=7)


class State(StrEnum):
    """What has become of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation as somebody who holds its link may see it."""

    id: int
    vendor_id: int
    vendor_code: str
    vendor_name: str
    vendor_blocked: bool
    email: str
    email_key: str
    role: Role
    locale: str
    invited_by: str
    expires_at: datetime
    accepted_by_id: int | None
    state: State


def create(vendor_id: int, email: str, role: Role, *, locale: str, actor: Actor, now: datetime) -> Invitation:
    """A new open invitation for a checked address. The caller holds the vendor's lock and knows that none is open."""
    invitation = Invitation(
        vendor_id=vendor_id,
        email=email,
        email_key=email_key(email),
        role=role,
        locale=locale,
        token_hash=secrets.token_hex(32),  # until its id, from which its link is signed, is known
        invited_by_id=actor.id if actor.kind in ("user", "staff") else None,
        invited_by=actor.label[:120],
        created_at=now,
        expires_at=now + STANDS,
    )
    db.session.add(invitation)
    db.session.flush()
    invitation.token_hash = links.invitation_hash(links.make_invitation(invitation.id, now))
    db.session.flush()
    return invitation


def mailed_again(invitation: Invitation, *, now: datetime) -> None:
    """It stands anew from now on; the link stays the same, so that an earlier mail works too."""
    invitation.sent_count += 1
    invitation.expires_at = now + STANDS
    db.session.flush()


def close(invitation: Invitation, *, now: datetime) -> None:
    """Withdrawn, or run out: its link opens nothing any more."""
    invitation.ended_at = now
    db.session.flush()


def accepted(invitation: Invitation, user_id: int, *, now: datetime) -> None:
    """Somebody joined by it; it works once."""
    invitation.accepted_at = invitation.ended_at = now
    invitation.accepted_by_id = user_id
    db.session.flush()


def locked(invitation_id: int, vendor_id: int) -> Invitation:
    """The vendor's invitation under a lock, read anew; NotFound for another vendor's."""
    found = db.session.scalar(
        select(Invitation)
        .where(Invitation.id == invitation_id, Invitation.vendor_id == vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return found


def open_of(vendor_id: int) -> list[Invitation]:
    """Every invitation of the vendor that holds a seat, the oldest first; also one that has run out unnoticed."""
    statement = select(Invitation).where(Invitation.vendor_id == vendor_id, Invitation.ended_at.is_(None))
    return list(db.session.scalars(statement.order_by(Invitation.id).execution_options(populate_existing=True)))


def written(vendor_id: int, since: datetime, *, key: str | None = None) -> int:
    """How many invitations the vendor has written since then, to one address if ``key`` is given."""
    statement = select(func.count()).where(Invitation.vendor_id == vendor_id, Invitation.created_at > since)
    if key is not None:
        statement = statement.where(Invitation.email_key == key)
    return int(db.session.scalar(statement) or 0)


def lapsed(now: datetime) -> list[tuple[int, int]]:
    """Open invitations of all vendors whose time is over: (id, vendor's id)."""
    statement = select(Invitation.id, Invitation.vendor_id).where(
        Invitation.ended_at.is_(None), Invitation.expires_at <= now
    )
    with tenancy.unscoped("invitations run out for every vendor"):
        return [(row.id, row.vendor_id) for row in db.session.execute(statement.order_by(Invitation.id))]


def behind(token: str, now: datetime) -> Invited:
    """The invitation that a link belongs to, whatever has become of it. LinkRefused for a link that is none of ours."""
    statement = (
        select(Invitation, Vendor.code, Vendor.name, Vendor.blocked_at)
        .join(Vendor, Vendor.id == Invitation.vendor_id)
        .where(Invitation.token_hash == links.invitation_hash(token))
        .execution_options(populate_existing=True)
    )
    with tenancy.unscoped("the link says whose invitation it is"):
        row = db.session.execute(statement).first()
    if row is None:
        raise links.LinkRefused
    found: Invitation = row[0]
    return Invited(
        found.id, found.vendor_id, row.code, row.name, row.blocked_at is not None, found.email, found.email_key,
        Role(found.role), found.locale, found.invited_by, found.expires_at, found.accepted_by_id, state(found, now),
    )  # fmt: skip


def state(invitation: Invitation, now: datetime) -> State:
    """What has become of it at ``now``; one whose time is over has expired, whether or not that was noted."""
    if invitation.accepted_at is not None:
        return State.ACCEPTED
    if invitation.ended_at is not None and invitation.ended_at < invitation.expires_at:
        return State.WITHDRAWN
    return State.OPEN if invitation.ended_at is None and now < invitation.expires_at else State.EXPIRED


def token_of(invitation_id: int) -> str:
    """The token for an invitation's mail, signed now; LookupError when it is gone."""
    with tenancy.unscoped("a mail is rendered"):
        found = db.session.get(Invitation, invitation_id)
    if found is None:
        raise LookupError(f"invitation {invitation_id} is gone")
    return links.make_invitation(found.id, found.created_at)


def has_login(key: str) -> bool:
    """Is there an account for this address? Told only to whoever holds a link that was mailed there."""
    return db.session.scalar(select(User.id).where(User.email_key == key)) is not None

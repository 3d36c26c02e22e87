"""Inviting people to a vendor's team, and joining it (ACC-8). All of it inside the caller's unit of work."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from portal.accounts import seats, team_mails
from portal.audit import service as audit
from portal.identity import addresses, memberships
from portal.identity import invitations as rows
from portal.identity import service as identity
from portal.identity.invitations import STANDS, Invited, State
from portal.identity.models import Invitation, Membership, User, Vendor
from portal.identity.rules import Role, email_key
from portal.kit import actor as actors
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, TooMany
from portal.kit.text import N_
from portal.subscriptions import history
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status, is_open

#: The roles that an invitation may give; owner is somebody only by taking over.
INVITABLE = (Role.MANAGER, Role.MEMBER)
#: Mails for one invitation, and the pause between two.
MOST_MAILS, PAUSE = 4, timedelta(minutes=15)
#: Invitations that a vendor may write in a day, in all and to one address: enough for a team, too few for a nuisance.
MOST_A_DAY, MOST_TO_ONE = 50, 3
DAY = timedelta(days=1)

OVER = {
    State.ACCEPTED: ("invitation_used", N_("This invitation was accepted already. It works only once.")),
    State.WITHDRAWN: ("invitation_withdrawn", N_("This invitation was withdrawn. Ask %(by)s for a new one.")),
    State.EXPIRED: ("invitation_expired", N_("This invitation is more than seven days old. Ask %(by)s for a new one.")),
}


def invite(vendor_id: int, email: str, role: str, *, locale: str, actor: Actor, now: datetime) -> Invitation:
    """Invite an address; a seat is taken and a mail goes out. Locks the vendor.

    Invalid (fields ``email``, ``role``) for what is no address, a member, an address that is invited, or a role that
    cannot be given; TooMany beyond a day's number; LimitReached without a free seat. Whether the address has an
    account makes no difference.
    """
    address = addresses.checked(email)
    if role not in INVITABLE:
        raise Invalid(fields={"role": N_("Choose one of the options.")})
    history.lock_if_any(vendor_id)
    _close_lapsed(vendor_id, now)
    _refuse_known(vendor_id, address)
    _refuse_flood(vendor_id, email_key(address), now)
    invitation = rows.create(vendor_id, address, Role(role), locale=locale, actor=actor, now=now)
    seats.hold(vendor_id, invitation.id, now=now)
    audit.record(actor, "team.invited", vendor_id=vendor_id, data=_trace(invitation), now=now)
    team_mails.invitation(_vendor(vendor_id), invitation, now=now)
    return invitation


def _refuse_known(vendor_id: int, address: str) -> None:
    key = email_key(address)
    member = select(Membership.id).join(User, User.id == Membership.user_id)
    if db.session.scalar(member.where(Membership.vendor_id == vendor_id, User.email_key == key)):
        raise Invalid(fields={"email": N_("This person is in your team already.")})
    if any(invitation.email_key == key for invitation in rows.open_of(vendor_id)):
        raise Invalid(fields={"email": N_("This address is invited already. The list lets you send the mail again.")})


def _refuse_flood(vendor_id: int, key: str, now: datetime) -> None:
    if rows.written(vendor_id, now - DAY, key=key) >= MOST_TO_ONE:
        raise TooMany(
            N_("This address was invited several times today. Please wait until tomorrow."), retry_after=86_400
        )
    if rows.written(vendor_id, now - DAY) >= MOST_A_DAY:
        raise TooMany(N_("You have invited very many people today. Please go on tomorrow."), retry_after=86_400)


def send_again(vendor_id: int, invitation_id: int, *, actor: Actor, now: datetime) -> Invitation:
    """Mail the invitation once more; its seven days begin anew.

    Conflict when it is over, TooMany after four mails and within a quarter of an hour of the last.
    """
    invitation = _open(vendor_id, invitation_id, now)
    if invitation.sent_count >= MOST_MAILS:
        raise TooMany(
            N_("The mail was sent four times. Ask the person to look for it, or withdraw the invitation."),
            retry_after=86_400,
        )
    wait = invitation.expires_at - STANDS + PAUSE - now
    if wait > timedelta():
        raise TooMany(
            N_("The mail was sent a moment ago. It may take some minutes to arrive."),
            retry_after=int(wait.total_seconds()) + 1,
        )
    rows.mailed_again(invitation, now=now)
    audit.record(actor, "team.invitation_sent_again", vendor_id=vendor_id, data=_trace(invitation), now=now)
    team_mails.invitation(_vendor(vendor_id), invitation, now=now)
    return invitation


def withdraw(vendor_id: int, invitation_id: int, *, actor: Actor, now: datetime) -> bool:
    """Take an invitation back and free its seat; False when it was over already. Conflict when it was accepted."""
    history.lock_if_any(vendor_id)
    invitation = rows.locked(invitation_id, vendor_id)
    if invitation.accepted_at is not None:
        raise Conflict(N_("This invitation was accepted meanwhile. You can remove the person from the team."))
    if invitation.ended_at is not None:
        return False
    _close(invitation, now)
    audit.record(actor, "team.invitation_withdrawn", vendor_id=vendor_id, data=_trace(invitation), now=now)
    return True


def lapse(vendor_id: int, *, now: datetime) -> None:
    """End the vendor's invitations whose time is over, and free their seats."""
    history.lock_if_any(vendor_id)
    _close_lapsed(vendor_id, now)


def _close_lapsed(vendor_id: int, now: datetime) -> None:
    for invitation in rows.open_of(vendor_id):
        if invitation.expires_at <= now:
            _close(invitation, now)


def _close(invitation: Invitation, now: datetime) -> None:
    rows.close(invitation, now=now)
    seats.release_invitation(invitation.vendor_id, invitation.id, now=now)


def _open(vendor_id: int, invitation_id: int, now: datetime) -> Invitation:
    history.lock_if_any(vendor_id)
    invitation = rows.locked(invitation_id, vendor_id)
    _refuse_over(rows.state(invitation, now), invitation.invited_by)
    return invitation


def _refuse_over(state: State, by: str) -> None:
    if state != State.OPEN:
        code, message = OVER[state]
        raise Conflict(message, code=code, by=by)


def examine(invited: Invited, *, now: datetime) -> None:
    """Raise what stands in the way of joining: Conflict for an invitation that is over, Forbidden (BLOCKED) for a
    vendor or owner that is blocked, PaymentRequired for one whose plan is not open, Forbidden (limit_reached) when the
    plan has become too small for the team. Reads only; ``join`` asks again under the lock.
    """
    _refuse_over(invited.state, invited.invited_by)
    told: dict[str, Any] = {"vendor": invited.vendor_name, "by": invited.invited_by}
    owner_blocked, standing = _owner_and_standing(invited.vendor_id)
    if invited.vendor_blocked or owner_blocked:
        raise Forbidden(
            N_("%(vendor)s is closed at the moment. Ask %(by)s, or write to support."), code="BLOCKED", **told
        )
    if standing is None or not is_open(Status(standing)):
        raise PaymentRequired(
            N_("%(vendor)s has no active plan now, so nobody can join. Ask %(by)s, then open the link again."),
            code="vendor_closed",
            **told,
        )
    if seats.too_many(invited.vendor_id, now=now):
        raise Forbidden(
            N_("The plan of %(vendor)s has no seat left. Ask %(by)s for one, then open the link again."),
            code="limit_reached",
            **told,
        )


def _owner_and_standing(vendor_id: int) -> tuple[bool, str | None]:
    row = db.session.execute(
        select(User.blocked_at, VendorSubscription.status)
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .outerjoin(
            VendorSubscription,
            (VendorSubscription.vendor_id == Membership.vendor_id) & VendorSubscription.ended_at.is_(None),
        )
        .where(Membership.vendor_id == vendor_id, Membership.role == Role.OWNER)
    ).one()
    return row.blocked_at is not None, row.status


def join(token: str, user_id: int, *, now: datetime) -> bool:
    """The person behind the link joins with the invitation's role, once. False when they were in the team already:
    then the invitation ends and its seat is free.

    Raises what ``examine`` raises, and Forbidden (``wrong_person``) for anybody but the invited address. Opening the
    link proved the address, so it counts as confirmed.
    """
    vendor_id = rows.behind(token, now).vendor_id
    history.lock_if_any(vendor_id)
    invited = rows.behind(token, now)
    examine(invited, now=now)
    user = identity.locked(user_id)
    if user.email_key != invited.email_key:
        raise Forbidden(N_("This invitation was sent to another address than yours."), code="wrong_person")
    user.email_verified_at = user.email_verified_at or now
    invitation = rows.locked(invited.id, vendor_id)
    if memberships.of(vendor_id, user.id) is not None:
        _close(invitation, now)
        return False
    rows.accepted(invitation, user.id, now=now)
    memberships.add(vendor_id, user.id, invited.role, now=now)
    data = {**_trace(invitation), "name": user.name}
    audit.record(actors.user(user.id, user.name), "team.joined", vendor_id=vendor_id, data=data, now=now)
    team_mails.accepted(_vendor(vendor_id), invitation, user, now=now)
    return True


def join_as_new(token: str, name: str, password_hash: str, *, locale: str, now: datetime) -> User:
    """Somebody without a login makes one and joins. Invalid (field ``email``) when the address has one by now."""
    invited = rows.behind(token, now)
    examine(invited, now=now)
    user = identity.create_user(invited.email, name, password_hash=password_hash, locale=locale, now=now)
    join(token, user.id, now=now)
    return user


def _vendor(vendor_id: int) -> Vendor:
    vendor = db.session.get(Vendor, vendor_id)
    if vendor is None:
        raise NotFound
    return vendor


def _trace(invitation: Invitation) -> dict[str, str]:
    return {"email": invitation.email, "role": invitation.role}

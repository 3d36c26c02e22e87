"""Who is in a vendor's team and as what (ACC-8): roles, leaving, removing, handing the vendor over.

All of it inside the caller's unit of work and under the vendor's lock; what anybody may do is read anew there, since
a click may come after another one that took the right away.
"""

from datetime import datetime

from portal.accounts import seats, team_mails
from portal.audit import service as audit
from portal.identity import api_keys, memberships
from portal.identity.models import Membership, User, Vendor
from portal.identity.rules import Role
from portal.kit import outbox
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound
from portal.kit.text import N_
from portal.subscriptions import history

#: The roles that one may be given; owner is somebody only by taking over.
GIVEN = (Role.MANAGER, Role.MEMBER)


def change_role(vendor_id: int, member_id: int, role: str, *, actor: Actor, now: datetime) -> bool:
    """Another role from the person's next request on; False when it is theirs already.

    Invalid (field ``role``) for a role that cannot be given, Conflict for the owner's, NotFound for another vendor's
    member, Forbidden when the actor owns the vendor no more.
    """
    if role not in GIVEN:
        raise Invalid(fields={"role": N_("Choose one of the options.")})
    _lock_as_owner(vendor_id, actor)
    membership, user = memberships.locked(member_id, vendor_id)
    _refuse_owner(membership)
    before = membership.role
    if before == role:
        return False
    memberships.set_role(membership, Role(role))
    data = {"email": user.email, "before": before, "after": role}
    audit.record(actor, "team.role_changed", vendor_id=vendor_id, data=data, now=now)
    team_mails.role_changed(_vendor(vendor_id), user, membership, by=actor, now=now)
    return True


def remove(
    vendor_id: int, member_id: int, *, actor: Actor, now: datetime, revoke_keys: bool = False
) -> tuple[User, int]:
    """Out of the team, and the seat is free; gives whom, and how many API keys ended with them.

    Their other vendors are not touched. ``revoke_keys`` ends the vendor's keys that they made, in the same moment.
    Conflict for the owner, NotFound for another vendor's member, Forbidden when the actor owns the vendor no more.
    """
    _lock_as_owner(vendor_id, actor)
    membership, user = memberships.locked(member_id, vendor_id)
    _refuse_owner(membership)
    _take_out(membership, now)
    data = {"email": user.email, "role": membership.role}
    audit.record(actor, "team.removed", vendor_id=vendor_id, data=data, now=now)
    revoked = api_keys.revoke_made_by(vendor_id, user.id, actor=actor, now=now) if revoke_keys else 0
    team_mails.removed(_vendor(vendor_id), user, member_id, by=actor, now=now)
    return user, revoked


def leave(vendor_id: int, user_id: int, *, actor: Actor, now: datetime) -> None:
    """A member goes by their own wish. Conflict for the owner, NotFound for somebody who is not in the team."""
    history.lock_if_any(vendor_id)
    membership = memberships.of(vendor_id, user_id)
    if membership is None:
        raise NotFound
    _refuse_owner(membership)
    _take_out(membership, now)
    user = db.session.get_one(User, user_id)
    data = {"email": user.email, "role": membership.role}
    audit.record(actor, "team.left", vendor_id=vendor_id, data=data, now=now)
    team_mails.left(_vendor(vendor_id), user, membership.id, now=now)


def hand_over(vendor_id: int, member_id: int, *, actor: Actor, now: datetime) -> User:
    """The member owns the vendor at once, who owned it becomes a manager; gives the new owner.

    At every moment there is exactly one owner, however many hand over at once: the second finds that it owns nothing.
    Mails about money go to the new owner, and Stripe is told. Conflict for somebody who is blocked or has not
    confirmed their address, Forbidden when the actor owns the vendor no more.
    """
    own = _lock_as_owner(vendor_id, actor)
    membership, heir = memberships.locked(member_id, vendor_id)
    if membership.id == own.id:
        raise Conflict(N_("You own this already."), code="owner_already")
    if heir.blocked_at is not None or heir.email_verified_at is None:
        raise Conflict(
            N_("%(name)s must be able to sign in and have a confirmed address first."), code="not_ready", name=heir.name
        )
    memberships.hand_over(own, membership)
    before = db.session.get_one(User, own.user_id)
    data = {"before": before.email, "after": heir.email}
    audit.record(actor, "team.ownership_transferred", vendor_id=vendor_id, data=data, now=now)
    team_mails.handed_over(_vendor(vendor_id), before, heir, now=now)
    outbox.emit(
        "vendor.legal_data_changed", dedupe_key=f"{vendor_id}:owner:{now.isoformat()}", vendor_id=vendor_id,
        for_vendor=vendor_id,
    )  # fmt: skip
    return heir


def _lock_as_owner(vendor_id: int, actor: Actor) -> Membership:
    history.lock_if_any(vendor_id)
    own = memberships.of(vendor_id, actor.id or 0)
    if own is None or own.role != Role.OWNER:
        raise Forbidden
    return own


def _refuse_owner(membership: Membership) -> None:
    if membership.role == Role.OWNER:
        raise Conflict(
            N_("The owner stays owner until somebody else takes over. Hand the ownership over first."), code="is_owner"
        )


def _take_out(membership: Membership, now: datetime) -> None:
    memberships.remove(membership)
    seats.release_member(membership.vendor_id, membership.id, now=now)


def _vendor(vendor_id: int) -> Vendor:
    return db.session.get_one(Vendor, vendor_id)

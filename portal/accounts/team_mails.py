"""Mails about a team: to who is invited, to who invited, and to everybody whose place in it changes."""

from datetime import datetime

from portal.identity import memberships
from portal.identity import queries as identity
from portal.identity.models import Invitation, Membership, User, Vendor
from portal.identity.queries import Person
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.notifications import service as notifications
from portal.notifications.service import Recipient


def invitation(vendor: Vendor, invited: Invitation, *, now: datetime) -> None:
    """The link to join; it is signed when the mail is rendered. A repetition has a number of its own."""
    notifications.send(
        "invitation",
        Recipient(invited.email, "", invited.locale),
        dedupe_key=f"invitation:{invited.id}:{invited.sent_count}",
        vendor_id=vendor.id,
        now=now,
        vendor_name=vendor.name,
        by=invited.invited_by,
        role=invited.role,
        invitation_id=invited.id,
        expires_at=invited.expires_at.isoformat(),
    )


def accepted(vendor: Vendor, invited: Invitation, joined: User, *, now: datetime) -> None:
    """Tell who invited, or the owner when they are in the team no more."""
    notifications.send(
        "invitation_accepted",
        _to(_inviter(invited) or identity.owner(vendor.id)),
        dedupe_key=f"invitation_accepted:{invited.id}",
        vendor_id=vendor.id,
        now=now,
        **_named(vendor),
        who=joined.name,
        email=joined.email,
        role=invited.role,
    )


def _inviter(invited: Invitation) -> Person | None:
    if invited.invited_by_id is None or memberships.of(invited.vendor_id, invited.invited_by_id) is None:
        return None
    user = db.session.get(User, invited.invited_by_id)
    return Person(user.id, user.email, user.name, user.locale) if user else None


def role_changed(vendor: Vendor, user: User, membership: Membership, *, by: Actor, now: datetime) -> None:
    """Tell the person what they may do from now on."""
    notifications.send(
        "role_changed",
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"role_changed:{membership.id}:{now.isoformat()}",
        vendor_id=vendor.id,
        now=now,
        **_named(vendor),
        by=by.label,
        role=membership.role,
    )


def removed(vendor: Vendor, user: User, member_id: int, *, by: Actor, now: datetime) -> None:
    """Tell the person that they are in this team no more."""
    notifications.send(
        "member_removed",
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"member_removed:{member_id}",
        vendor_id=vendor.id,
        now=now,
        vendor_name=vendor.name,
        by=by.label,
    )


def left(vendor: Vendor, user: User, member_id: int, *, now: datetime) -> None:
    """Tell the owner that somebody has left."""
    notifications.send(
        "member_left",
        _to(identity.owner(vendor.id)),
        dedupe_key=f"member_left:{member_id}",
        vendor_id=vendor.id,
        now=now,
        **_named(vendor),
        who=user.name,
    )


def handed_over(vendor: Vendor, before: User, after: User, *, now: datetime) -> None:
    """Tell both: who owned the vendor, in case it was not them, and who owns it now."""
    for user, is_new in ((before, 0), (after, 1)):
        notifications.send(
            "ownership_transferred",
            Recipient(user.email, user.name, user.locale),
            dedupe_key=f"ownership_transferred:{vendor.id}:{user.id}:{now.isoformat()}",
            vendor_id=vendor.id,
            now=now,
            **_named(vendor),
            before=before.name,
            after=after.name,
            is_new=is_new,
        )


def _named(vendor: Vendor) -> dict[str, str]:
    return {"vendor_code": vendor.code, "vendor_name": vendor.name}


def _to(person: Person) -> Recipient:
    return Recipient(person.email, person.name, person.locale)

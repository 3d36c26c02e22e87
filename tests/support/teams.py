"""Teammates for tests: invited by the owner, joined by the link, as in life."""

from portal.accounts import invitations
from portal.identity import links, passwords
from portal.identity import queries as identity
from portal.identity.models import Invitation, User
from portal.identity.rules import email_key
from portal.kit import actor as actors
from portal.kit import clock, tenancy
from portal.kit.unit_of_work import end_reading, unit_of_work
from tests.support.people import PASSWORD, Someone


def invite(owner: Someone, email: str = "carol@kilim.example", role: str = "member") -> Invitation:
    """The owner invites an address."""
    actor = actors.user(owner.user_id, owner.name)
    with tenancy.scoped(owner.vendor_id), unit_of_work():
        return invitations.invite(owner.vendor_id, email, role, locale="en", actor=actor, now=clock.business())


def token(invitation: Invitation) -> str:
    """The end of the link that the mail carries."""
    return links.make_invitation(invitation.id, invitation.created_at)


def accept(invitation: Invitation, name: str = "Carol Colleague") -> User:
    """Whoever was invited joins: with the login that the address has, or with a new one."""
    known = identity.user_by_key(email_key(invitation.email))
    end_reading()
    hashed = passwords.hashed(PASSWORD)
    with tenancy.scoped(invitation.vendor_id), unit_of_work():
        if known is None:
            return invitations.join_as_new(token(invitation), name, hashed, locale="en", now=clock.business())
        invitations.join(token(invitation), known.id, now=clock.business())
        return known


def joins(
    owner: Someone, email: str = "carol@kilim.example", name: str = "Carol Colleague", role: str = "member"
) -> User:
    """Invited and joined."""
    return accept(invite(owner, email, role), name)

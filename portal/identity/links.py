"""Signed links that prove an address: bound to one purpose, to a time and to what they change, and never stored.

A link works once because what it is bound to changes when it is used. Time is the wall clock's.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from itsdangerous import BadData, SignatureExpired, URLSafeSerializer, URLSafeTimedSerializer

from portal.identity.models import User
from portal.kit.errors import PortalError
from portal.kit.text import N_


class Purpose(StrEnum):
    """What a link may do; one made for another purpose is refused."""

    VERIFY = "verify"
    RESET = "reset"
    FIRST_PASSWORD = "first_password"  # noqa: S105 - a purpose, not a password
    CHANGE_EMAIL = "change_email"
    #: No link at all: what a browser keeps between the right password and the code.
    SECOND_FACTOR = "second_factor"


LIFETIMES = {
    Purpose.VERIFY: timedelta(days=7),
    Purpose.RESET: timedelta(hours=1),
    Purpose.FIRST_PASSWORD: timedelta(days=7),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
    Purpose.SECOND_FACTOR: timedelta(minutes=10),
}


class LinkRefused(PortalError):
    """The link is too old, was used, was made for something else, or is not ours. All look alike."""

    status, code = 404, "link_refused"
    message = N_("This link no longer works. It was used already, or it is too old.")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a valid signature says; whether it still fits is for ``fits`` to say."""

    purpose: Purpose
    user_id: int
    state: str
    email: str | None


_secret = ""


def configure(secret: str) -> None:
    """Set the signing secret of this process."""
    global _secret
    _secret = secret


def make(purpose: Purpose, user: User, email: str | None = None) -> str:
    """A token for the end of a link. ``email`` is the new address where the purpose is to change it."""
    return str(_signer(purpose).dumps([user.id, _state(purpose, user), email]))


def read(token: str, *purposes: Purpose) -> Opened:
    """Check signature, purpose and age. LinkRefused otherwise."""
    for purpose in purposes:
        try:
            user_id, state, email = _signer(purpose).loads(token, max_age=int(LIFETIMES[purpose].total_seconds()))
        except SignatureExpired as error:
            raise LinkRefused from error
        except BadData:
            continue
        return Opened(purpose, user_id, state, email)
    raise LinkRefused


def make_invitation(invitation_id: int, created_at: datetime) -> str:
    """The token of an invitation: the same whenever its mail is rendered. How long it works stands in its row."""
    return str(_invitations().dumps([invitation_id, int(created_at.timestamp())]))


def invitation_hash(token: str) -> str:
    """The form in which an invitation's token is kept and looked up. LinkRefused for one that we did not sign."""
    try:
        _invitations().loads(token)
    except BadData as error:
        raise LinkRefused from error
    return hashlib.sha256(token.encode()).hexdigest()


def fits(opened: Opened, user: User | None) -> bool:
    """Is what the link was bound to still as it was?"""
    return user is not None and user.blocked_at is None and _state(opened.purpose, user) == opened.state


def _invitations() -> URLSafeSerializer:
    if not _secret:
        raise RuntimeError("links are not configured")
    return URLSafeSerializer(_secret, salt="portal.link.invitation")


def _signer(purpose: Purpose) -> URLSafeTimedSerializer:
    if not _secret:
        raise RuntimeError("links are not configured")
    return URLSafeTimedSerializer(_secret, salt=f"portal.link.{purpose}")


def _state(purpose: Purpose, user: User) -> str:
    """A fingerprint of what using the link changes."""
    bound = {
        Purpose.VERIFY: f"{user.email_key}|{user.email_verified_at}",
        Purpose.RESET: f"{user.email_key}|{user.password_hash}",
        Purpose.FIRST_PASSWORD: f"{user.email_key}|{user.password_hash}",
        Purpose.CHANGE_EMAIL: f"{user.email_key}|{user.password_hash}",
        Purpose.SECOND_FACTOR: f"{user.email_key}|{user.password_hash}",
    }[purpose]
    return hashlib.sha256(bound.encode()).hexdigest()[:24]

"""Users, vendors, sessions: the verbs that write. All run inside the caller's unit of work."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import select, update

from portal.audit import service as audit
from portal.identity import links, mails
from portal.identity.links import LinkRefused, Opened
from portal.identity.models import Membership, RefreshToken, StaffRole, User, UserSession, Vendor
from portal.identity.rules import SESSION_LIFETIME, Role, StaffKind, code_candidate, email_key, slug
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.actor import user as as_actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid, NotFound
from portal.kit.text import N_

TAKEN = N_("There is an account with this address already. Sign in instead, or reset the password.")


def create_user(email: str, name: str, *, password_hash: str | None, locale: str, now: datetime) -> User:
    """A new login for a checked address. Invalid (field ``email``) when one exists, also when it appears just now."""
    key = email_key(email)
    values = {
        "email": email,
        "email_key": key,
        "name": name,
        "password_hash": password_hash,
        "locale": locale,
        "created_at": now,
    }
    if not insert_once(User, values, ["email_key"]):
        raise Invalid(fields={"email": TAKEN})
    return db.session.scalars(select(User).where(User.email_key == key)).one()


def create_vendor(name: str, owner: User, *, now: datetime) -> Vendor:
    """A vendor with a code of its own (kilim, kilim-2 …) and its one owner."""
    vendor = Vendor(name=name, locale=owner.locale, created_at=now)
    vendor = _with_free_code(vendor, slug(name))
    db.session.add(Membership(vendor_id=vendor.id, user_id=owner.id, role=Role.OWNER, created_at=now))
    db.session.flush()
    return vendor


def _with_free_code(vendor: Vendor, wanted: str) -> Vendor:
    values = {"name": vendor.name, "locale": vendor.locale, "created_at": vendor.created_at}
    attempt = 1
    while not insert_once(Vendor, {**values, "code": (code := code_candidate(wanted, attempt))}, ["code"]):
        attempt += 1
    return db.session.scalars(select(Vendor).where(Vendor.code == code)).one()


def make_staff(user: User, kind: StaffKind, *, actor: Actor, now: datetime) -> None:
    """Make a person one of the operator's people, or change what they may do."""
    db.session.merge(StaffRole(user_id=user.id, role=kind, created_at=now))
    audit.record(actor, "staff.added", vendor_id=None, data={"email": user.email, "role": kind}, now=now)


def open_session(user_id: int) -> str:
    """Sign a browser in; gives the token for its cookie, of which only a hash is kept. 30 days by the wall clock."""
    token, now = secrets.token_urlsafe(32), clock.wall()
    digest = hashlib.sha256(token.encode()).hexdigest()
    db.session.add(UserSession(token_hash=digest, user_id=user_id, created_at=now, expires_at=now + SESSION_LIFETIME))
    db.session.flush()
    return token


def close_session(session_id: int) -> None:
    """Sign one browser out; the token is worth nothing from now on."""
    db.session.execute(update(UserSession).where(UserSession.id == session_id).values(revoked_at=clock.wall()))


def end_sessions(user_id: int, *, keep: int | None = None) -> int:
    """Sign out every browser but the one with session id ``keep``, and every program; gives how many browsers."""
    now = clock.wall()
    mine = (UserSession.user_id == user_id, UserSession.revoked_at.is_(None), UserSession.expires_at > now)
    others = db.session.execute(update(UserSession).where(*mine, UserSession.id != (keep or 0)).values(revoked_at=now))
    db.session.execute(
        update(RefreshToken)
        .where(RefreshToken.user_id == user_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return int(getattr(others, "rowcount", 0))


def change_password(user_id: int, password_hash: str, *, keep: int | None, actor: Actor, now: datetime) -> None:
    """Set a new password and sign out everywhere else (ACC-3)."""
    user = locked(user_id)
    user.password_hash = password_hash
    end_sessions(user_id, keep=keep)
    audit.record(actor, "user.password_changed", vendor_id=None, data={"user": user_id}, now=now)
    mails.password_changed(user, now=now)


def reset_password(opened: Opened, password_hash: str, *, now: datetime) -> User:
    """Set the password that a mailed link allows. Opening the link proved the address, so it counts as confirmed."""
    user = _still_fits(opened)
    change_password(user.id, password_hash, keep=None, actor=as_actor(user.id, user.name), now=now)
    user.email_verified_at = user.email_verified_at or now
    return user


def verify_email(opened: Opened, *, now: datetime) -> User:
    """The address is confirmed. LinkRefused when it was before, or has changed since the link was made."""
    user = _still_fits(opened)
    user.email_verified_at = now
    return user


def change_email(opened: Opened, *, keep: int | None, now: datetime) -> User:
    """The new address was opened, so it takes effect and is confirmed; other sessions end (ACC-3).

    Invalid (field ``email``) when somebody else has registered it meanwhile.
    """
    user = _still_fits(opened)
    new = opened.email or ""
    key = email_key(new)
    if db.session.scalar(select(User.id).where(User.email_key == key, User.id != user.id)):
        raise Invalid(fields={"email": TAKEN})
    data = {"before": user.email, "after": new}
    user.email, user.email_key, user.email_verified_at = new, key, now
    end_sessions(user.id, keep=keep)
    audit.record(as_actor(user.id, user.name), "user.email_changed", vendor_id=None, data=data, now=now)
    mails.email_changed(user, data["before"], now=now)
    outbox.emit("user.email_changed", dedupe_key=f"{user.id}:{now.isoformat()}", user_id=user.id)
    return user


def keep_legal_data(
    vendor_id: int, *, legal_name: str, vat_id: str, address: dict[str, str], actor: Actor, now: datetime
) -> bool:
    """What a vendor's papers say about it; False when it says that already. Locks the vendor; NotFound for none."""
    wanted = select(Vendor).where(Vendor.id == vendor_id).with_for_update()
    vendor = db.session.scalar(wanted.execution_options(populate_existing=True))
    if vendor is None:
        raise NotFound
    before = {"legal_name": vendor.legal_name or "", "vat_id": vendor.vat_id or "", **(vendor.address or {})}
    after = {"legal_name": legal_name, "vat_id": vat_id, **address}
    if before == after:
        return False
    vendor.legal_name, vendor.vat_id, vendor.address = legal_name, vat_id or None, dict(address)
    changed = sorted(name for name in after if after[name] != before.get(name, ""))
    audit.record(actor, "vendor.legal_data_changed", vendor_id=vendor_id, data={"fields": changed}, now=now)
    return True


def rename(user_id: int, name: str) -> None:
    """How the person is called."""
    locked(user_id).name = name


def prefer(user_id: int, *, locale: str | None = None, theme: str | None = None) -> None:
    """The person's language and theme, on every device from now on; None leaves one as it is."""
    user = locked(user_id)
    user.locale, user.theme = locale or user.locale, theme or user.theme


def locked(user_id: int) -> User:
    """The user's row under a lock, read anew."""
    statement = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    user = db.session.scalar(statement)
    if user is None:
        raise NotFound
    return user


def _still_fits(opened: Opened) -> User:
    try:
        user = locked(opened.user_id)
    except NotFound as error:
        raise LinkRefused from error
    if not links.fits(opened, user):
        raise LinkRefused
    return user

"""Mails about a person's login. Links are signed when the mail is rendered: no secret stands in a row or a job.

Who asks for a link only writes a job, for known and unknown addresses alike, so that neither the answer nor its time
tells whether an account exists (ACC-10).
"""

import hashlib
from datetime import datetime, timedelta

from portal.identity.models import User
from portal.identity.rules import email_key
from portal.kit import clock, outbox
from portal.notifications import service as notifications
from portal.notifications.service import Recipient

#: One mail of a kind and person in this time, however often it is asked for.
PAUSE = timedelta(minutes=2)


def ask(task: str, email: str) -> None:
    """Write the job that looks the address up and mails a link if there is an account. Inside a unit of work."""
    key = email_key(email)
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    outbox.enqueue(task, dedupe_key=f"{task}:{digest}:{_slot()}", email_key=key)


def ask_reset(email: str) -> None:
    """Somebody forgot the password of this address."""
    ask("identity.send_reset_link", email)


def ask_verification(email: str) -> None:
    """Somebody wants the link that confirms this address once more."""
    ask("identity.send_verification_link", email)


def verification(user: User, *, cause: str, now: datetime) -> None:
    """The link that confirms the address; ``cause`` makes it unique for the person."""
    _send("verification", user, f"verification:{user.id}:{cause}", now)


def reset(user: User, *, now: datetime) -> None:
    """The link to a new password, good for an hour."""
    _send("reset", user, f"reset:{user.id}:{_slot()}", now)


def first_password(user: User, *, now: datetime) -> None:
    """The link by which somebody who was added chooses a password."""
    _send("first_password", user, f"first_password:{user.id}:{_slot()}", now)


def email_change(user: User, new_email: str, *, now: datetime) -> None:
    """The link that makes a new address take effect; it goes to the new address."""
    digest = hashlib.sha256(new_email.encode()).hexdigest()[:16]
    notifications.send(
        "email_change",
        Recipient(new_email, user.name, user.locale),
        dedupe_key=f"email_change:{user.id}:{digest}:{_slot()}",
        vendor_id=None,
        now=now,
        user_id=user.id,
        new_email=new_email,
    )


def email_changed(user: User, old_email: str, *, now: datetime) -> None:
    """Tell the old address that it is no longer the login, in case somebody else did it."""
    notifications.send(
        "email_changed",
        Recipient(old_email, user.name, user.locale),
        dedupe_key=f"email_changed:{user.id}:{now.isoformat()}",
        vendor_id=None,
        now=now,
        new_email=user.email,
    )


def password_changed(user: User, *, now: datetime) -> None:
    """Tell the person, in case somebody else did it."""
    notifications.send(
        "password_changed",
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"password_changed:{user.id}:{now.isoformat()}",
        vendor_id=None,
        now=now,
        at=now.isoformat(),
    )


def second_factor(user: User, kind: str, *, now: datetime) -> None:
    """Tell the person that their second factor was switched on or off (``kind``), in case somebody else did it."""
    notifications.send(
        kind,
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"{kind}:{user.id}:{now.isoformat()}",
        vendor_id=None,
        now=now,
        at=now.isoformat(),
    )


def recovery_code_used(user: User, left: int, *, now: datetime) -> None:
    """Tell the person that somebody signed in with a recovery code, and how many are left."""
    notifications.send(
        "recovery_code_used",
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"recovery_code_used:{user.id}:{left}:{now.isoformat()}",
        vendor_id=None,
        now=now,
        at=now.isoformat(),
        left=left,
    )


def _send(kind: str, user: User, dedupe_key: str, now: datetime) -> None:
    to = Recipient(user.email, user.name, user.locale)
    notifications.send(kind, to, dedupe_key=dedupe_key, vendor_id=None, now=now, user_id=user.id)


def _slot() -> int:
    return int(clock.wall().timestamp() // PAUSE.total_seconds())

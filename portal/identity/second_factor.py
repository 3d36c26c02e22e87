"""The second factor of a login (ACC-3): an authenticator app, and recovery codes for when it is gone.

Verbs of the caller's unit of work; each locks the person first. Codes are compared by the wall clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, delete, func, select, update

from portal.audit import service as audit
from portal.identity import mails, service
from portal.identity.models import RecoveryCode, SecondFactor, StaffRole, User
from portal.identity.second_factor_rules import matching_step, new_secret, typed_code
from portal.kit import crypto
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_
from portal.settings import queries as settings

WRONG_CODE = N_("This code is not right, or it was used already. Type the one that your app shows now.")
ON_ALREADY = N_("Two-step sign-in is on already.")
NOT_ON = N_("Two-step sign-in is not on.")
COMPULSORY = N_("Staff need two-step sign-in here, so it cannot be switched off. You can set it up on another phone.")


@dataclass(frozen=True, slots=True)
class State:
    """What the profile says; ``since`` is None while it is off."""

    since: datetime | None
    codes_left: int
    compulsory: bool

    @property
    def is_on(self) -> bool:
        """Does sign-in ask for a code?"""
        return self.since is not None


def state(user_id: int) -> State:
    """How a person's second factor stands; one query."""
    left = select(func.count()).where(RecoveryCode.user_id == User.id, RecoveryCode.used_at.is_(None))
    row = db.session.execute(
        select(SecondFactor.confirmed_at, left.correlate(User).scalar_subquery().label("left"), StaffRole.role)
        .select_from(User)
        .outerjoin(SecondFactor, SecondFactor.user_id == User.id)
        .outerjoin(StaffRole, StaffRole.user_id == User.id)
        .where(User.id == user_id)
    ).one()
    compulsory = row.role is not None and settings.current().staff_second_factor
    return State(row.confirmed_at, row.left if row.confirmed_at else 0, compulsory)


def is_on(user_id: int) -> bool:
    """Does this person's sign-in ask for a code?"""
    found = and_(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    return db.session.scalar(select(SecondFactor.user_id).where(found)) is not None


def begin(user_id: int, *, now: datetime) -> None:
    """Make a secret for an app; sign-in does not ask for it until ``confirm``. Begun twice, the newer one counts.

    Conflict when a second factor is on: it is switched off first.
    """
    service.locked(user_id)
    if is_on(user_id):
        raise Conflict(ON_ALREADY)
    sealed = crypto.seal(new_secret(), bound_to=_place(user_id))
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
    db.session.add(SecondFactor(user_id=user_id, secret=sealed, last_step=0, created_at=now))
    db.session.flush()


def begun(user_id: int) -> str | None:
    """The secret of a set-up that is not confirmed yet; never that of one which is on."""
    row = db.session.get(SecondFactor, user_id, populate_existing=True)
    if row is None or row.confirmed_at is not None:
        return None
    return crypto.unseal(row.secret, bound_to=_place(user_id))


def confirm(
    user_id: int, code: str, hashes: Sequence[str], *, keep: int | None, actor: Actor, at: datetime, now: datetime
) -> None:
    """Switch the second factor on with a right code; the recovery codes with these hashes are valid from now on.

    Every session but ``keep`` ends, and the person is mailed. Invalid (field ``code``) for a wrong code, Conflict when
    nothing was begun or it is on already. ``at`` is the wall's, ``now`` business time.
    """
    user = service.locked(user_id)
    if is_on(user_id):
        raise Conflict(ON_ALREADY)
    if begun(user_id) is None:
        raise Conflict(N_("This set-up is no longer open. Begin again."))
    if not accept(user_id, code, at=at):
        raise Invalid(fields={"code": WRONG_CODE})
    _row(user_id).confirmed_at = now
    _store_codes(user_id, hashes, now)
    service.end_sessions(user_id, keep=keep)
    audit.record(actor, "user.second_factor_on", vendor_id=None, data={"user": user_id}, now=now)
    mails.second_factor(user, "second_factor_on", now=now)


def accept(user_id: int, code: str, *, at: datetime) -> bool:
    """Is this what the app shows? A right code is used up with it: shown again in the same half minute it is wrong."""
    service.locked(user_id)
    digits, row = typed_code(code), _found(user_id)
    if row is None or digits is None:
        return False
    step = matching_step(crypto.unseal(row.secret, bound_to=_place(user_id)), digits, at, after=row.last_step)
    if step is None:
        return False
    row.last_step = step
    db.session.flush()
    return True


def accept_recovery(user_id: int, code_hash: str, *, actor: Actor, now: datetime) -> int | None:
    """Use a recovery code up and tell the person; gives how many are left, None when the code is wrong or used."""
    user = service.locked(user_id)
    unused = (RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    used = db.session.execute(
        update(RecoveryCode).where(*unused, RecoveryCode.code_hash == code_hash).values(used_at=now)
    )
    if not is_on(user_id) or getattr(used, "rowcount", 0) != 1:
        return None
    left = int(db.session.scalar(select(func.count()).select_from(RecoveryCode).where(*unused)) or 0)
    audit.record(actor, "user.recovery_code_used", vendor_id=None, data={"user": user_id, "left": left}, now=now)
    mails.recovery_code_used(user, left, now=now)
    return left


def renew_codes(user_id: int, hashes: Sequence[str], *, actor: Actor, now: datetime) -> None:
    """New recovery codes; the old ones are void. Conflict while the second factor is off."""
    service.locked(user_id)
    if not is_on(user_id):
        raise Conflict(NOT_ON)
    _store_codes(user_id, hashes, now)
    audit.record(actor, "user.recovery_codes_renewed", vendor_id=None, data={"user": user_id}, now=now)


def turn_off(user_id: int, *, actor: Actor, now: datetime) -> None:
    """Sign-in asks for the password alone from now on; the person is mailed.

    Conflict while it is off, and for staff where the operator made it compulsory.
    """
    user = service.locked(user_id)
    held = state(user_id)
    if not held.is_on:
        raise Conflict(NOT_ON)
    if held.compulsory:
        raise Conflict(COMPULSORY)
    _remove(user)
    audit.record(actor, "user.second_factor_off", vendor_id=None, data={"user": user_id}, now=now)
    mails.second_factor(user, "second_factor_off", now=now)


def reset(user_id: int, *, actor: Actor, now: datetime) -> bool:
    """For somebody who has lost phone and codes: off, whatever the operator demands, and signed out everywhere.

    Where it is compulsory they set it up anew at their next sign-in. False when there was nothing to reset.
    """
    user = service.locked(user_id)
    if _found(user_id) is None:
        return False
    _remove(user)
    service.end_sessions(user_id)
    data = {"user": user_id, "email": user.email}
    audit.record(actor, "user.second_factor_reset", vendor_id=None, data=data, now=now)
    mails.second_factor(user, "second_factor_off", now=now)
    return True


def reseal(after: int, limit: int) -> tuple[int, int | None]:
    """Seal secrets anew that are under an old key, of users above ``after``: how many, and where to go on (or None)."""
    rows = db.session.scalars(
        select(SecondFactor).where(SecondFactor.user_id > after).order_by(SecondFactor.user_id).limit(limit)
        .with_for_update()
    ).all()  # fmt: skip
    old = [row for row in rows if crypto.is_outdated(row.secret)]
    for row in old:
        row.secret = crypto.resealed(row.secret, bound_to=_place(row.user_id))
    db.session.flush()
    return len(old), rows[-1].user_id if len(rows) == limit else None


def _place(user_id: int) -> str:
    return f"second_factors.secret:{user_id}"


def _found(user_id: int) -> SecondFactor | None:
    return db.session.get(SecondFactor, user_id, populate_existing=True)


def _row(user_id: int) -> SecondFactor:
    return db.session.get_one(SecondFactor, user_id)


def _store_codes(user_id: int, hashes: Sequence[str], now: datetime) -> None:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    db.session.add_all(RecoveryCode(user_id=user_id, code_hash=each, created_at=now) for each in hashes)
    db.session.flush()


def _remove(user: User) -> None:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user.id))

"""Steps with a code in them: counting the try, hashing outside transactions, then the verb. For web and API alike.

Codes and passwords of an account are counted together: ten wrong ones in a quarter of an hour (ACC-10).
"""

from dataclasses import dataclass

from portal.identity import flows, guesses, links, queries, second_factor, service
from portal.identity.links import LinkRefused, Purpose
from portal.identity.models import User
from portal.identity.second_factor_rules import new_recovery_codes, recovery_hash, typed_code
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.actor import user as as_actor
from portal.kit.errors import TooMany, Unauthenticated
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work

WRONG_RECOVERY_CODE = N_("This recovery code is not right, or it was used already.")


class WrongCode(Unauthenticated):
    """The code does not fit; nothing was changed but the count of tries."""

    code, message = "invalid_code", second_factor.WRONG_CODE


@dataclass(frozen=True, slots=True)
class Entered:
    """A session was opened; ``codes_left`` is None unless a recovery code was used up for it."""

    token: str
    codes_left: int | None


@dataclass(frozen=True, slots=True)
class Proven:
    """Both steps are done; ``codes_left`` as in ``Entered``."""

    user: User
    codes_left: int | None


def waiting(challenge: str) -> User:
    """Whose code is waited for after the password was right. LinkRefused when that is over ten minutes ago, or when
    password or address changed since.
    """
    opened = links.read(challenge, Purpose.SECOND_FACTOR)
    user = queries.user(opened.user_id)
    if user is None or not links.fits(opened, user):
        raise LinkRefused
    return user


def prove(challenge: str, code: str) -> Proven:
    """The second step without a session, for programs that want tokens: an app's code or a recovery code.

    Raises LinkRefused (see ``waiting``), WrongCode, TooMany.
    """
    user = waiting(challenge)
    return Proven(user, prove_code(user, code))


def enter(challenge: str, code: str) -> Entered:
    """The second step of signing in: opens the session. Raises what ``prove`` raises."""
    proven = prove(challenge, code)
    with unit_of_work():
        return Entered(service.open_session(proven.user.id), proven.codes_left)


def prove_code(user: User, text: str) -> int | None:
    """Use up an app's code, or a recovery code (gives how many of those are left). Raises WrongCode, TooMany."""
    attempt = _admit(user)
    if typed_code(text):
        with unit_of_work():
            right, left = second_factor.accept(user.id, text, at=clock.wall()), None
            if right:
                guesses.succeeded(attempt, user.id)
    else:
        hashed = recovery_hash(user.id, text)
        with unit_of_work():
            actor = as_actor(user.id, user.name)
            left = second_factor.accept_recovery(user.id, hashed, actor=actor, now=clock.business())
            right = left is not None
            if right:
                guesses.succeeded(attempt, user.id)
    if not right:
        raise WrongCode(None if typed_code(text) else WRONG_RECOVERY_CODE)
    return left


def begin(user: User, password: str) -> None:
    """Begin a set-up; the password is asked anew. Raises what ``flows.prove`` raises, Conflict when it is on."""
    flows.prove(user.email, password)
    with unit_of_work():
        second_factor.begin(user.id, now=clock.business())


def switch_on(user_id: int, code: str, *, keep: int | None, actor: Actor) -> list[str]:
    """Confirm the set-up; gives the recovery codes, which nobody can read again. Raises what ``confirm`` raises."""
    end_reading()
    codes = new_recovery_codes()
    hashes = [recovery_hash(user_id, each) for each in codes]
    with unit_of_work():
        second_factor.confirm(
            user_id, code, hashes, keep=keep, actor=actor, at=clock.wall(), now=clock.business()
        )  # fmt: skip
    return codes


def renew_codes(user: User, password: str, code: str, *, actor: Actor) -> list[str]:
    """New recovery codes for somebody who proves password and code. Raises Unauthenticated, WrongCode, TooMany."""
    _prove_both(user, password, code)
    codes = new_recovery_codes()
    hashes = [recovery_hash(user.id, each) for each in codes]
    with unit_of_work():
        second_factor.renew_codes(user.id, hashes, actor=actor, now=clock.business())
    return codes


def switch_off(user: User, password: str, code: str, *, actor: Actor) -> None:
    """Off again, for somebody who proves password and code. Raises those of ``renew_codes`` and Conflict."""
    _prove_both(user, password, code)
    with unit_of_work():
        second_factor.turn_off(user.id, actor=actor, now=clock.business())


def _prove_both(user: User, password: str, code: str) -> None:
    flows.prove(user.email, password)
    prove_code(user, code)


def _admit(user: User) -> int:
    try:
        return guesses.admit(user.email_key)
    except TooMany as error:
        raise TooMany(
            N_("Too many wrong tries. Wait a quarter of an hour, then try again."), retry_after=error.retry_after
        ) from error

"""Passwords: what is refused, how they are kept (argon2id), a check that takes as long for nobody as for somebody."""

from collections.abc import Iterable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.identity.rules import PASSWORD_MAX, PASSWORD_MIN
from portal.kit.text import N_

#: Guessing costs time with the square of the length, and nothing is learnt after this many characters.
JUDGED_LENGTH = 100
LEAST_SCORE = 3

_hasher = PasswordHasher(time_cost=2, parallelism=1, memory_cost=19456)


def configure(memory_kib: int) -> None:
    """Set how much memory one hash takes; stored hashes carry their own parameters and stay valid."""
    global _hasher
    _hasher = PasswordHasher(time_cost=2, parallelism=1, memory_cost=memory_kib)
    _nobody.cache_clear()


def fault(password: str, about: Iterable[str] = ()) -> str | None:
    """Why this password is refused, as a message id, or None when it will do.

    ``about`` are words that others know of its owner (name, address, business); they count as guessed.
    """
    if len(password) < PASSWORD_MIN:
        return N_("Use at least 10 characters.")
    if len(password) > PASSWORD_MAX:
        return N_("Use at most 200 characters.")
    if any(ord(c) < 32 or ord(c) == 127 for c in password):
        return N_("This contains characters that cannot be used here.")
    if _score(password[:JUDGED_LENGTH], about) < LEAST_SCORE:
        return N_("This password is easy to guess. Three or four unrelated words make a good one.")
    return None


def _score(password: str, about: Iterable[str]) -> int:
    from zxcvbn import zxcvbn

    words = {part for text in about for part in (text, *text.replace("@", " ").replace(".", " ").split()) if part}
    return int(zxcvbn(password, user_inputs=sorted(words), max_length=JUDGED_LENGTH)["score"])


def hashed(password: str) -> str:
    """The form in which a password is stored. Takes tens of milliseconds: never inside a transaction."""
    return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Is this the password? Without a stored one a hash of nobody's is verified, so that time tells nothing."""
    try:
        _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def outdated(stored: str) -> bool:
    """Was it hashed with other parameters than today's?"""
    return _hasher.check_needs_rehash(stored)


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")

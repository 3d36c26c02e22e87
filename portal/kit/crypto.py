"""Secrets at rest: sealed with the installation's keys, and bound to the place that they stand in.

AES-256-GCM. What a value is bound to (its owner and field) is authenticated with it, so a ciphertext that was moved to
another row does not open. Several keys may be valid: the first seals, each opens what it has sealed.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES, NONCE_BYTES = 32, 12
_MARK = "s1"


class WrongKeyError(ValueError):
    """A key that is not 32 bytes in Base64 (either alphabet)."""


class CannotOpenError(RuntimeError):
    """The text was altered, was moved here from somewhere else, or its key is gone. It never says which."""


_keys: dict[str, bytes] = {}


def read_keys(text: str) -> list[bytes]:
    """The keys in a setting, newest first, with commas between them. WrongKeyError when one is no key."""
    return [_read_key(part.strip()) for part in text.split(",") if part.strip()]


def _read_key(text: str) -> bytes:
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error) as error:
        raise WrongKeyError from error
    if len(key) != KEY_BYTES:
        raise WrongKeyError
    return key


def configure(keys: Sequence[bytes]) -> None:
    """Set this process's keys; the first one seals."""
    global _keys
    _keys = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}


def seal(plain: str, *, bound_to: str) -> str:
    """``plain`` for a column; it opens again only for the same ``bound_to`` (such as ``second_factors.secret:17``)."""
    name = _newest()
    nonce = secrets.token_bytes(NONCE_BYTES)
    hidden = _cipher(name).encrypt(nonce, plain.encode(), _context(name, bound_to))
    return f"{_MARK}.{name}.{base64.urlsafe_b64encode(nonce + hidden).decode()}"


def unseal(sealed: str, *, bound_to: str) -> str:
    """What was sealed for this place. CannotOpenError otherwise."""
    from cryptography.exceptions import InvalidTag

    try:
        mark, name, body = sealed.split(".")
        raw = base64.urlsafe_b64decode(body)
        if mark != _MARK or name not in _keys or len(raw) <= NONCE_BYTES:
            raise CannotOpenError
        plain: bytes = _cipher(name).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _context(name, bound_to))
    except (ValueError, binascii.Error, InvalidTag) as error:
        raise CannotOpenError from error
    return plain.decode()


def is_outdated(sealed: str) -> bool:
    """Was it sealed with another key than today's?"""
    return sealed.split(".")[1:2] != [_newest()]


def resealed(sealed: str, *, bound_to: str) -> str:
    """The same secret under the newest key."""
    return seal(unseal(sealed, bound_to=bound_to), bound_to=bound_to)


def _newest() -> str:
    if not _keys:
        raise RuntimeError("no keys are configured")
    return next(iter(_keys))


def _context(name: str, bound_to: str) -> bytes:
    return f"portal|{_MARK}|{name}|{bound_to}".encode()


def _cipher(name: str) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: pages hardly ever need it

    return AESGCM(_keys[name])

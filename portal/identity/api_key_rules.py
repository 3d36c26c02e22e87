"""What an API key looks like and what it may reach; pure.

``vp_live_`` and twelve hexadecimal digits are shown and looked up; the secret behind them is 256 random bits, so a
plain SHA-256 keeps it: there is nothing to guess that a slow hash would protect.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from portal.kit.text import N_


class Reach(StrEnum):
    """What a key reaches; each route of the interface names the ones it asks for."""

    USAGE_WRITE = "usage:write"
    USAGE_READ = "usage:read"
    ENTITLEMENTS_READ = "entitlements:read"


REACH_NAMES = {
    Reach.USAGE_WRITE: N_("Report usage, and take what the gate admits"),
    Reach.USAGE_READ: N_("Read usage and its history"),
    Reach.ENTITLEMENTS_READ: N_("Read limits and features, and ask the gate"),
}

#: Days after which a key may end; None: never.
LIFETIMES: tuple[int | None, ...] = (None, 30, 90, 365)
#: Living keys that one vendor (or the platform) may have.
MOST_KEYS = 25
NAME_MAX = 80
#: ``last_used_at`` is written at most this often: a busy key must not write a row for every request.
NOTED_EVERY = timedelta(minutes=1)

_SHAPE = re.compile(r"(vp_live_[0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as it is sent: the part that is looked up, and the hash that must be found there."""

    prefix: str
    key_hash: str


def new_key() -> tuple[str, KeyText]:
    """A fresh key in full, to be shown once, and what is kept of it."""
    prefix = f"vp_live_{secrets.token_hex(6)}"
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return text, KeyText(prefix, _hashed(text))


def read_key(text: str) -> KeyText | None:
    """What to look up for a key that somebody sent; None for what has not the form of one."""
    found = _SHAPE.fullmatch(text)
    return KeyText(found[1], _hashed(text)) if found else None


def same(one: str, other: str) -> bool:
    """Compare two hashes in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Codes of an authenticator app and recovery codes: how they are made, typed and compared. Pure."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime

#: A code of an authenticator app lasts so many seconds; one before and one after count too, for clocks that differ.
STEP = 30
DRIFT = 1
DIGITS = 6
RECOVERY_CODES = 10
#: So few left, and the profile asks for new ones.
FEW_LEFT = 3
#: No letters that are taken for digits or for each other. 16 of these are 79 bits.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_LENGTH, _GROUP = 16, 4
#: How often scrypt mixes: some ten milliseconds for each code.
SCRYPT_COST = 4096


def step_of(moment: datetime) -> int:
    """The half minute, counted from 1970, that a moment of the wall clock lies in."""
    return int(moment.timestamp()) // STEP


def new_secret() -> str:
    """160 random bits in Base32, as authenticator apps take them."""
    import pyotp

    return pyotp.random_base32()


def typed_code(text: str) -> str | None:
    """The six digits that somebody typed, spaces apart; None when it is something else."""
    plain = re.sub(r"[\s-]", "", text)
    return plain if re.fullmatch(rf"[0-9]{{{DIGITS}}}", plain) else None


def matching_step(secret: str, code: str, at: datetime, *, after: int) -> int | None:
    """The half minute whose code this is, among those that count at ``at`` (wall) and are newer than ``after``."""
    import pyotp

    app, now = pyotp.TOTP(secret), step_of(at)
    found = None
    for step in range(max(0, now - DRIFT), now + DRIFT + 1):
        right = hmac.compare_digest(app.generate_otp(step), code)
        if right and step > after and found is None:
            found = step
    return found


def address(secret: str, *, account: str, issuer: str) -> str:
    """The ``otpauth:`` address that the QR code carries."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer.replace(":", " "))


def in_groups(text: str, size: int = _GROUP, between: str = " ") -> str:
    """Easier to read and to type."""
    return between.join(text[i : i + size] for i in range(0, len(text), size))


def new_recovery_codes() -> list[str]:
    """Ten codes as they are shown, once."""
    made = ("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(RECOVERY_CODES))
    return [in_groups(code, between="-") for code in made]


def recovery_hash(user_id: int, text: str) -> str:
    """The form in which a recovery code is stored; however it was typed. Takes milliseconds: outside transactions."""
    plain = re.sub(r"[^0-9a-z]", "", text.lower())[:64]
    return hashlib.scrypt(
        plain.encode(), salt=f"portal.recovery:{user_id}".encode(), n=SCRYPT_COST, r=8, p=1, dklen=32
    ).hex()

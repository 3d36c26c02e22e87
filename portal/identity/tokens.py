"""Tokens of the JSON interface: short-lived signed access tokens, and refresh tokens of which only hashes are kept."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from portal.identity.models import RefreshToken
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Unauthenticated
from portal.kit.text import N_

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=30)
AUDIENCE = "vendor-portal"

_key = b""


class Scope(StrEnum):
    """What a token reaches. ``billing``: plans, subscriptions and billing only (ACC-2)."""

    FULL = "full"
    BILLING = "billing"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair as it is handed out, once; times by the wall clock."""

    access: str
    access_expires_at: datetime
    refresh: str
    refresh_expires_at: datetime
    scope: Scope


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. Everything else is looked up anew for each request (ACC-6)."""

    user_id: int
    account_id: int | None
    scope: Scope


def configure(secret: str) -> None:
    """Derive this process's signing key, so that no other use of the secret can make a token."""
    global _key
    _key = hmac.digest(secret.encode(), b"portal.access-token", "sha256")


def issue(user_id: int, account_id: int | None, scope: Scope, *, family: str | None = None) -> Tokens:
    """Sign an access token and write a refresh token's row. Inside a unit of work.

    ``account_id`` is the vendor's; ``family`` names the sign-in that a rotated token descends from.
    """
    now = clock.wall().replace(microsecond=0)
    refresh = secrets.token_urlsafe(32)
    tokens = Tokens("", now + ACCESS_LIFETIME, refresh, now + REFRESH_LIFETIME, scope)
    db.session.add(
        RefreshToken(
            family=family or secrets.token_hex(16),
            token_hash=hashlib.sha256(refresh.encode()).hexdigest(),
            user_id=user_id,
            vendor_id=account_id,
            scope=scope,
            created_at=now,
            expires_at=tokens.refresh_expires_at,
        )
    )
    db.session.flush()
    access = _sign(Claims(user_id, account_id, scope), now, tokens.access_expires_at)
    return Tokens(access, tokens.access_expires_at, refresh, tokens.refresh_expires_at, scope)


def _sign(claims: Claims, now: datetime, expires_at: datetime) -> str:
    payload = {
        "aud": AUDIENCE,
        "sub": str(claims.user_id),
        "user_id": claims.user_id,
        "account_id": claims.account_id,
        "scope": claims.scope,
        "iat": now,
        "exp": expires_at,
        "jti": secrets.token_hex(8),
    }
    import jwt  # late: it brings the whole of cryptography, which pages never need

    return jwt.encode(payload, _key, algorithm="HS256")


def verify_access(token: str) -> Claims:
    """The claims of a token that we signed and that has not run out. Unauthenticated otherwise."""
    import jwt

    try:
        required = {"require": ["exp", "aud", "sub"]}
        payload: dict[str, Any] = jwt.decode(token, _key, algorithms=["HS256"], audience=AUDIENCE, options=required)  # type: ignore[arg-type]
        return Claims(payload["user_id"], payload["account_id"], Scope(payload["scope"]))
    except (jwt.InvalidTokenError, KeyError, ValueError) as error:
        raise Unauthenticated(N_("This token is not valid, or it has run out."), code="token_invalid") from error

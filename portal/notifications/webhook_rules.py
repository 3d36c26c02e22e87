"""Outgoing webhooks: which events there are, how they are signed, and when they are tried again; pure.

Signed by the Standard Webhooks specification (headers webhook-id, webhook-timestamp, webhook-signature), so that every
library for it verifies ours.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from portal.kit.text import N_


class WrongWebhookError(ValueError):
    """An event was published that is not listed here; always a bug of the caller."""


#: Sent by the button alone, to show that an endpoint works; nobody has to subscribe to it.
TEST = "test.sent"

#: What may be published, and what people read beside it. A new kind is one more line here and in docs/api.md.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "subscription.changed": N_("The plan, its state, its price or its period has changed"),
        "credits.changed": N_("Credits were granted, bought, adjusted, given back or expired; using them is not told"),
        "usage.alert": N_("50, 80 or 100 percent of a limit is used"),
        "entitlements.changed": N_("Limits or features have changed"),
        "addon.changed": N_("An add-on was added, resized, cancelled or kept, or its payment failed or came"),
        "addon.ready": N_("An add-on works"),
        "addon.failed": N_("An add-on could not be set up"),
        "addon.ended": N_("An add-on has ended"),
        "domain.changed": N_("A domain works, works no more, was lost or removed, or is the main one"),
    }
)

#: Waits between the tries, as the specification suggests: ten tries within a little more than three days.
GAPS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
TRIES = len(GAPS) + 1
#: Endpoints that a vendor (or the platform) may have.
MOST_ENDPOINTS = 10
SECRET_BYTES = 32
EVENT_ID_MAX = 120
#: How long a secret that was replaced still signs beside the new one, so that a program can change over in peace.
OVERLAP = timedelta(hours=24)


def new_secret() -> str:
    """A fresh signing secret in the specification's form."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """The signature header: HMAC-SHA256 over id, time (Unix seconds) and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, b".".join([event_id.encode(), str(timestamp).encode(), body]), "sha256")
    return "v1," + base64.b64encode(mac).decode()


def signatures(secrets_: Iterable[str], event_id: str, timestamp: int, body: bytes) -> str:
    """The header where several secrets hold: a signature by each, with a space between; any one of them suffices."""
    return " ".join(sign(secret, event_id, timestamp, body) for secret in secrets_)


def envelope(kind: str, at: str, vendor: Mapping[str, Any] | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent: type, time of the event, whose it is, and the facts."""
    return {"type": kind, "timestamp": at, "vendor": dict(vendor) if vendor else None, "data": dict(data)}


def spelled(payload: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent: the same at every try, whatever order the database keeps keys in."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def wants(kinds: Sequence[str], kind: str) -> bool:
    """Is an endpoint with these kinds told of this one? None named means all; a test goes everywhere."""
    return not kinds or kind in kinds or kind == TEST


def known(kind: str) -> str:
    """``kind`` itself. Raises WrongWebhookError when nothing of that name is listed."""
    if kind not in KINDS and kind != TEST:
        raise WrongWebhookError(f"there is no event {kind!r}")
    return kind


def short_id(event_id: str) -> str:
    """An event's id as it fits its column; a longer one is hashed."""
    return event_id if len(event_id) <= EVENT_ID_MAX else hashlib.sha256(event_id.encode()).hexdigest()

"""Stripe's events in any number: the sandbox's own documents under new ids, signed as Stripe signs."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]
SECRET = "whsec_for_the_bench_only"


def numbered(template: Document, number: str) -> Document:
    """The same event as if it had happened once more."""
    return {**template, "id": f"evt_bench_{number}"}


def body_of(event: Document) -> bytes:
    """An event as Stripe sends it."""
    return json.dumps(event, indent=2).encode()


def signed(event: Document) -> tuple[bytes, dict[str, str]]:
    """The raw body, laid out as Stripe lays it out, and its headers; the signature holds for 300 seconds."""
    body = body_of(event)
    stamp = int(time.time())
    mark = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": f"t={stamp},v1={mark}",
    }


def batch(templates: Sequence[Document], prefix: str, count: int) -> list[tuple[bytes, dict[str, str]]]:
    """``count`` events, the templates in turn; ids are unique for a prefix."""
    return [signed(numbered(templates[n % len(templates)], f"{prefix}_{n}")) for n in range(count)]

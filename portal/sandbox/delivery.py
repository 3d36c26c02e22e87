"""Webhook deliveries: signed with the wall clock, retried with growing gaps, kept in the database."""

import hashlib
import hmac
import json
import logging
import time
from typing import Any

import requests

from portal.sandbox.engine import Sandbox
from portal.sandbox.tx import Doc, Tx

log = logging.getLogger(__name__)

# Wall seconds until the next attempt, after the first, second … failure; then the delivery is given up.
GAPS = (1, 5, 30, 120, 600, 3_600, 10_800, 36_000, 86_400, 86_400)
TIMEOUT = 10.0


def body_of(event: Doc) -> str:
    """The raw text that is sent and signed."""
    return json.dumps({name: value for name, value in event.items() if name != "_private"}, indent=2)


def signature(body: str, secrets: list[str], stamp: int) -> str:
    """The Stripe-Signature header: one v1 for every valid secret, over the stamp (wall seconds) and the raw body."""
    signed = f"{stamp}.{body}".encode()
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={stamp}", *(f"v1={mark}" for mark in marks)])


def pending(sandbox: Sandbox) -> list[Doc]:
    """All waiting deliveries in their order, freshly signed, so that a test can post them by itself."""
    with sandbox.begin() as tx:
        rows = tx.conn.execute("SELECT id FROM deliveries WHERE state = 'pending' ORDER BY place, id").fetchall()
        return [shown for row in rows if (shown := _load(tx, row[0]))]


def _load(tx: Tx, ident: int) -> Doc | None:
    row = tx.conn.execute("SELECT event, endpoint, attempts FROM deliveries WHERE id = ?", (ident,)).fetchone()
    event, endpoint = (tx.find(row[0]), tx.find(row[1])) if row else (None, None)
    if event is None or endpoint is None:
        return None
    body = body_of(event)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": signature(body, endpoint["_private"]["secrets"], int(time.time())),
    }
    return {
        "id": ident,
        "event": event["id"],
        "type": event["type"],
        "url": endpoint["url"],
        "attempts": row[2],
        "headers": headers,
        "body": body,
    }


def deliver_due(sandbox: Sandbox) -> int:
    """Send what is due now, one after the other, until nothing is; returns the number of attempts."""
    attempts = 0
    with sandbox.delivering:
        while ident := _next(sandbox):
            _attempt(sandbox, ident)
            attempts += 1
    return attempts


def _next(sandbox: Sandbox) -> int | None:
    query = "SELECT id FROM deliveries WHERE state = 'pending' AND next_at <= ? ORDER BY place, id LIMIT 1"
    with sandbox.begin() as tx:
        row = tx.conn.execute(query, (time.time(),)).fetchone()
    return row[0] if row else None


def _attempt(sandbox: Sandbox, ident: int) -> None:
    with sandbox.begin() as tx:
        shown = _load(tx, ident)
    if shown is None:
        with sandbox.begin() as tx:
            tx.conn.execute("DELETE FROM deliveries WHERE id = ?", (ident,))
        return
    ok, answer = _post(shown)
    record(sandbox, ident, ok, answer)


def _post(shown: dict[str, Any]) -> tuple[bool, str]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands between the sandbox and the portal
            sent = {"data": shown["body"].encode(), "headers": shown["headers"]}
            found = session.post(shown["url"], timeout=TIMEOUT, allow_redirects=False, **sent)
    except requests.RequestException as error:
        return False, type(error).__name__
    return 200 <= found.status_code < 300, str(found.status_code)


def record(sandbox: Sandbox, ident: int, ok: bool, answer: str) -> bool:
    """Note the outcome of an attempt and when the next one is; False for a delivery that is not waiting."""
    with sandbox.begin() as tx:
        row = tx.conn.execute("SELECT attempts, event, state FROM deliveries WHERE id = ?", (ident,)).fetchone()
        if row is None or row[2] != "pending":
            return False
        tried = row[0] + 1
        last = not ok and tried > len(GAPS)
        state = "delivered" if ok else "failed" if last else "pending"
        wait = 0 if ok or last else GAPS[tried - 1]
        tx.conn.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, answer = ?, next_at = ? WHERE id = ?",
            (state, tried, answer, time.time() + wait, ident),
        )
        event = tx.find(row[1])
        if event is not None and ok:
            event["pending_webhooks"] = max(event["pending_webhooks"] - 1, 0)
        return True


def wait_for(sandbox: Sandbox, event_type: str, object_id: str, seconds: float) -> None:
    """Wait (wall seconds, at most) until the newest such event about the object has been attempted everywhere."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and _untried(sandbox, event_type, object_id):
        time.sleep(0.05)


def _untried(sandbox: Sandbox, event_type: str, object_id: str) -> bool:
    query = "SELECT 1 FROM deliveries WHERE event = ? AND state = 'pending' AND attempts = 0 LIMIT 1"
    with sandbox.begin() as tx:
        for event in tx.scan("event", extra="ORDER BY seq DESC LIMIT 50"):
            if event["type"] == event_type and event["data"]["object"]["id"] == object_id:
                return tx.conn.execute(query, (event["id"],)).fetchone() is not None
    return False

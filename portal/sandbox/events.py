"""What happened, as Stripe tells it: an event document with a snapshot, and one delivery for each endpoint."""

import time
from typing import Any

from portal.sandbox import faults
from portal.sandbox.config import API_VERSION
from portal.sandbox.render import present
from portal.sandbox.tx import Doc, Tx


def emit(tx: Tx, kind: str, doc: Doc) -> None:
    """Record an event about the document; an `.updated` event with nothing changed is not recorded."""
    shown = present(tx, doc)
    data: Doc = {"object": shown}
    if kind.endswith(".updated"):
        data["previous_attributes"] = changes(present(tx, tx.told(doc)), shown)
        if not data["previous_attributes"]:
            return
    tx.mark_told(doc)
    record(tx, kind, data)


def record(tx: Tx, kind: str, data: Doc) -> Doc:
    """Store the event and queue its deliveries."""
    request = {"id": tx.request_id, "idempotency_key": tx.idempotency_key}
    event = tx.insert("event", {"api_version": API_VERSION, "type": kind, "data": data, "request": request})
    event["pending_webhooks"] = len(_queue(tx, event))
    return event


def _queue(tx: Tx, event: Doc) -> list[int]:
    queued: list[int] = []
    for endpoint in tx.scan("webhook_endpoint"):
        wanted = endpoint["enabled_events"]
        if endpoint["status"] == "enabled" and ("*" in wanted or event["type"] in wanted):
            state, delay, place, copies = faults.for_delivery(tx, event["type"])
            queued += [queue_delivery(tx, event["id"], endpoint["id"], state, delay, place) for _ in range(copies)]
    return queued


def queue_delivery(
    tx: Tx, event: str, endpoint: str, state: str = "pending", delay: float = 0.0, place: float | None = None
) -> int:
    """Queue one delivery, `delay` wall seconds from now; `place` orders those that are due together."""
    cursor = tx.conn.execute(
        "INSERT INTO deliveries (event, endpoint, state, next_at, place) VALUES (?, ?, ?, ?, ?)",
        (event, endpoint, state, time.time() + delay, place or 0.0),
    )
    if place is None:
        tx.conn.execute("UPDATE deliveries SET place = id WHERE id = ?", (cursor.lastrowid,))
    return int(cursor.lastrowid or 0)


def changes(before: Any, after: Any) -> Doc:
    """The former values of what differs; lists are told whole, mappings by the keys that differ."""
    found: Doc = {}
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        found[key] = changes(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found

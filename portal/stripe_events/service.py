"""The inbox: an event is stored once with its job, or it is not acknowledged."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.kit import outbox
from portal.kit.db import db, insert_once
from portal.stripe_events.models import WebhookEvent


def receive(event: dict[str, Any], *, now: datetime) -> bool:
    """Store a verified event and its job in one transaction; False when it was stored before. Inside a unit of work.

    Two statements, no call to Stripe: the answer does not wait for anything else.
    """
    event = storable(event)
    values = {
        "stripe_event_id": str(event["id"])[:255],
        "type": str(event.get("type", ""))[:80],
        "object_id": object_id(event),
        "payload": event,
        "state": "received",
        "attempts": 0,
        "received_at": now,
    }
    if not insert_once(WebhookEvent, values, ["stripe_event_id"]):
        return False
    outbox.enqueue(
        "stripe_events.handle", dedupe_key=f"stripe-event:{values['stripe_event_id']}", event=values["stripe_event_id"]
    )
    return True


def storable(value: Any) -> Any:
    """The same JSON without what PostgreSQL keeps in no text: NUL, and halves of characters."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def object_id(event: dict[str, Any]) -> str | None:
    """The id of what the event is about."""
    data = event.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    value = found.get("id") if isinstance(found, dict) else None
    return str(value)[:255] if value is not None else None


def settle(
    stripe_event_id: str, state: str, *, now: datetime, vendor_id: int | None = None, error: str | None = None
) -> None:
    """Write down what became of an event. Inside a unit of work."""
    row = db.session.scalars(
        select(WebhookEvent).where(WebhookEvent.stripe_event_id == stripe_event_id).with_for_update()
    ).one()
    row.state, row.error, row.attempts = state, error, row.attempts + 1
    row.vendor_id = vendor_id or row.vendor_id
    row.handled_at = now if state in ("handled", "ignored") else None

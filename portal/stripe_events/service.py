"""The inbox: an event is stored once with its job, or it is not acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Update, bindparam, select, update

from portal.kit import outbox
from portal.kit.db import db, insert_once
from portal.kit.direct import Direct
from portal.kit.errors import NotFound
from portal.stripe_events.models import WebhookEvent

#: What needs nothing more.
SETTLED = ("handled", "ignored")
#: So many events are settled with one at most; the others by one of them.
AT_ONCE = 100


def receive(event: dict[str, Any], *, now: datetime) -> bool:
    """Store a verified event and its job in one transaction; False when it was stored before. Inside a unit of work.

    Two statements, no call to Stripe: the answer does not wait for anything else.
    """
    event = storable(event)
    row = {**values(event, now), "payload": event, "state": "received", "attempts": 0}
    if not insert_once(WebhookEvent, row, ["stripe_event_id"]):
        return False
    outbox.enqueue("stripe_events.handle", dedupe_key=job_key(name(event)), event=name(event))
    return True


def values(event: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What is known of an event beside its body."""
    return {
        "stripe_event_id": name(event),
        "type": str(event.get("type", ""))[:80],
        "object_id": object_id(event),
        "received_at": now,
    }


def name(event: dict[str, Any]) -> str:
    """What an event is known by."""
    return str(event["id"])[:255]


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


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it waits: ``id`` is ours, ``name`` Stripe's."""

    id: int
    name: str
    state: str
    kind: str
    subject: dict[str, Any]


def stored(stripe_event_id: str) -> Stored:
    """An event by Stripe's id; NotFound when it was never received."""
    for row in _ONE({"name": stripe_event_id}):
        return _stored(row)
    raise NotFound


def waiting_about(event: Stored) -> list[Stored]:
    """Other events about the same object that nobody has acted on yet, oldest first."""
    about = event.subject.get("id")
    if not isinstance(about, str):
        return []
    return [_stored(row) for row in _WAITING({"about": about[:255], "name": event.name})]


def part(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """What lies under these names, or nothing: an event's shape is a hint too."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _stored(row: Any) -> Stored:
    kind, subject = str(row.payload.get("type", "")), part(row.payload, "data", "object")
    return Stored(row.id, row.stripe_event_id, row.state, kind, subject)


_COLUMNS = (WebhookEvent.id, WebhookEvent.stripe_event_id, WebhookEvent.state, WebhookEvent.payload)
_ONE = Direct(select(*_COLUMNS).where(WebhookEvent.stripe_event_id == bindparam("name")))
_WAITING = Direct(
    select(*_COLUMNS)
    .where(WebhookEvent.object_id == bindparam("about"), WebhookEvent.state == "received")
    .where(WebhookEvent.stripe_event_id != bindparam("name"))
    .order_by(WebhookEvent.id)
    .limit(AT_ONCE)
)


def settle(
    stripe_event_id: str, state: str, *, now: datetime, vendor_id: int | None = None, error: str | None = None
) -> None:
    """Write down what became of an event. Inside a unit of work."""
    written = _outcome(state, vendor_id, error, now).where(WebhookEvent.stripe_event_id == stripe_event_id)
    db.session.execute(written.returning(WebhookEvent.id)).one()


def settle_alike(events: Sequence[Stored], vendor_id: int | None, *, now: datetime) -> None:
    """Write down that these were handled with another one, and that their jobs need not begin. Inside a unit of work.

    Whatever somebody else is at just now is left to them, so that nobody waits for anybody here.
    """
    if not events:
        return
    mine = (WebhookEvent.id.in_([event.id for event in events]), WebhookEvent.state == "received")
    free = select(WebhookEvent.id, WebhookEvent.stripe_event_id).where(*mine).order_by(WebhookEvent.id)
    rows = db.session.execute(free.with_for_update(skip_locked=True)).all()
    if not rows:
        return
    db.session.execute(_outcome("handled", vendor_id, None, now).where(WebhookEvent.id.in_([row.id for row in rows])))
    outbox.done_with([job_key(row.stripe_event_id) for row in rows])


def _outcome(state: str, vendor_id: int | None, error: str | None, now: datetime) -> Update:
    values: dict[str, Any] = {"state": state, "error": error, "attempts": WebhookEvent.attempts + 1}
    values["handled_at"] = now if state in SETTLED else None
    if vendor_id is not None:
        values["vendor_id"] = vendor_id
    return update(WebhookEvent).values(**values).execution_options(synchronize_session=False)


def job_key(stripe_event_id: str) -> str:
    """What makes the handling of an event one job, however often it is received."""
    return f"stripe-event:{stripe_event_id}"

"""An event's arrival: stored once together with its job, in one statement where the database can (PostgreSQL)."""

import json
import time
from datetime import datetime
from typing import Any

from sqlalchemy import text

from portal.kit import outbox
from portal.kit.db import BigId, db
from portal.kit.direct import Direct
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import service

TASK = "stripe_events.handle"
#: Seconds between two hints of this process.
APART = 0.05
_hinted = float("-inf")


def receive(event: dict[str, Any], sent: bytes, *, now: datetime) -> bool:
    """Store a verified event, which came as ``sent``, and its job; False when it was stored before.

    A transaction by itself: when this returns it is there. No call to Stripe.
    """
    if db.engine.dialect.name == "sqlite" or not _storable(sent):
        with unit_of_work():
            return service.receive(event, now=now)
    values, job = (
        service.values(event, now),
        outbox.row(TASK, service.job_key(service.name(event)), event=service.name(event)),
    )
    stored = bool(_STORE({**job, **values, "payload": sent.decode(), "args": json.dumps(job["args"])}))
    if stored:
        _hint()
    return stored


def _hint() -> None:
    """At most once in a moment: a scheduler that was just woken looks again by itself within a tenth of a second."""
    global _hinted
    now = time.monotonic()
    if now - _hinted >= APART:
        _hinted = now
        outbox.hint()


def _storable(sent: bytes) -> bool:
    """Can PostgreSQL keep the very bytes? No NUL and no half of a character, which JSON can only name by their number,
    and nothing before the document.
    """
    return sent.startswith(b"{") and b"\\u" not in sent and b"\0" not in sent


_STORE = Direct(
    text(
        "WITH stored AS ("
        "INSERT INTO webhook_events (stripe_event_id, type, object_id, payload, state, attempts, received_at)"
        " VALUES (:stripe_event_id, :type, :object_id, CAST(:payload AS jsonb), 'received', 0,"
        " CAST(:received_at AS timestamptz))"
        " ON CONFLICT (stripe_event_id) DO NOTHING RETURNING id"
        "), noted AS ("
        "INSERT INTO outbox_jobs"
        " (task, args, dedupe_key, vendor_id, state, run_at, lease_token, attempts, request_id, created_at)"
        " SELECT CAST(:task AS text), CAST(:args AS jsonb), CAST(:dedupe_key AS text), CAST(:vendor_id AS bigint),"
        " 'pending', CAST(:run_at AS timestamptz), 0, 0, CAST(:request_id AS text), CAST(:created_at AS timestamptz)"
        " FROM stored ON CONFLICT (dedupe_key) DO NOTHING"
        ") SELECT id FROM stored"
    ).columns(id=BigId)
)

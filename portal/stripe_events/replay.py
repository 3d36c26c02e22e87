"""Handling an event once more. Nothing applies twice: the handler looks at the present object, whatever the event."""

from datetime import datetime

from sqlalchemy import func, select

from portal.audit import service as audit
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.stripe_events import queries
from portal.stripe_events.models import WebhookEvent

#: So many in one transaction; the next ones follow in a job of their own.
BATCH = 100


def event(event_id: int, *, actor: Actor, now: datetime) -> WebhookEvent:
    """Let an event be handled again, now. Asked for twice before it is, it happens once. NotFound without one."""
    row = _locked(event_id)
    if row is None:
        raise NotFound
    data = {"event": row.stripe_event_id, "type": row.type, "before": row.state}
    _again(row)
    audit.record(actor, "webhook.replayed", vendor_id=row.vendor_id, data=data, now=now)
    return row


def all_failed(*, actor: Actor, now: datetime) -> int:
    """Let every event that has failed so far be handled again, by jobs; gives how many there are."""
    count, newest, tries = db.session.execute(
        select(func.count(), func.max(WebhookEvent.id), func.sum(WebhookEvent.attempts)).where(queries.FAILED)
    ).one()
    if count and _continue(0, newest, f"{newest}-{tries}"):
        audit.record(actor, "webhook.all_failed_replayed", vendor_id=None, data={"count": count}, now=now)
    return int(count)


def some_failed(after: int, up_to: int, cause: str) -> None:
    """Let the next failed events be handled again, and write the job for those that follow."""
    rows = db.session.scalars(
        select(WebhookEvent)
        .where(queries.FAILED, WebhookEvent.id > after, WebhookEvent.id <= up_to)
        .order_by(WebhookEvent.id)
        .limit(BATCH)
        .with_for_update()
    ).all()
    for row in rows:
        _again(row)
    if len(rows) == BATCH:
        _continue(rows[-1].id, up_to, cause)


def _continue(after: int, up_to: int, cause: str) -> bool:
    key = f"replay-failed:{cause}:{after}"
    return outbox.enqueue(queries.REPLAY_FAILED, dedupe_key=key, after=after, up_to=up_to, cause=cause)


def _locked(event_id: int) -> WebhookEvent | None:
    if event_id >= 2**63:
        return None
    found = select(WebhookEvent).where(WebhookEvent.id == event_id)
    return db.session.scalar(found.with_for_update().execution_options(populate_existing=True))


def _again(row: WebhookEvent) -> None:
    """One job at a time: what waits is brought forward, what was given up revived, what is done followed by another."""
    job = queries.job_of(row.stripe_event_id, row.attempts)
    if job is not None and job.state == "pending":
        job.run_at = min(job.run_at, clock.wall())
    elif job is None or job.state == "done" or not outbox.revive(job.id):
        key = queries.replay_key(row.stripe_event_id, row.attempts)
        outbox.enqueue(queries.HANDLE, dedupe_key=key, event=row.stripe_event_id)
    row.state, row.error, row.handled_at = "received", None, None
    db.session.flush()

"""Sending a webhook: read, close, post, record. Repeated after a crash it goes out again under the same id, by which
the other side knows it (at least once, as the specification says).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.gateways import outgoing
from portal.gateways.outgoing import Undelivered
from portal.kit import clock, outbox
from portal.kit.db import db
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.notifications.models import WebhookDelivery, WebhookEndpoint
from portal.notifications.webhook_rules import GAPS, TRIES, signatures, spelled
from portal.notifications.webhooks import secrets_of


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a try: a status, or why there is none."""

    status: int | None
    error: str | None

    @property
    def taken(self) -> bool:
        return self.status is not None and self.error is None


def deliver(delivery_id: int, tried: int) -> None:
    """Make the try number ``tried`` + 1. Nothing happens when that try was made, or the endpoint is paused or gone."""
    delivery = db.session.get(WebhookDelivery, delivery_id, populate_existing=True)
    if delivery is None or delivery.state != "pending" or delivery.attempts != tried:
        return
    endpoint = db.session.get_one(WebhookEndpoint, delivery.endpoint_id, populate_existing=True)
    if endpoint.removed_at is not None:
        _record(delivery_id, tried, None)
        return
    if endpoint.state == "paused":
        return
    secrets, url = secrets_of(endpoint), endpoint.url
    event_id, body = delivery.event_id, spelled(delivery.payload)
    end_reading()
    _record(delivery_id, tried, _try(url, secrets, event_id, body))


def _try(url: str, secrets: list[str], event_id: str, body: bytes) -> _Outcome:
    timestamp = int(clock.wall().timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "vendor-portal-webhooks/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(secrets, event_id, timestamp, body),
    }
    try:
        answer = outgoing.post(url, body, headers)
    except Undelivered as error:
        return _Outcome(None, error.reason)
    return _Outcome(answer.status, None if answer.taken else answer.text)


def _record(delivery_id: int, tried: int, outcome: _Outcome | None) -> None:
    """Write down what came of it, and the next try with it; ``outcome`` None: its endpoint is gone."""
    with unit_of_work():
        statement = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id).with_for_update()
        row = db.session.scalars(statement.execution_options(populate_existing=True)).one()
        if row.state != "pending" or row.attempts != tried:
            return
        if outcome is None:
            row.state, row.next_try_at = "failed", None
            return
        endpoint = _locked_endpoint(row.endpoint_id)
        row.attempts, row.last_status, row.last_error = tried + 1, outcome.status, _printable(outcome.error)
        if outcome.taken:
            _taken(row, endpoint)
        else:
            _refused(row, endpoint)


def _taken(row: WebhookDelivery, endpoint: WebhookEndpoint) -> None:
    row.state, row.next_try_at, row.delivered_at = "delivered", None, clock.wall()
    endpoint.failing_since = None
    if endpoint.state == "failing":
        endpoint.state = "active"


def _refused(row: WebhookDelivery, endpoint: WebhookEndpoint) -> None:
    at = clock.wall()
    endpoint.failing_since = endpoint.failing_since or at
    if row.attempts >= TRIES:
        row.state, row.next_try_at = "failed", None
        _fails(endpoint, endpoint.failing_since)
        return
    gap = GAPS[row.attempts - 1]
    row.next_try_at = at + gap
    outbox.enqueue(
        "webhooks.deliver",
        dedupe_key=f"webhook:{row.id}:{row.attempts}:{row.next_try_at.timestamp():.6f}",
        delay=gap,
        vendor_id=row.vendor_id,
        delivery_id=row.id,
        tried=row.attempts,
    )


def _fails(endpoint: WebhookEndpoint, since: datetime) -> None:
    """All tries for an event are used up: say so once, until the endpoint takes something again."""
    if endpoint.state != "active":
        return
    endpoint.state = "failing"
    outbox.emit(
        "webhook_endpoint.failing",
        dedupe_key=f"{endpoint.id}:{since.timestamp():.6f}",
        vendor_id=endpoint.vendor_id,
        endpoint_id=endpoint.id,
    )


def _locked_endpoint(endpoint_id: int) -> WebhookEndpoint:
    statement = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).with_for_update()
    return db.session.scalars(statement.execution_options(populate_existing=True)).one()


def _printable(text: str | None) -> str | None:
    """The other side's words without what a database or a page cannot hold."""
    return None if text is None else "".join(c if c.isprintable() else " " for c in text)[:500]

"""Reading endpoints and what was sent to them. ``vendor_id`` None means the operator's platform."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select

from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.paging import Page
from portal.notifications.models import WebhookDelivery, WebhookEndpoint

SIZE = 25


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as pages show it; no kinds means all."""

    id: int
    url: str
    kinds: tuple[str, ...]
    state: str
    secret_last4: str
    previous_until: datetime | None
    failing_since: datetime | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way, with what was sent."""

    id: int
    url: str
    event_id: str
    kind: str
    payload: dict[str, Any]
    state: str
    attempts: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


def endpoints(vendor_id: int | None) -> list[Endpoint]:
    """Every endpoint that was not removed, in the order they were added; one query."""
    statement = (
        select(
            WebhookEndpoint.id,
            WebhookEndpoint.url,
            WebhookEndpoint.kinds,
            WebhookEndpoint.state,
            WebhookEndpoint.secret_last4,
            WebhookEndpoint.previous_until,
            WebhookEndpoint.failing_since,
            WebhookEndpoint.created_by,
            WebhookEndpoint.created_at,
        )
        .where(_owned(WebhookEndpoint, vendor_id), WebhookEndpoint.removed_at.is_(None))
        .order_by(WebhookEndpoint.id)
    )
    return [_endpoint(row) for row in db.session.execute(statement)]


def endpoint(vendor_id: int | None, endpoint_id: int) -> Endpoint:
    """One endpoint. NotFound when it is missing, removed or somebody else's."""
    found = next((each for each in endpoints(vendor_id) if each.id == endpoint_id), None)
    if found is None:
        raise NotFound
    return found


def deliveries(vendor_id: int | None, cursor: str | None, size: int = SIZE) -> Page[Any]:
    """What was sent or is to be sent, newest first, without payloads; one query."""
    statement = (
        select(
            WebhookDelivery.id,
            WebhookEndpoint.url,
            WebhookDelivery.kind,
            WebhookDelivery.state,
            WebhookDelivery.attempts,
            WebhookDelivery.next_try_at,
            WebhookDelivery.last_status,
            WebhookDelivery.last_error,
            WebhookDelivery.created_at,
        )
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(_owned(WebhookDelivery, vendor_id))
    )
    paging.check(cursor, [int])
    return paging.fetch(statement, [(WebhookDelivery.id, "desc")], cursor, size)


def delivery(vendor_id: int | None, delivery_id: int) -> Delivery:
    """One delivery with its payload. NotFound when it is missing or somebody else's."""
    row = db.session.execute(
        select(
            WebhookDelivery.id,
            WebhookEndpoint.url,
            WebhookDelivery.event_id,
            WebhookDelivery.kind,
            WebhookDelivery.payload,
            WebhookDelivery.state,
            WebhookDelivery.attempts,
            WebhookDelivery.next_try_at,
            WebhookDelivery.last_status,
            WebhookDelivery.last_error,
            WebhookDelivery.created_at,
            WebhookDelivery.delivered_at,
        )
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(WebhookDelivery.id == delivery_id, _owned(WebhookDelivery, vendor_id))
    ).first()
    if row is None:
        raise NotFound
    return Delivery(**row._mapping)


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(**{**row._mapping, "kinds": tuple(row.kinds)})


def _owned(model: type[WebhookEndpoint] | type[WebhookDelivery], vendor_id: int | None) -> ColumnElement[bool]:
    return model.vendor_id.is_(None) if vendor_id is None else model.vendor_id == vendor_id

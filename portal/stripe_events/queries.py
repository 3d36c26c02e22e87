"""Reads of the inbox, for the back office (ADM-5)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, text

from portal.audit.service import without_secrets
from portal.identity.models import Vendor
from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.models import OutboxJob
from portal.kit.paging import Page
from portal.stripe_events.models import WebhookEvent

PAGE_SIZE = 25
STATES = ("received", "handled", "ignored", "failed")
HANDLE, REPLAY_FAILED = "stripe_events.handle", "stripe_events.replay_failed"
#: Written out, so that the partial index of the failed ones is used whatever the plan.
FAILED = text("webhook_events.state = 'failed'")
#: The beginnings of types that the portal listens to, for the filter.
FAMILIES = (
    "checkout.session",
    "customer.subscription",
    "subscription_schedule",
    "invoice",
    "invoice_payment",
    "payment_method",
    "charge",
    "refund",
    "customer",
)
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a list of events is narrowed to; empty text: not narrowed. ``words`` is an id or a vendor's code."""

    state: str = ""
    family: str = ""
    words: str = ""

    @property
    def is_narrowed(self) -> bool:
        """Is anything left out?"""
        return bool(self.state or self.family or self.words)


def read(given: Mapping[str, str]) -> EventFilter:
    """The filter in an address; what is no state or type narrows to nothing in particular."""
    state, family = given.get("state", ""), given.get("type", "").strip().lower()
    words = "".join(c for c in given.get("q", "").strip() if c.isprintable())[:255]
    sound = re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", family) and len(family) <= 80
    return EventFilter(state if state in STATES else "", family if sound else "", words)


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as the list shows it."""

    id: int
    stripe_event_id: str
    type: str
    object_id: str | None
    state: str
    attempts: int
    error: str | None
    received_at: datetime
    handled_at: datetime | None
    vendor_id: int | None
    vendor_name: str | None


_COLUMNS = (
    WebhookEvent.id, WebhookEvent.stripe_event_id, WebhookEvent.type, WebhookEvent.object_id, WebhookEvent.state,
    WebhookEvent.attempts, WebhookEvent.error, WebhookEvent.received_at, WebhookEvent.handled_at,
    WebhookEvent.vendor_id, Vendor.name.label("vendor_name"),
)  # fmt: skip


def page(wanted: EventFilter, cursor: str | None) -> Page[EventRow]:
    """One page of events, newest first; one query."""
    statement = _narrowed(select(*_COLUMNS).outerjoin(Vendor, Vendor.id == WebhookEvent.vendor_id), wanted)
    found = paging.fetch(statement, [(WebhookEvent.received_at, "desc"), (WebhookEvent.id, "desc")], cursor, PAGE_SIZE)
    return Page([_row(row) for row in found.rows], found.previous, found.next)


def _row(found: Any) -> EventRow:
    return EventRow(**{name: getattr(found, name) for name in EventRow.__dataclass_fields__})


def _narrowed(statement: Select[*tuple[Any, ...]], wanted: EventFilter) -> Select[*tuple[Any, ...]]:
    if wanted.state == "failed":
        statement = statement.where(FAILED)
    elif wanted.state:
        statement = statement.where(WebhookEvent.state == wanted.state)
    if wanted.family:
        inside = WebhookEvent.type.startswith(f"{wanted.family}.", autoescape=True)
        statement = statement.where(or_(WebhookEvent.type == wanted.family, inside))
    if wanted.words:
        named = select(Vendor.id).where(Vendor.code == wanted.words.lower()).scalar_subquery()
        ours = (WebhookEvent.stripe_event_id == wanted.words, WebhookEvent.object_id == wanted.words)
        statement = statement.where(or_(*ours, WebhookEvent.vendor_id == named))
    return statement


@dataclass(frozen=True, slots=True)
class JobView:
    """The job that handles an event, at its present try."""

    id: int
    state: str
    attempts: int
    run_at: datetime
    last_error: str | None


@dataclass(frozen=True, slots=True)
class EventDetail:
    """One event with everything that is known of it; the payload has its secrets blotted out."""

    row: EventRow
    payload: dict[str, Any]
    job: JobView | None


def detail(event_id: int) -> EventDetail:
    """An event by its id here; NotFound when there is none. Two queries."""
    found = None
    if event_id <= _LARGEST_ID:
        found = db.session.execute(
            select(*_COLUMNS, WebhookEvent.payload)
            .outerjoin(Vendor, Vendor.id == WebhookEvent.vendor_id)
            .where(WebhookEvent.id == event_id)
        ).first()
    if found is None:
        raise NotFound
    row = _row(found)
    return EventDetail(row, without_secrets(found.payload), _view(job_of(row.stripe_event_id, row.attempts)))


def job_of(stripe_event_id: str, attempts: int) -> OutboxJob | None:
    """The newest job of an event that was tried so often; old ones may have been cleared away."""
    keys = [f"stripe-event:{stripe_event_id}"]
    keys += [replay_key(stripe_event_id, number) for number in range(max(0, attempts - 20), attempts + 1)]
    newest = select(OutboxJob).where(OutboxJob.dedupe_key.in_(keys)).order_by(OutboxJob.id.desc()).limit(1)
    return db.session.scalar(newest.execution_options(populate_existing=True))


def replay_key(stripe_event_id: str, attempts: int) -> str:
    """What makes the replay after so many tries one job, however often it is asked for."""
    return f"stripe-event:{stripe_event_id}:replay:{attempts}"[:200]


def _view(job: OutboxJob | None) -> JobView | None:
    return JobView(job.id, job.state, job.attempts, job.run_at, job.last_error) if job else None


@dataclass(frozen=True, slots=True)
class Attention:
    """What of the inbox needs somebody: events that failed, and those that wait for their turn."""

    failed: int
    waiting: int
    oldest_failed_at: datetime | None


def attention() -> Attention:
    """The figures for the front page of the back office; one query."""
    tasks = (HANDLE, REPLAY_FAILED)
    waiting = select(func.count()).where(OutboxJob.state == "pending", OutboxJob.task.in_(tasks)).scalar_subquery()
    row = db.session.execute(
        select(func.count(WebhookEvent.id), func.min(WebhookEvent.received_at), waiting).where(FAILED)
    ).one()
    return Attention(row[0], row[2], row[1])

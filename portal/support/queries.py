"""Reads of tickets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from portal.identity.models import Vendor
from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.paging import Page
from portal.support.models import SupportTicket, TicketMessage
from portal.support.rules import Author, TicketKind, TicketState

SIZE = 20
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket as lists show it; ``vendor`` is empty for a visitor's."""

    id: int
    subject: str
    kind: TicketKind
    state: TicketState
    tier_code: str | None
    name: str
    email: str
    vendor_id: int | None
    vendor: str | None
    opened_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    author: Author
    name: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A ticket with everything that was said, oldest first."""

    ticket: TicketRow
    messages: list[Said]


_COLUMNS = (
    SupportTicket.id, SupportTicket.subject, SupportTicket.kind, SupportTicket.state, SupportTicket.tier_code,
    SupportTicket.name, SupportTicket.email, SupportTicket.vendor_id, Vendor.name.label("vendor"),
    SupportTicket.opened_at, SupportTicket.changed_at,
)  # fmt: skip


def _listed() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).outerjoin(Vendor, Vendor.id == SupportTicket.vendor_id)


def _row(row: Any) -> TicketRow:
    return TicketRow(
        row.id, row.subject, TicketKind(row.kind), TicketState(row.state), row.tier_code, row.name, row.email,
        row.vendor_id, row.vendor, row.opened_at, row.changed_at,
    )  # fmt: skip


def of_vendor(vendor_id: int, cursor: str | None = None) -> Page[TicketRow]:
    """A vendor's tickets, the newest message first; NotFound for a cursor that this list did not make."""
    return _page(_listed().where(SupportTicket.vendor_id == vendor_id), cursor)


def queue(state: TicketState | None, cursor: str | None = None) -> Page[TicketRow]:
    """Everybody's tickets in one state (None: all), for staff."""
    statement = _listed()
    return _page(statement.where(SupportTicket.state == state) if state else statement, cursor)


def _page(statement: Select[*tuple[Any, ...]], cursor: str | None) -> Page[TicketRow]:
    found = paging.fetch(
        statement, [(SupportTicket.changed_at, "desc"), (SupportTicket.id, "desc")], _sound(cursor), SIZE
    )
    return Page([_row(row) for row in found.rows], found.previous, found.next)


def _sound(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    _, (at, last) = paging.decode(cursor[:1000], 2)
    if not isinstance(at, datetime) or at.tzinfo is None or type(last) is not int or abs(last) > _LARGEST_ID:
        raise NotFound
    return cursor


def thread(ticket_id: int, vendor_id: int | None = None) -> Thread:
    """A ticket with its messages; with ``vendor_id`` only that vendor's. NotFound otherwise."""
    statement = _listed().where(SupportTicket.id == ticket_id)
    if vendor_id is not None:
        statement = statement.where(SupportTicket.vendor_id == vendor_id)
    row = db.session.execute(statement).first()
    if row is None:
        raise NotFound
    return Thread(_row(row), _messages(ticket_id, row.vendor_id))


def _messages(ticket_id: int, vendor_id: int | None) -> list[Said]:
    rows = db.session.execute(
        select(TicketMessage.author, TicketMessage.author_name, TicketMessage.body, TicketMessage.at)
        .where(TicketMessage.ticket_id == ticket_id, TicketMessage.vendor_id.is_not_distinct_from(vendor_id))
        .order_by(TicketMessage.at, TicketMessage.id)
    )
    return [Said(Author(r.author), r.author_name, r.body, r.at) for r in rows]

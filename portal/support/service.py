"""Opening, answering and closing tickets. What is said twice within minutes is one message."""

from datetime import datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.identity.models import Vendor
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Invalid, NotFound
from portal.kit.text import N_
from portal.support import mails
from portal.support.models import SupportTicket, TicketMessage
from portal.support.rules import BODY_MAX, SAME_AGAIN, SUBJECT_MAX, Author, Scope, Sender, TicketKind, TicketState


def open_ticket(
    vendor_id: int | None,
    sender: Sender,
    *,
    subject: str,
    body: str,
    kind: TicketKind = TicketKind.QUESTION,
    tier_code: str | None = None,
    now: datetime,
) -> int:
    """Open a ticket and tell the operator by mail; gives its id.

    The same subject and words from the same address within ten minutes are the same ticket. ``vendor_id`` None: a
    visitor's. Invalid (fields ``subject``, ``body``) for too little or too much.
    """
    _check("subject", subject, SUBJECT_MAX)
    _check("body", body, BODY_MAX)
    if vendor_id is not None:  # of two clicks at once the second finds the first one's ticket
        db.session.execute(select(Vendor.id).where(Vendor.id == vendor_id).with_for_update())
    if (known := _opened_already(vendor_id, sender, subject, body, now)) is not None:
        return known
    ticket = SupportTicket(
        vendor_id=vendor_id,
        scope=Scope.PUBLIC if vendor_id is None else Scope.VENDOR,
        kind=kind,
        state=TicketState.OPEN,
        subject=subject,
        tier_code=tier_code,
        user_id=sender.user_id,
        name=sender.name,
        email=sender.email,
        locale=sender.locale,
        opened_at=now,
        changed_at=now,
    )
    db.session.add(ticket)
    db.session.flush()
    author = Author.VISITOR if vendor_id is None else Author.VENDOR
    message = _say(ticket, author, sender.user_id, sender.name, body, now)
    mails.tell_operator(ticket, message, now)
    return ticket.id


def reply(vendor_id: int, ticket_id: int, sender: Sender, body: str, *, now: datetime) -> None:
    """The vendor writes more: the ticket is open again, a closed one too. NotFound for another vendor's."""
    _check("body", body, BODY_MAX)
    ticket = _locked(ticket_id, vendor_id)
    if _said_already(ticket, Author.VENDOR, body, now):
        return
    ticket.state, ticket.closed_at = TicketState.OPEN, None
    mails.tell_operator(ticket, _say(ticket, Author.VENDOR, sender.user_id, sender.name, body, now), now)


def answer(ticket_id: int, body: str, *, actor: Actor, now: datetime) -> None:
    """Staff answers: the asker gets it by mail, and the ticket waits for them."""
    _check("body", body, BODY_MAX)
    ticket = _locked(ticket_id)
    if _said_already(ticket, Author.STAFF, body, now):
        return
    message = _say(ticket, Author.STAFF, actor.id, actor.label, body, now)
    ticket.state, ticket.closed_at = TicketState.ANSWERED, None
    audit.record(actor, "support.answered", vendor_id=ticket.vendor_id, data={"ticket": ticket.id}, now=now)
    mails.answered(ticket, message, now)


def close(ticket_id: int, *, actor: Actor, now: datetime) -> bool:
    """Nothing more is to be done; False when it was closed before. A reply opens it again."""
    ticket = _locked(ticket_id)
    if ticket.state == TicketState.CLOSED:
        return False
    ticket.state, ticket.closed_at = TicketState.CLOSED, now
    audit.record(actor, "support.closed", vendor_id=ticket.vendor_id, data={"ticket": ticket.id}, now=now)
    return True


def _check(field: str, text: str, most: int) -> None:
    if not text.strip():
        raise Invalid(fields={field: N_("Write what it is about.")})
    if len(text) > most:
        raise Invalid(fields={field: N_("This is too long. Please shorten it.")})


def _say(
    ticket: SupportTicket, author: Author, author_id: int | None, name: str, body: str, now: datetime
) -> TicketMessage:
    message = TicketMessage(
        vendor_id=ticket.vendor_id,
        ticket_id=ticket.id,
        author=author,
        author_id=author_id,
        author_name=name,
        body=body,
        at=now,
    )
    db.session.add(message)
    ticket.changed_at = now
    db.session.flush()
    return message


def _opened_already(vendor_id: int | None, sender: Sender, subject: str, body: str, now: datetime) -> int | None:
    return db.session.scalar(
        select(SupportTicket.id)
        .join(TicketMessage, TicketMessage.ticket_id == SupportTicket.id)
        .where(SupportTicket.vendor_id.is_not_distinct_from(vendor_id), SupportTicket.email == sender.email)
        .where(TicketMessage.vendor_id.is_not_distinct_from(vendor_id), TicketMessage.body == body)
        .where(SupportTicket.subject == subject, SupportTicket.opened_at >= now - SAME_AGAIN)
        .limit(1)
    )


def _said_already(ticket: SupportTicket, author: Author, body: str, now: datetime) -> bool:
    last = db.session.execute(
        select(TicketMessage.author, TicketMessage.body, TicketMessage.at)
        .where(TicketMessage.ticket_id == ticket.id, TicketMessage.vendor_id.is_not_distinct_from(ticket.vendor_id))
        .order_by(TicketMessage.at.desc(), TicketMessage.id.desc())
        .limit(1)
    ).first()
    return last is not None and (last.author, last.body) == (author, body) and last.at >= now - SAME_AGAIN


def _locked(ticket_id: int, vendor_id: int | None = None) -> SupportTicket:
    statement = select(SupportTicket).where(SupportTicket.id == ticket_id).with_for_update()
    if vendor_id is not None:
        statement = statement.where(SupportTicket.vendor_id == vendor_id)
    found = db.session.scalar(statement.execution_options(populate_existing=True))
    if found is None:
        raise NotFound
    return found

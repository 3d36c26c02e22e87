"""Mails about tickets, both ways. Each names its message, so each goes out once."""

from datetime import datetime
from typing import Any

from portal.identity import queries as identity
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.settings import queries as settings
from portal.support.models import SupportTicket, TicketMessage


def tell_operator(ticket: SupportTicket, message: TicketMessage, now: datetime) -> None:
    """Somebody asks; only where the operator has a support address. Staff sees the ticket in any case."""
    operator = settings.current()
    if operator.support_email:
        to = Recipient(operator.support_email, operator.name, "en")
        _send("ticket_for_staff", to, ticket, message, now, sender=f"{ticket.name} <{ticket.email}>")


def answered(ticket: SupportTicket, message: TicketMessage, now: datetime) -> None:
    """The operator's answer, to the address that asked: a vendor's with the way to its page, a visitor's as it is."""
    to = Recipient(ticket.email, ticket.name, ticket.locale)
    vendor = identity.vendor(ticket.vendor_id) if ticket.vendor_id is not None else None
    if vendor is None:
        _send("contact_answered", to, ticket, message, now)
    else:
        _send("ticket_answered", to, ticket, message, now, vendor_code=vendor.code, vendor_name=vendor.name)


def _send(
    kind: str, to: Recipient, ticket: SupportTicket, message: TicketMessage, now: datetime, **params: Any
) -> None:
    if kind != "contact_answered":
        params["ticket_id"] = ticket.id
    notifications.send(
        kind,
        to,
        dedupe_key=f"{kind}:{message.id}",
        vendor_id=ticket.vendor_id,
        now=now,
        subject=ticket.subject,
        body=message.body,
        by=message.author_name,
        **params,
    )

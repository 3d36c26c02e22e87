"""Tickets and their messages."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model, TenantMixin, one_of
from portal.support.rules import SUBJECT_MAX, Author, Scope, TicketKind, TicketState


class SupportTicket(TenantMixin, Model):
    """A question. ``changed_at`` is its newest message's time, ``email`` where answers go.

    ``tier_code`` is set where somebody asks for a plan without a public price.
    """

    __tablename__ = "support_tickets"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)  # type: ignore[assignment]
    scope: Mapped[str] = mapped_column(String(10))
    kind: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str] = mapped_column(String(SUBJECT_MAX))
    tier_code: Mapped[str | None] = mapped_column(String(20))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    email: Mapped[str] = mapped_column(String(254))
    locale: Mapped[str] = mapped_column(String(10), default="en")
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("scope", Scope),
        one_of("kind", TicketKind),
        one_of("state", TicketState),
        CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'public' AND vendor_id IS NULL)", name="owner"
        ),
        Index(None, "vendor_id", "changed_at", "id"),
        Index(None, "state", "changed_at", "id"),
        Index(None, "email", "opened_at"),
    )


class TicketMessage(TenantMixin, Model):
    """What was said, in order; its vendor is the ticket's. Never changed."""

    __tablename__ = "ticket_messages"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)  # type: ignore[assignment]
    ticket_id: Mapped[int] = mapped_column(ForeignKey("support_tickets.id"))
    author: Mapped[str] = mapped_column(String(10))
    author_id: Mapped[int | None] = mapped_column(BigId)
    author_name: Mapped[str] = mapped_column(String(120))
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    __table_args__ = (one_of("author", Author), Index(None, "ticket_id", "at", "id"))

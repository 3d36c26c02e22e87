"""Every event of Stripe's, stored once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model, StripeId, one_of


class WebhookEvent(Model):
    """A hint that something changed. The body is kept for people to read; the handler fetches the present object."""

    __tablename__ = "webhook_events"
    id: Mapped[Id]
    stripe_event_id: Mapped[StripeId] = mapped_column(unique=True)
    type: Mapped[str] = mapped_column(String(80))
    object_id: Mapped[StripeId | None] = mapped_column(index=True)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10), default="received")
    attempts: Mapped[int] = mapped_column(BigId, default=0)
    error: Mapped[str | None] = mapped_column(Text)
    vendor_id: Mapped[int | None] = mapped_column(BigId, index=True)
    received_at: Mapped[datetime]
    handled_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", ("received", "handled", "ignored", "failed")),
        Index(None, "received_at", "id"),
        # The failed ones are few, looked for often, and counted on the front page of the back office.
        Index(
            "ix_webhook_events_failed",
            "received_at",
            "id",
            sqlite_where=text("state = 'failed'"),
            postgresql_where=text("state = 'failed'"),
        ),
    )

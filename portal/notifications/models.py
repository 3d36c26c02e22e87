"""Mails, notes in the portal, and webhooks to the operator's platform or a vendor's own system; each once."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model, TenantMixin, one_of


class SentMail(Model):
    """A mail that is to go out or went out. ``dedupe_key`` names its cause: a cause mails once.

    ``params`` are what the template needs (names, dates, amounts; never a secret: links are signed when the mail is
    rendered). Bodies are kept only where there is no mail server (NOT-2).
    """

    __tablename__ = "sent_mails"
    id: Mapped[Id]
    dedupe_key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    vendor_id: Mapped[int | None] = mapped_column(BigId, index=True)
    recipient: Mapped[str] = mapped_column(String(254))
    recipient_name: Mapped[str] = mapped_column(String(120), default="")
    locale: Mapped[str] = mapped_column(String(10), default="en")
    params: Mapped[dict[str, Any]]
    message_id: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), default="queued")
    subject: Mapped[str | None] = mapped_column(Text)
    body_text: Mapped[str | None] = mapped_column(Text)
    body_html: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    __table_args__ = (one_of("state", ("queued", "sent", "kept")), Index(None, "created_at", "id"))


class Notification(TenantMixin, Model):
    """Something a vendor's people should know, shown in the portal until it is read. ``dedupe_key`` names its cause."""

    __tablename__ = "notifications"
    id: Mapped[Id]
    dedupe_key: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("vendor_id", "dedupe_key"), Index(None, "vendor_id", "created_at", "id"))


class Dismissal(TenantMixin, Model):
    """A person does not want to see this again; ``what`` names it, with the period where it may come back."""

    __tablename__ = "dismissals"
    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    what: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("vendor_id", "user_id", "what"),)


class WebhookEndpoint(TenantMixin, Model):
    """Where events are sent to: a vendor's own system, or (scope platform) the operator's.

    ``secret`` is sealed (kit.crypto), and so is the one before it, with which everything is signed too until
    ``previous_until`` (wall clock). ``kinds`` lists the events wanted, an empty list means all.
    """

    __tablename__ = "webhook_endpoints"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)  # type: ignore[assignment]
    scope: Mapped[str] = mapped_column(String(10))
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(Text)
    secret_last4: Mapped[str] = mapped_column(String(4))
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[datetime | None]
    kinds: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(10))
    failing_since: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("scope", ("vendor", "platform")),
        one_of("state", ("active", "paused", "failing")),
        CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'platform' AND vendor_id IS NULL)", name="owner"
        ),
    )


class WebhookDelivery(TenantMixin, Model):
    """One event on its way to one endpoint. ``event_id`` is the same at every endpoint and every attempt."""

    __tablename__ = "webhook_deliveries"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("vendors.id"), index=True)  # type: ignore[assignment]
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoints.id"))
    event_id: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", ("pending", "delivered", "failed")),
        UniqueConstraint("endpoint_id", "event_id"),
        Index(None, "endpoint_id", "created_at", "id"),
    )

"""Mails, each once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model, one_of


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

"""What staff and vendors changed; append-only."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, Model


class AuditEntry(Model):
    """One act: who, what, on which vendor, with which before and after. Never a secret."""

    __tablename__ = "audit_log"
    id: Mapped[Id]
    vendor_id: Mapped[int | None] = mapped_column(BigId)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(60))
    data: Mapped[dict[str, Any]]
    request_id: Mapped[str] = mapped_column(String(32), default="")
    at: Mapped[datetime]
    __table_args__ = (Index(None, "vendor_id", "at", "id"),)

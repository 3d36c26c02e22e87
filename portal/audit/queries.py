"""Reading the audit log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class Act:
    """One entry: who did what, when, with which before and after."""

    id: int
    actor_kind: str
    actor_label: str
    action: str
    data: dict[str, Any]
    request_id: str
    at: datetime


def recent(vendor_id: int, limit: int = 50) -> list[Act]:
    """The newest acts on a vendor, newest first; one query."""
    columns = [getattr(AuditEntry, name) for name in Act.__dataclass_fields__]
    statement = (
        select(*columns)
        .where(AuditEntry.vendor_id == vendor_id)
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(limit)
    )
    return [Act(*row) for row in db.session.execute(statement)]

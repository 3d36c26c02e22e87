"""Reading the mails that were kept (NOT-2)."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Row

from portal.kit import paging
from portal.kit.db import db
from portal.kit.paging import Page
from portal.notifications.models import SentMail

KEPT = "kept"


def kept(cursor: str | None, size: int = 25) -> Page[Row[Any]]:
    """Kept mails, newest first, without their bodies."""
    statement = select(
        SentMail.id, SentMail.kind, SentMail.recipient, SentMail.recipient_name, SentMail.subject, SentMail.created_at
    ).where(SentMail.state == KEPT)
    return paging.fetch(statement, [(SentMail.created_at, "desc"), (SentMail.id, "desc")], cursor, size)


def kept_mail(mail_id: int) -> SentMail | None:
    """One kept mail with its bodies."""
    return db.session.scalar(select(SentMail).where(SentMail.id == mail_id, SentMail.state == KEPT))

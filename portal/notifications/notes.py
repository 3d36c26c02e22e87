"""Notes in the portal: something a vendor's people should know, until one of them has read it (NOT-1)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from portal.kit import paging
from portal.kit.db import db, insert_once
from portal.kit.errors import NotFound
from portal.kit.paging import Page
from portal.notifications.models import Notification
from portal.notifications.note_rules import check

#: Rows of a page.
SIZE = 25


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it was told; the door finds the words for ``kind`` and ``params``."""

    id: int
    kind: str
    params: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


def tell(vendor_id: int, kind: str, params: dict[str, Any], *, dedupe_key: str, now: datetime) -> bool:
    """Show a note to the vendor's people, inside the caller's unit of work; nothing is mailed.

    ``dedupe_key`` names the cause (at most 200 characters; longer ones are hashed): False when this vendor was told
    before, and nothing happens. Raises WrongNoteError for a kind that does not exist and for params that its words
    cannot be written from (note_rules.KINDS, where a new kind is added).
    """
    check(kind, params)
    key = dedupe_key if len(dedupe_key) <= 200 else hashlib.sha256(dedupe_key.encode()).hexdigest()
    values = {"vendor_id": vendor_id, "dedupe_key": key, "kind": kind, "params": params, "created_at": now}
    return insert_once(Notification, values, ["vendor_id", "dedupe_key"])


def page(vendor_id: int, cursor: str | None = None) -> Page[Note]:
    """A vendor's notes, newest first; one statement. NotFound for a cursor that this list did not make."""
    paging.check(cursor, (datetime, int))
    columns = Notification.id, Notification.kind, Notification.params, Notification.created_at, Notification.read_at
    statement = select(*columns).where(Notification.vendor_id == vendor_id)
    found = paging.fetch(statement, ((Notification.created_at, "desc"), (Notification.id, "desc")), cursor, SIZE)
    rows = [Note(r.id, r.kind, r.params, r.created_at, r.read_at) for r in found.rows]
    return Page(rows, found.previous, found.next)


def mark_read(vendor_id: int, note_id: int, *, now: datetime) -> bool:
    """One of the vendor's people has read it; False when it was read before. NotFound for another vendor's."""
    mine = (Notification.vendor_id == vendor_id, Notification.id == note_id)
    changed = db.session.scalar(
        update(Notification).where(*mine, Notification.read_at.is_(None)).values(read_at=now).returning(Notification.id)
    )
    if changed is None and db.session.scalar(select(Notification.id).where(*mine)) is None:
        raise NotFound
    return changed is not None


def mark_all_read(vendor_id: int, *, until: int, now: datetime) -> int:
    """All that were there when the page was made (ids up to ``until``) are read; gives how many were not before."""
    unread = (Notification.vendor_id == vendor_id, Notification.id <= until, Notification.read_at.is_(None))
    changed = db.session.scalars(update(Notification).where(*unread).values(read_at=now).returning(Notification.id))
    return len(changed.all())


def unread(vendor_id: int) -> int:
    """How many notes nobody has read."""
    mine = (Notification.vendor_id == vendor_id, Notification.read_at.is_(None))
    return db.session.scalar(select(func.count()).select_from(Notification).where(*mine)) or 0

"""Asking for a mail: it goes out once for its cause, by a job, with the same Message-ID however often it is tried."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.gateways import mail
from portal.kit import outbox
from portal.kit.db import db, insert_once
from portal.notifications.models import SentMail
from portal.notifications.rules import check, one_line


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom, and in which language."""

    email: str
    name: str
    locale: str


def send(kind: str, to: Recipient, *, dedupe_key: str, vendor_id: int | None, now: datetime, **params: Any) -> bool:
    """Write a mail and the job that delivers it, inside the caller's unit of work.

    ``dedupe_key`` names the cause: False when it was mailed before, and nothing happens. Raises WrongMailError for a
    kind that does not exist and for params that its text cannot be written from (rules.KINDS).
    """
    check(kind, params)
    digest = hashlib.sha256(dedupe_key.encode()).hexdigest()
    values = {
        "dedupe_key": dedupe_key if len(dedupe_key) <= 200 else digest,
        "kind": kind,
        "vendor_id": vendor_id,
        "recipient": to.email,
        "recipient_name": one_line(to.name)[:120],
        "locale": to.locale,
        "params": params,
        "message_id": f"<{digest[:40]}@{_domain()}>",
        "created_at": now,
    }
    if not insert_once(SentMail, values, ["dedupe_key"]):
        return False
    mail_id = db.session.scalar(select(SentMail.id).where(SentMail.dedupe_key == values["dedupe_key"]))
    return outbox.enqueue("mail.deliver", dedupe_key=f"mail:{mail_id}", vendor_id=vendor_id, mail_id=mail_id)


def _domain() -> str:
    return mail.sender().rpartition("@")[2].strip("> ") or "localhost.localdomain"

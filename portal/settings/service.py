"""Changing settings."""

from datetime import datetime

from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.unit_of_work import after_commit
from portal.settings import queries
from portal.settings.models import Setting
from portal.settings.rules import Value, parse


def change(key: str, value: object, *, actor: Actor, now: datetime) -> Value:
    """Set one setting and give back its value as stored. Setting it to what it is changes nothing but who and when.

    Raises Invalid (field = key). This process sees it at once, others within queries.FRESH_FOR seconds. The room
    lies below the audit log, so the door that calls this writes the entry.
    """
    parsed = parse(key, value)
    db.session.merge(Setting(key=key, value=parsed, updated_at=now, updated_by=actor.label[:120]))
    db.session.flush()
    queries.forget()
    after_commit(queries.forget)
    return parsed

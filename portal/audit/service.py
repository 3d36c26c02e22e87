"""Writing the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portal.audit.models import AuditEntry
from portal.kit import log
from portal.kit.actor import Actor
from portal.kit.db import db


def record(actor: Actor, action: str, *, vendor_id: int | None, data: Mapping[str, Any], now: datetime) -> None:
    """Write one act, in the transaction of its effect. ``action`` is stable, such as ``catalog.price_changed``.

    ``data`` holds JSON values, best as before and after; what stands under a secret's name is blotted out.
    """
    entry = AuditEntry(
        vendor_id=vendor_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:120],
        action=action,
        data=without_secrets(data),
        request_id=log.request_id.get()[:32],
        at=now,
    )
    db.session.add(entry)
    db.session.flush()


def without_secrets(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same data with the values of secret names, at any depth, replaced by an ellipsis."""
    return {key: "…" if key.lower() in log.SECRET_KEYS else _plain(value) for key, value in data.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

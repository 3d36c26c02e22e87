"""An admin sets a limit or a feature for one vendor (LIM-7): with the history, the audit log and, if asked, a mail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.audit import service as audit
from portal.catalog.rules import LEVEL_NAMES
from portal.entitlements import overrides
from portal.entitlements.models import LimitOverride
from portal.entitlements.overrides import Wish
from portal.entitlements.rules import Kind
from portal.identity import queries as identity
from portal.kit.actor import SYSTEM, Actor
from portal.kit.text import N_
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.subscriptions.history import lock, note


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended; ``key`` is the limit or feature."""

    kind: Kind
    key: str


def set_override(vendor_id: int, wish: Wish, *, notify: bool = False, actor: Actor, now: datetime) -> int:
    """Let the wish hold from now on, in place of what was set for the same thing before; gives the override's id.

    Invalid at the field (``what``, ``amount``, ``level``, ``reason``, ``until``), NotFound without a subscription.
    Inside the caller's unit of work; locks vendor and subscription.
    """
    subscription = lock(vendor_id)
    row = overrides.set_override(vendor_id, wish, actor=actor, now=now)
    data = _told(row)
    note(subscription, "override_set", actor=actor, now=now, reason=row.reason, **data)
    audit.record(actor, "entitlements.override_set", vendor_id=vendor_id, data={**data, "reason": row.reason}, now=now)
    if notify:
        _mail(row, now)
    return row.id


def end_override(vendor_id: int, override_id: int, *, actor: Actor, now: datetime) -> Ended | None:
    """End one before its day; None when it had ended. NotFound for one of another vendor."""
    subscription = lock(vendor_id)
    row = overrides.end_override(vendor_id, override_id, now=now)
    if row is None:
        return None
    data = _told(row)
    note(subscription, "override_ended", actor=actor, now=now, **data)
    audit.record(actor, "entitlements.override_ended", vendor_id=vendor_id, data=data, now=now)
    return Ended(Kind(row.kind), row.key)


def lapse(vendor_id: int, override_id: int, *, now: datetime) -> None:
    """Close one whose last day is over, and say so in the history; again, or too early, changes nothing."""
    if any(override_id == each for each, _ in overrides.lapsed(now)):
        end_override(vendor_id, override_id, actor=SYSTEM, now=now)


def _told(row: LimitOverride) -> dict[str, Any]:
    until = row.valid_until.isoformat() if row.valid_until else None
    return {"what": row.kind, "key": row.key, "amount": row.amount, "level": row.level, "until": until}


def _mail(row: LimitOverride, now: datetime) -> None:
    vendor, owner = identity.vendor(row.vendor_id), identity.owner(row.vendor_id)
    if vendor is None:
        return
    notifications.send(
        "limit_changed",
        Recipient(owner.email, owner.name, owner.locale),
        dedupe_key=f"limit_changed:{row.id}",
        vendor_id=row.vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        what=overrides.name_of(row.kind, row.key),
        limit=_value(row),
        until_at=row.valid_until.isoformat() if row.valid_until else None,
    )


def _value(row: LimitOverride) -> str | None:
    """The number, or the level as a message id; None: without a limit."""
    if row.kind == Kind.LIMIT:
        return None if row.amount is None else str(row.amount)
    return LEVEL_NAMES[row.level] if row.level else N_("Not included")

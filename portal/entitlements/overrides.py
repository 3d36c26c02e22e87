"""Limits and features that an admin sets for one vendor: one at a time for each, beating tier and add-ons (LIM-7).

The verbs of this room keep the rows and the grants. Who may, what history says and whom it is mailed to belongs to
subscriptions, whose history it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.catalog.rules import FEATURE_LEVELS, FEATURE_NAMES, METRIC_NAMES, ON, Metric
from portal.entitlements import service
from portal.entitlements.models import LimitOverride
from portal.entitlements.rules import Grant, Kind, Source
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Invalid, NotFound
from portal.kit.text import N_
from portal.usage.rules import MOST_QUANTITY

REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to hold. A limit has an ``amount`` (None: unlimited), a feature a ``level`` (None: taken away).

    ``until`` None: until it is ended by hand.
    """

    kind: Kind
    key: str
    reason: str
    amount: int | None = None
    level: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """One that holds now."""

    id: int
    kind: Kind
    key: str
    amount: int | None
    level: str | None
    reason: str
    since: datetime
    until: datetime | None
    by: str


def check(wish: Wish, now: datetime) -> None:
    """Invalid at the field: ``what``, ``amount``, ``level``, ``reason``, ``until``."""
    fields = {}
    if wish.key not in (METRIC_NAMES if wish.kind == Kind.LIMIT else FEATURE_NAMES):
        fields["what"] = N_("Choose one of the limits or features.")
    if wish.amount is not None and not 0 <= wish.amount <= MOST_QUANTITY:
        fields["amount"] = N_("Give a whole number from 0 to 1,000,000,000.")
    if wish.level is not None and wish.level not in FEATURE_LEVELS.get(wish.key, (ON,)):
        fields["level"] = N_("Choose one of the levels.")
    if not 1 <= len(wish.reason.strip()) <= REASON_MAX:
        fields["reason"] = N_("Say why, in at most 500 characters.")
    if wish.until is not None and wish.until <= now:
        fields["until"] = N_("Choose a day in the future, or none.")
    if fields:
        raise Invalid(fields=fields)


def set_override(vendor_id: int, wish: Wish, *, actor: Actor, now: datetime) -> LimitOverride:
    """Let the wish hold from ``now`` on in place of what was set for the same thing before. The caller holds the lock.

    Raises what ``check`` raises.
    """
    check(wish, now)
    if before := _live(vendor_id, LimitOverride.kind == wish.kind, LimitOverride.key == wish.key):
        _close(before, now)
    row = LimitOverride(
        vendor_id=vendor_id, kind=wish.kind, key=wish.key, amount=wish.amount, level=wish.level,
        reason=wish.reason.strip(), valid_from=now, valid_until=wish.until, actor_kind=actor.kind, actor_id=actor.id,
        actor_label=actor.label[:120], created_at=now,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    grant = Grant(Source.OVERRIDE, _ref(row), wish.kind, wish.key, wish.amount, wish.level)
    service.replace(vendor_id, Source.OVERRIDE, _ref(row), [grant], now=now, until=wish.until)
    return row


def end_override(vendor_id: int, override_id: int, *, now: datetime) -> LimitOverride | None:
    """End one; from then on tier and add-ons count again. None when it had ended. NotFound for another vendor's."""
    row = _live(vendor_id, LimitOverride.id == override_id)
    if row is not None:
        _close(row, now)
        return row
    mine = select(LimitOverride.id).where(LimitOverride.vendor_id == vendor_id, LimitOverride.id == override_id)
    if db.session.scalar(mine) is None:
        raise NotFound
    return None


def lapsed(now: datetime) -> Iterator[tuple[int, int]]:
    """(override, vendor) of those whose last day is over and that nobody has closed yet; across vendors."""
    rows = db.session.execute(
        select(LimitOverride.id, LimitOverride.vendor_id).where(
            LimitOverride.ended_at.is_(None), LimitOverride.valid_until <= now
        )
    )
    for row in rows:
        yield row.id, row.vendor_id


def live(vendor_id: int, now: datetime) -> list[Override]:
    """Those that hold, in the order they were set; one query."""
    row = LimitOverride
    found = db.session.execute(
        select(row.id, row.kind, row.key, row.amount, row.level, row.reason, row.valid_from, row.valid_until,
               row.actor_label)
        .where(row.vendor_id == vendor_id, row.ended_at.is_(None))
        .order_by(row.id)
    )  # fmt: skip
    return [
        Override(r.id, Kind(r.kind), r.key, r.amount, r.level, r.reason, r.valid_from, r.valid_until, r.actor_label)
        for r in found
        if r.valid_until is None or r.valid_until > now
    ]


def name_of(kind: Kind | str, key: str) -> str:
    """What the limit or feature is called, as a message id."""
    return METRIC_NAMES[Metric(key)] if kind == Kind.LIMIT else FEATURE_NAMES[key]


def _ref(row: LimitOverride) -> str:
    return f"override:{row.id}"


def _live(vendor_id: int, *which: object) -> LimitOverride | None:
    mine = (LimitOverride.vendor_id == vendor_id, LimitOverride.ended_at.is_(None), *which)
    return db.session.scalar(
        select(LimitOverride).where(*mine).with_for_update().execution_options(populate_existing=True)  # type: ignore[arg-type]
    )


def _close(row: LimitOverride, now: datetime) -> None:
    """One whose last day is over ended then, and its grant with it."""
    lapsed = row.valid_until if row.valid_until is not None and row.valid_until <= now else None
    row.ended_at = lapsed or now
    db.session.flush()
    if lapsed:
        service.count_change(row.vendor_id, now=now)
    else:
        service.replace(row.vendor_id, Source.OVERRIDE, _ref(row), [], now=now)

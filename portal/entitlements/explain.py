"""Why each limit and feature of a vendor is what it is: the grants behind it, one by one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select

from portal.catalog.models import SubscriptionTier
from portal.catalog.rules import FEATURE_NAMES, Metric
from portal.entitlements.models import EntitlementGrant, LimitOverride
from portal.entitlements.rules import Grant, Kind, Source, combine
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class Part:
    """One reason. ``name`` is the tier's, as a message id; of an add-on ``ref`` says which (``addon:17``).

    An override says why, by whom, and its id. ``counts`` is False for what an override beats.
    """

    source: Source
    ref: str
    name: str | None
    amount: int | None
    level: str | None
    until: datetime | None
    counts: bool
    reason: str | None = None
    by: str | None = None
    override_id: int | None = None


@dataclass(frozen=True, slots=True)
class Right:
    """A limit (``amount`` None: unlimited) or a feature (``level`` None: not there), and what it is made of."""

    kind: Kind
    key: str
    amount: int | None
    level: str | None
    parts: tuple[Part, ...]

    @property
    def override(self) -> Part | None:
        """The override that sets it, if one does."""
        return next((part for part in self.parts if part.source == Source.OVERRIDE), None)


def explain(vendor_id: int, now: datetime) -> list[Right]:
    """Every limit and feature that anything says something of at ``now``: limits first, each in the catalog's order.

    One query. What the numbers come to is decided by ``rules.combine``, as at the gate.
    """
    by_key: dict[tuple[Kind, str], list[Any]] = {}
    for row in db.session.execute(_statement(vendor_id, now)):
        by_key.setdefault((Kind(row.kind), row.key), []).append(row)
    return [_right(kind, key, by_key[kind, key]) for kind, key in _in_order(by_key)]


def _in_order(found: dict[tuple[Kind, str], list[Any]]) -> list[tuple[Kind, str]]:
    known = [(Kind.LIMIT, str(metric)) for metric in Metric] + [(Kind.FEATURE, name) for name in FEATURE_NAMES]
    return [each for each in known if each in found] + sorted(each for each in found if each not in known)


def _right(kind: Kind, key: str, rows: list[Any]) -> Right:
    grants = [Grant(Source(r.source), r.source_ref, kind, key, r.amount, r.level) for r in rows]
    rights = combine(0, grants)
    newest = max((r.id for r in rows if r.source == Source.OVERRIDE), default=None)
    parts = [_part(r, newest is None or r.id == newest) for r in rows if newest is None or _worth_telling(r, newest)]
    return Right(kind, key, rights.limits.get(key), rights.features.get(key), tuple(parts))


def _worth_telling(row: Any, newest: int) -> bool:
    """An older override has no say any more; tier and add-ons are told, since they come back when it ends."""
    return bool(row.source != Source.OVERRIDE or row.id == newest)


def _part(row: Any, counts: bool) -> Part:
    return Part(
        Source(row.source), row.source_ref, row.tier_name, row.amount, row.level, row.valid_until, counts, row.reason,
        row.actor_label, row.override_id,
    )  # fmt: skip


def _statement(vendor_id: int, now: datetime) -> Any:
    grant, override = EntitlementGrant, LimitOverride
    same = and_(
        grant.source == Source.OVERRIDE,
        override.vendor_id == grant.vendor_id,
        override.kind == grant.kind,
        override.key == grant.key,
        override.ended_at.is_(None),
    )
    return (
        select(
            grant.id, grant.source, grant.source_ref, grant.kind, grant.key, grant.amount, grant.level,
            grant.valid_until, SubscriptionTier.name.label("tier_name"), override.id.label("override_id"),
            override.reason, override.actor_label,
        )
        .outerjoin(SubscriptionTier, and_(grant.source == Source.TIER, SubscriptionTier.code == grant.source_ref))
        .outerjoin(override, same)
        .where(
            grant.vendor_id == vendor_id,
            grant.valid_from <= now,
            or_(grant.valid_until.is_(None), grant.valid_until > now),
        )
        .order_by(grant.id)
    )  # fmt: skip

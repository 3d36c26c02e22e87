"""Which program is at the door: one statement answers key or person, vendor, standing and rights, and a counter too.

What a vendor may do is kept by this process together with the version of its rights. The statement is told that
version and brings the grants along only when it has changed: one query either way, and never a stale answer.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select

from portal.catalog.rules import PER_PERIOD, Metric
from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.entitlements.rules import Frame, Grant, Kind, Rights, Source, State, combine
from portal.identity import api_key_rules
from portal.identity.api_key_rules import KeyText
from portal.identity.models import ApiKey, Membership, User, Vendor
from portal.identity.rules import KeyScope, Role
from portal.identity.tokens import Claims, Scope
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.direct import Direct
from portal.kit.errors import NotFound, Unauthenticated
from portal.kit.text import N_
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status
from portal.usage.models import UsageCounter
from portal.usage.rules import EPOCH

#: Vendors whose rights one process keeps; the one that was longest not asked for goes first.
KEPT = 10_000
LONGEST_MONTH = timedelta(days=31)
INVALID = N_("This API key is not valid.")


@dataclass(frozen=True, slots=True)
class CallingVendor:
    """The vendor that a request speaks for; ``standing`` is None before any tier was chosen."""

    id: int
    code: str
    name: str
    blocked: bool
    standing: Status | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the JSON interface. ``scopes`` None: a person, who reaches what the role reaches.

    ``state`` is what the gate looks at; of the counters it holds only the one that was asked for.
    """

    actor: Actor
    rate_key: str
    platform: bool
    scopes: frozenset[str] | None
    token_scope: Scope | None
    role: Role
    vendor: CallingVendor | None
    state: State
    key_id: int | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """Rights as they were read, and the moment (business) at which a grant begins or ends by itself."""

    rights: Rights
    good_until: datetime | None


@dataclass
class _Shelf:
    known: "OrderedDict[tuple[str, str | None], _Known]" = field(default_factory=OrderedDict)

    def find(self, name: tuple[str, str | None], now: datetime) -> _Known | None:
        found = self.known.get(name)
        if found is None or (found.good_until is not None and found.good_until <= now):
            return None
        return found

    def keep(self, name: tuple[str, str | None], known: _Known) -> None:
        self.known[name] = known
        self.known.move_to_end(name)
        while len(self.known) > KEPT:
            self.known.popitem(last=False)


_shelf = _Shelf()


def forget() -> None:
    """Drop what this process knows of vendors' rights; only tests need it."""
    _shelf.known.clear()


def by_key(key: KeyText, *, code: str | None, metric: str | None, now: datetime) -> Caller:
    """The program that holds ``key``; ``code`` is the vendor that it speaks for, needed from the platform alone.

    ``metric`` names the counter to bring along. Unauthenticated for a key that is unknown, revoked or run out,
    NotFound for a vendor that does not exist or is not the key's. One query.
    """
    name = (key.prefix, code)
    known = _shelf.find(name, now)
    told = {"name": key.prefix, "code": code, "known": known.rights.version if known else -1, "now": now}
    counting = metric in _METRICS
    if counting:
        told |= {"metric": metric, "epoch": _counted_from(str(metric), now)}
    rows = _BY_KEY[code is not None, counting, metric in PER_PERIOD](told)
    row = _proved(rows, key)
    _same_vendor(row, code)
    rights = _rights(rows, name, known, now)
    return Caller(
        actor=Actor("api_key", row.key_name, row.key_id),
        rate_key=key.prefix,
        platform=row.scope == KeyScope.PLATFORM,
        scopes=frozenset(row.scopes),
        token_scope=None,
        role=Role.OWNER,
        vendor=_vendor(row),
        state=State(_frame(row), rights, _counters(rows, metric) if counting else {}),
        key_id=row.key_id,
        last_used_at=row.last_used_at,
    )


def by_token(claims: Claims, *, metric: str | None, now: datetime) -> Caller:
    """The person whose access token this is, with the vendor that it names, as both are now; one query.

    Unauthenticated when the person is blocked or gone; no vendor when the token names none or one that is not theirs.
    """
    counting = metric in _METRICS
    told: dict[str, Any] = {"name": claims.user_id, "account": claims.account_id, "known": -1, "now": now}
    if counting:
        told |= {"metric": metric, "epoch": _counted_from(str(metric), now)}
    rows = _BY_TOKEN[counting, metric in PER_PERIOD](told)
    if not rows:
        raise Unauthenticated(code="token_invalid")
    row = rows[0]
    return Caller(
        actor=Actor("user", row.key_name, claims.user_id),
        rate_key=f"user:{claims.user_id}",
        platform=False,
        scopes=None,
        token_scope=claims.scope,
        role=Role(row.role) if row.role else Role.MEMBER,
        vendor=_vendor(row),
        state=State(_frame(row), _read(rows, now).rights, _counters(rows, metric) if counting else {}),
    )


def _proved(rows: Sequence[Any], key: KeyText) -> Any:
    """The key's row. Which of prefix and secret is wrong is not told; why a right key is dead, its holder may know."""
    if not rows or not api_key_rules.same(rows[0].key_hash, key.key_hash):
        raise Unauthenticated(INVALID, code="key_invalid")
    row = rows[0]
    if row.revoked_at is not None:
        raise Unauthenticated(N_("This API key was revoked."), code="key_revoked")
    if row.expires_at is not None and row.expires_at <= clock.wall():
        raise Unauthenticated(N_("This API key has run out."), code="key_expired")
    return row


def _same_vendor(row: Any, code: str | None) -> None:
    if code is None:
        return
    if row.vendor_id is None or row.key_vendor_id not in (None, row.vendor_id):
        raise NotFound


def _vendor(row: Any) -> CallingVendor | None:
    if row.vendor_id is None:
        return None
    standing = Status(row.status) if row.status else None
    return CallingVendor(row.vendor_id, row.code, row.vendor_name, row.blocked_at is not None, standing)


def _frame(row: Any) -> Frame:
    return Frame(row.standing, row.period_start, row.period_end, row.create_until, row.open_until)


def _rights(rows: Sequence[Any], name: tuple[str, str | None], known: _Known | None, now: datetime) -> Rights:
    if known is not None and rows[0].version == known.rights.version:
        return known.rights
    read = _read(rows, now)
    if rows[0].version is not None:
        _shelf.keep(name, read)
    return read.rights


def _read(rows: Sequence[Any], now: datetime) -> _Known:
    """Add up the grants that hold now; those of later only say until when this is true."""
    found = list({row.grant_id: row for row in rows if row.source is not None}.values())
    live = [
        Grant(Source(r.source), r.source_ref, Kind(r.kind), r.key, r.amount, r.level)
        for r in found
        if r.valid_from <= now
    ]
    turns = [at for row in found for at in (row.valid_from, row.valid_until) if at is not None and at > now]
    return _Known(combine(rows[0].version or 0, live), min(turns, default=None))


def _counted_from(metric: str, now: datetime) -> datetime:
    return now - LONGEST_MONTH if metric in PER_PERIOD else EPOCH


def _counters(rows: Sequence[Any], metric: str | None) -> dict[tuple[str, datetime], int]:
    return {(str(metric), row.counted_from): row.used for row in rows if row.used is not None}


_METRICS = frozenset(Metric)
#: Tables, not models: through the session's own layer the same statement takes half as long again.
_keys: Any = ApiKey.__table__
_vendors: Any = Vendor.__table__
_subscriptions: Any = VendorSubscription.__table__
_versions: Any = EntitlementVersion.__table__
_grants: Any = EntitlementGrant.__table__
_counted: Any = UsageCounter.__table__
_members: Any = Membership.__table__
_users: Any = User.__table__
_VENDOR = (
    _vendors.c.id.label("vendor_id"),
    _vendors.c.code,
    _vendors.c.name.label("vendor_name"),
    _vendors.c.blocked_at,
    _subscriptions.c.status,
    _versions.c.version,
    _versions.c.standing,
    _versions.c.period_start,
    _versions.c.period_end,
    _versions.c.create_until,
    _versions.c.open_until,
)
_GRANT = (
    _grants.c.id.label("grant_id"),
    _grants.c.source,
    _grants.c.source_ref,
    _grants.c.kind,
    _grants.c.key,
    _grants.c.amount,
    _grants.c.level,
    _grants.c.valid_from,
    _grants.c.valid_until,
)


def _with_rights(statement: Select[*tuple[Any, ...]], counting: bool, per_period: bool) -> Select[*tuple[Any, ...]]:
    """Add standing, frame, the counter, and the grants unless their version is the known one."""
    now = bindparam("now", type_=_grants.c.valid_from.type)
    granted: ColumnElement[bool] = and_(
        _grants.c.vendor_id == _versions.c.vendor_id,
        _versions.c.version != bindparam("known"),
        or_(_grants.c.valid_until.is_(None), _grants.c.valid_until > now),
    )
    living = and_(_subscriptions.c.vendor_id == _vendors.c.id, _subscriptions.c.ended_at.is_(None))
    statement = (
        statement.outerjoin(_subscriptions, living)
        .outerjoin(_versions, _versions.c.vendor_id == _vendors.c.id)
        .outerjoin(_grants, granted)
    )
    if counting:
        epoch = bindparam("epoch", type_=_counted.c.period_start.type)
        # A month of usage begins less than 31 days ago: at most two rows, of which the gate takes the right one.
        begun = _counted.c.period_start.between(epoch, now) if per_period else _counted.c.period_start == epoch
        counted = and_(_counted.c.vendor_id == _vendors.c.id, _counted.c.metric == bindparam("metric"), begun)
        statement = statement.outerjoin(_counted, counted).add_columns(
            _counted.c.used, _counted.c.period_start.label("counted_from")
        )
    return statement.order_by(_grants.c.id)


def _key_statement(named: bool, counting: bool, per_period: bool) -> Select[*tuple[Any, ...]]:
    whose = _vendors.c.code == bindparam("code") if named else _vendors.c.id == _keys.c.vendor_id
    statement = (
        select(
            _keys.c.id.label("key_id"),
            _keys.c.name.label("key_name"),
            _keys.c.vendor_id.label("key_vendor_id"),
            _keys.c.scope,
            _keys.c.key_hash,
            _keys.c.scopes,
            _keys.c.expires_at,
            _keys.c.revoked_at,
            _keys.c.last_used_at,
            *_VENDOR,
            *_GRANT,
        )
        .select_from(_keys)
        .outerjoin(_vendors, whose)
        .where(_keys.c.prefix == bindparam("name"))
    )
    return _with_rights(statement, counting, per_period)


def _token_statement(counting: bool, per_period: bool) -> Select[*tuple[Any, ...]]:
    member = and_(_members.c.user_id == _users.c.id, _members.c.vendor_id == bindparam("account"))
    statement = (
        select(_users.c.name.label("key_name"), _members.c.role, *_VENDOR, *_GRANT)
        .select_from(_users)
        .outerjoin(_members, member)
        .outerjoin(_vendors, _vendors.c.id == _members.c.vendor_id)
        .where(_users.c.id == bindparam("name"), _users.c.blocked_at.is_(None))
    )
    return _with_rights(statement, counting, per_period)


_BOTH = (False, True)
#: Built once, since building them anew takes longer than sending them: by (vendor named, with a counter, per period).
_BY_KEY = {(n, c, p): Direct(_key_statement(n, c, p)) for n in _BOTH for c in _BOTH for p in _BOTH}
_BY_TOKEN = {(c, p): Direct(_token_statement(c, p)) for c in _BOTH for p in _BOTH}

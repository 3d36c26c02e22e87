"""The statements that find a calling program, built once; who reads them is accounts.callers."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select, text

from portal.entitlements.models import EntitlementGrant, EntitlementVersion
from portal.identity.models import ApiKey, Membership, User, Vendor
from portal.kit.db import BigId
from portal.kit.direct import Direct, Stamp
from portal.subscriptions.models import VendorSubscription
from portal.usage.models import UsageCounter

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
_VENDOR_STAMPS = (
    Stamp(_vendors).label("vendor_stamp"),
    Stamp(_subscriptions).label("subscription_stamp"),
    Stamp(_versions).label("version_stamp"),
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
    """Add standing, frame, the grants and the counter."""
    now = bindparam("now", type_=_grants.c.valid_from.type)
    granted: ColumnElement[bool] = and_(
        _grants.c.vendor_id == _versions.c.vendor_id,
        or_(_grants.c.valid_until.is_(None), _grants.c.valid_until > now),
    )
    statement = _of_vendor(statement).outerjoin(_grants, granted)
    return (_with_counter(statement, per_period) if counting else statement).order_by(_grants.c.id)


def _of_vendor(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    living = and_(_subscriptions.c.vendor_id == _vendors.c.id, _subscriptions.c.ended_at.is_(None))
    return statement.outerjoin(_subscriptions, living).outerjoin(_versions, _versions.c.vendor_id == _vendors.c.id)


def _with_counter(statement: Select[*tuple[Any, ...]], per_period: bool) -> Select[*tuple[Any, ...]]:
    begun_at = _counted.c.period_start
    epoch, now = bindparam("epoch", type_=begun_at.type), bindparam("now", type_=begun_at.type)
    # A month of usage begins less than 31 days ago: at most two rows, of which the gate takes the right one.
    begun = begun_at.between(epoch, now) if per_period else begun_at == epoch
    counted = and_(_counted.c.vendor_id == _vendors.c.id, _counted.c.metric == bindparam("metric"), begun)
    return statement.outerjoin(_counted, counted).add_columns(_counted.c.used, begun_at.label("counted_from"))


#: A row where the key and every stamp are as they are known, and otherwise none. PostgreSQL alone.
UNCHANGED = (
    "SELECT 1 AS used FROM api_keys k JOIN vendors v ON v.id = CAST(:still_vendor_id AS bigint)"
    " JOIN entitlement_versions e ON e.vendor_id = v.id"
    " LEFT JOIN vendor_subscriptions s ON s.vendor_id = v.id AND s.ended_at IS NULL"
    " WHERE k.id = CAST(:still_key_id AS bigint) AND k.key_hash = CAST(:still_key_hash AS text)"
    " AND k.name = CAST(:still_key_name AS text) AND k.scopes = CAST(:still_scopes AS jsonb)"
    " AND k.expires_at IS NOT DISTINCT FROM CAST(:still_expires_at AS timestamptz) AND k.revoked_at IS NULL"
    " AND v.xmin = CAST(:stamp_v AS xid) AND s.xmin IS NOT DISTINCT FROM CAST(:stamp_s AS xid)"
    " AND e.xmin = CAST(:stamp_e AS xid)"
)
#: The same with what is used.
_UNCHANGED_AND_USED = UNCHANGED.replace("SELECT 1 AS used", "SELECT u.used").replace(
    " WHERE ",
    " LEFT JOIN usage_counters u ON u.vendor_id = v.id AND u.metric = CAST(:metric AS text)"
    " AND u.period_start = CAST(:start AS timestamptz) WHERE ",
)


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
            *_VENDOR_STAMPS,
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
STILL = {c: Direct(text(_UNCHANGED_AND_USED if c else UNCHANGED).columns(used=BigId)) for c in _BOTH}
BY_KEY = {(n, c, p): Direct(_key_statement(n, c, p)) for n in _BOTH for c in _BOTH for p in _BOTH}
BY_TOKEN = {(c, p): Direct(_token_statement(c, p)) for c in _BOTH for p in _BOTH}

"""Which program is at the door: one statement answers key or person, vendor, standing and rights, and a counter too.

On PostgreSQL a process keeps what it read of a key and its vendor, with the stamps of the vendor's rows: the number of
the transaction that wrote each, which every change makes another. The next request's one statement looks for the same
key and the same stamps, and reads the counter; while they are the same, so is everything kept. It is one query either
way (two right after a change), and never a stale answer, whoever wrote and wherever.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.accounts import caller_statements as statements
from portal.catalog.rules import PER_PERIOD, Metric
from portal.entitlements.rules import Frame, Grant, Kind, Rights, Source, State, combine
from portal.identity import api_key_rules
from portal.identity.api_key_rules import NOTED_EVERY, KeyText
from portal.identity.rules import KeyScope, Role
from portal.identity.tokens import Claims, Scope
from portal.kit import clock, lines
from portal.kit.actor import Actor
from portal.kit.direct import Condition
from portal.kit.errors import NotFound, Unauthenticated
from portal.kit.text import N_
from portal.subscriptions.rules import Status
from portal.usage.rules import EPOCH, counter_start

#: Vendors whose rights one process keeps; the one that was longest not asked for goes first.
KEPT = 10_000
_METRICS = frozenset(Metric)
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
class Still:
    """What must be found again for a key's caller to be what it was: the key's row and the stamps of the vendor's, as
    ``told`` to the statement. By which ``lines`` it was read, and under which ``name`` the process keeps it.
    """

    name: tuple[str, str | None]
    key_hash: str
    told: Mapping[str, bytes | None]
    lines: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the JSON interface. ``scopes`` None: a person, who reaches what the role reaches.

    ``state`` is what the gate looks at; of the counters it holds only the one that was asked for. ``turns_at`` is the
    moment (business) at which a grant begins or ends or something closes by itself, ``ends_at`` (wall) that at which
    the key ends. ``still`` None: this is not kept, and read anew each time.
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
    turns_at: datetime | None = None
    ends_at: datetime | None = None
    still: Still | None = None

    def with_state(self, state: State) -> "Caller":
        """The same with another state. (``dataclasses.replace`` takes three times as long.)"""
        return Caller(
            self.actor, self.rate_key, self.platform, self.scopes, self.token_scope, self.role, self.vendor, state,
            self.key_id, self.last_used_at, self.turns_at, self.ends_at, self.still,
        )  # fmt: skip

    def turned(self, now: datetime) -> bool:
        """Has a moment passed at which something of this is no more by itself?"""
        return (self.turns_at is not None and self.turns_at <= now) or (
            self.ends_at is not None and self.ends_at <= clock.wall()
        )


_shelf: OrderedDict[tuple[str, str | None], Caller] = OrderedDict()
#: When this process last noted a key's use, by its prefix: a known caller does not read it anew.
_noted: dict[str, datetime] = {}


def forget() -> None:
    """Drop what this process knows of callers; only tests need it."""
    _shelf.clear()


def by_key(key: KeyText, *, code: str | None, metric: str | None, now: datetime) -> Caller:
    """The program that holds ``key``; ``code`` is the vendor that it speaks for, needed from the platform alone.

    ``metric`` names the counter to bring along. Unauthenticated for a key that is unknown, revoked or run out,
    NotFound for a vendor that does not exist or is not the key's. One query, two where something changed meanwhile.
    """
    metric = metric if metric in _METRICS else None
    known = _known(key, code, now)
    if known is not None and (found := _proved(known, metric, now)):
        return found
    told: dict[str, Any] = {"name": key.prefix, "code": code, "now": now}
    if metric:
        told |= {"metric": metric, "epoch": _counted_from(metric, now)}
    began = lines.generation()
    rows = statements.BY_KEY[code is not None, metric is not None, metric in PER_PERIOD](told)
    return _read_by_key(key, rows, code, metric, now, began)


def likely(key: KeyText, *, code: str | None, now: datetime) -> tuple[Caller, Condition] | None:
    """The program that holds ``key`` as this process knows it, and what must still be so: for a statement that looks
    for itself whether it is, and does nothing otherwise. No query. None where nothing is known.
    """
    known = _known(key, code, now)
    if known is None or known.still is None or not use_is_noted(known, clock.wall()):
        return None
    return known, Condition(statements.UNCHANGED, {**known.still.told})


def again(caller: Caller, *, metric: str | None, now: datetime) -> Caller | None:
    """Who put a question before, as it is now, with the counter of ``metric``: proved by one statement. None where it
    is to be read anew.
    """
    known = _shelf.get(caller.still.name) if caller.still else None
    if known is None or known.still is not caller.still or not _holds(known, now):
        return None
    return _proved(known, metric if metric in _METRICS else None, now)


def _known(key: KeyText, code: str | None, now: datetime) -> Caller | None:
    known = _shelf.get((key.prefix, code))
    if known is None or known.still is None or not api_key_rules.same(known.still.key_hash, key.key_hash):
        return None
    return known if _holds(known, now) else None


def _holds(known: Caller, now: datetime) -> bool:
    """As far as can be told without asking: the same lines, and no moment passed at which something ends."""
    return known.still is not None and known.still.lines == lines.generation() and not known.turned(now)


def _proved(known: Caller, metric: str | None, now: datetime) -> Caller | None:
    """Ask whether all is as it is known, and for the counter; None where something changed, which is forgotten."""
    still, held = known.still, known.state
    if still is None:
        return None
    told: dict[str, Any] = {**still.told}
    if metric is not None:
        start = counter_start(Metric(metric), held.frame.window(now))
        told |= {"metric": metric, "start": start}
    rows = statements.STILL[metric is not None](told)
    if not rows:
        _forget(known)
        return None
    if metric is None:
        return known
    used = {} if rows[0].used is None else {(metric, start): rows[0].used}
    return known.with_state(State(held.frame, held.rights, used))


def _forget(known: Caller) -> None:
    """Unless another thread has read it anew."""
    if known.still is not None and _shelf.get(known.still.name) is known:
        _shelf.pop(known.still.name, None)


def _read_by_key(
    key: KeyText, rows: Sequence[Any], code: str | None, metric: str | None, now: datetime, began: int
) -> Caller:
    row = _valid(rows, key)
    _same_vendor(row, code)
    rights, turns_at = _rights(rows, now)
    caller = Caller(
        actor=Actor("api_key", row.key_name, row.key_id),
        rate_key=key.prefix,
        platform=row.scope == KeyScope.PLATFORM,
        scopes=frozenset(row.scopes),
        token_scope=None,
        role=Role.OWNER,
        vendor=_vendor(row),
        state=State(_frame(row), rights, {}),
        key_id=row.key_id,
        last_used_at=row.last_used_at,
        turns_at=turns_at,
        ends_at=row.expires_at,
        still=_still((key.prefix, code), row, began),
    )
    if caller.still is not None:
        _keep(caller.still.name, caller)
    return caller if metric is None else _with_counters(caller, rows, metric)


def _keep(name: tuple[str, str | None], known: Caller) -> None:
    _shelf[name] = known
    _shelf.move_to_end(name)
    while len(_shelf) > KEPT:
        _shelf.popitem(last=False)


def _still(name: tuple[str, str | None], row: Any, began: int) -> Still | None:
    """What must be found again, ready to be sent; of the key all but ``last_used_at``, which changes every minute."""
    if row.version_stamp is None:
        return None
    found = {
        "still_key_id": row.key_id,
        "still_key_name": row.key_name,
        "still_key_hash": row.key_hash,
        "still_scopes": json.dumps(row.scopes),
        "still_expires_at": row.expires_at,
        "still_vendor_id": row.vendor_id,
        "stamp_v": row.vendor_stamp,
        "stamp_s": row.subscription_stamp,
        "stamp_e": row.version_stamp,
    }
    return Still(name, row.key_hash, {each: lines.to_wire(value) for each, value in found.items()}, began)


def _with_counters(caller: Caller, rows: Sequence[Any], metric: str | None) -> Caller:
    state = caller.state
    held = State(state.frame, state.rights, _counters(rows, metric))
    return caller.with_state(held)


def use_is_noted(found: Caller, at: datetime) -> bool:
    """Has this key's use been noted within the minute, or is there no key?"""
    last = max(filter(None, (found.last_used_at, _noted.get(found.rate_key))), default=None)
    return found.key_id is None or (last is not None and at - last < NOTED_EVERY)


def remember_noting(found: Caller, at: datetime) -> None:
    """The key's use was noted ``at``."""
    if len(_noted) >= KEPT:
        _noted.clear()
    _noted[found.rate_key] = at


def by_token(claims: Claims, *, metric: str | None, now: datetime) -> Caller:
    """The person whose access token this is, with the vendor that it names, as both are now; one query.

    Unauthenticated when the person is blocked or gone; no vendor when the token names none or one that is not theirs.
    """
    counting = metric in _METRICS
    told: dict[str, Any] = {"name": claims.user_id, "account": claims.account_id, "now": now}
    if counting:
        told |= {"metric": metric, "epoch": _counted_from(str(metric), now)}
    rows = statements.BY_TOKEN[counting, metric in PER_PERIOD](told)
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
        state=State(_frame(row), _rights(rows, now)[0], _counters(rows, metric) if counting else {}),
    )


def _valid(rows: Sequence[Any], key: KeyText) -> Any:
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


def _rights(rows: Sequence[Any], now: datetime) -> tuple[Rights, datetime | None]:
    """Add up the grants that hold now; those of later, and what closes then, only say until when this is true."""
    found = list({row.grant_id: row for row in rows if row.source is not None}.values())
    live = [
        Grant(Source(r.source), r.source_ref, Kind(r.kind), r.key, r.amount, r.level)
        for r in found
        if r.valid_from <= now
    ]
    frame = rows[0].create_until, rows[0].open_until
    turns = [at for at in (*frame, *(at for r in found for at in (r.valid_from, r.valid_until))) if at and at > now]
    return combine(rows[0].version or 0, live), min(turns, default=None)


def _counted_from(metric: str, now: datetime) -> datetime:
    return now - LONGEST_MONTH if metric in PER_PERIOD else EPOCH


def _counters(rows: Sequence[Any], metric: str | None) -> dict[tuple[str, datetime], int]:
    return {(str(metric), row.counted_from): row.used for row in rows if row.used is not None}

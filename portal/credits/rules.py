"""Kinds of credits and of entries, which lot is spent first, what is carried over; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from portal.catalog.rules import CreditPolicy

#: How long included credits outlive their period while its renewal is being paid.
RENEWAL_MARGIN = timedelta(days=1)


class LotKind(StrEnum):
    """Where a lot of credits came from."""

    GRANT = "grant"
    PURCHASE = "purchase"
    GOODWILL = "goodwill"


class EntryKind(StrEnum):
    """Why the balance changed."""

    GRANT = "grant"
    PURCHASE = "purchase"
    USAGE = "usage"
    REFUND = "refund"
    EXPIRY = "expiry"
    ADJUSTMENT = "adjustment"


#: The most that one grant or adjustment may move.
MOST_CREDITS = 1_000_000_000

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lot:
    """Credits that came together; ``remaining`` of ``granted`` are unspent. No ``expires_at``: they do not expire."""

    id: int
    kind: LotKind
    granted: int
    remaining: int
    source: str
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """So many credits out of one lot."""

    lot_id: int
    amount: int


def spending_order(lots: Iterable[Lot]) -> list[Lot]:
    """The lot that expires first is spent first, then the oldest (CRE-1)."""
    return sorted(lots, key=lambda lot: (lot.expires_at or _NEVER, lot.created_at, lot.id))


def take(lots: Iterable[Lot], amount: int, now: datetime) -> list[Part]:
    """Take ``amount`` from lots that have not expired, in spending order; empty when together they hold less."""
    parts: list[Part] = []
    left = amount
    for lot in spending_order(lots):
        if left == 0:
            break
        if lot.remaining and not expired(lot, now):
            parts.append(Part(lot.id, min(lot.remaining, left)))
            left -= parts[-1].amount
    return [] if left else parts


def expired(lot: Lot, now: datetime) -> bool:
    """Has its time passed? Half-open: at the very moment it has."""
    return lot.expires_at is not None and lot.expires_at <= now


def lapsing(lots: Iterable[Lot], policy: CreditPolicy, cap: int | None, period_end: datetime) -> list[Part]:
    """What a renewal takes away of included credits (SUB-9): with ``reset`` all that is left of earlier ones, with
    ``rollover`` what exceeds ``cap`` credits carried over (None: nothing), the oldest first.

    Bought and goodwill credits stay. So do included ones that expire with the new period or after it: they belong to
    it, and a renewal that is worked off late must not take them.
    """
    earlier = [lot for lot in lots if lot.kind == LotKind.GRANT and lot.remaining and _ends_before(lot, period_end)]
    held = sum(lot.remaining for lot in earlier)
    kept = 0 if policy == CreditPolicy.RESET else held if cap is None else cap
    return _drain(sorted(earlier, key=lambda lot: (lot.created_at, lot.id)), max(0, held - kept))


def lot_expiry(policy: CreditPolicy, period_end: datetime) -> datetime | None:
    """When included credits of a period expire by themselves, or None when the next renewal alone decides.

    A renewal's invoice is paid an hour or so after the period's end: credits wait for it, so that nobody's work stops
    meanwhile, and go at the latest a day after the end when nobody pays.
    """
    return period_end + RENEWAL_MARGIN if policy == CreditPolicy.RESET else None


def _ends_before(lot: Lot, period_end: datetime) -> bool:
    return lot.expires_at is None or lot.expires_at < period_end


def _drain(lots: Sequence[Lot], amount: int) -> list[Part]:
    parts: list[Part] = []
    for lot in lots:
        if amount:
            parts.append(Part(lot.id, min(lot.remaining, amount)))
            amount -= parts[-1].amount
    return parts


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A vendor whose books do not agree; all three would have to be the same number."""

    vendor_id: int
    balance: int
    ledger: int
    lots: int

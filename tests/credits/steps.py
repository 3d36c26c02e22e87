"""The verbs of credits as tests speak them."""

from datetime import datetime, timedelta

from portal.catalog.rules import CreditPolicy
from portal.credits import queries, service
from portal.credits.rules import EntryKind, LotKind
from portal.kit.actor import SYSTEM, staff
from portal.kit.unit_of_work import unit_of_work
from tests.support.travel import Travel

NOW = Travel.START
ADA = staff(7, "Ada")


def day(number: int) -> datetime:
    """So many days after the start."""
    return NOW + timedelta(days=number)


def give(
    vendor_id: int,
    amount: int,
    source: str,
    *,
    kind: LotKind = LotKind.GRANT,
    expires_at: datetime | None = None,
    now: datetime = NOW,
) -> bool:
    """Grant credits in a unit of work of their own."""
    entry = EntryKind.PURCHASE if kind == LotKind.PURCHASE else EntryKind.GRANT
    with unit_of_work():
        return service.grant(
            vendor_id,
            amount,
            source=source,
            kind=kind,
            entry=entry,
            description="Included credits",
            expires_at=expires_at,
            actor=SYSTEM,
            now=now,
        )


def renew(
    vendor_id: int,
    amount: int,
    source: str,
    period_end: datetime,
    *,
    policy: CreditPolicy = CreditPolicy.RESET,
    cap: int | None = None,
    now: datetime = NOW,
) -> bool:
    """Begin a period in a unit of work of its own."""
    with unit_of_work():
        return service.renew(
            vendor_id,
            amount,
            policy=policy,
            cap=cap,
            source=source,
            period_end=period_end,
            description="Included credits",
            actor=SYSTEM,
            now=now,
        )


def adjust(vendor_id: int, amount: int, key: str, *, reason: str = "Sorry", now: datetime = NOW) -> bool:
    """Adjust by hand in a unit of work of its own."""
    with unit_of_work():
        return service.adjust(vendor_id, amount, reason=reason, key=key, actor=ADA, now=now)


def left(vendor_id: int) -> dict[str, int]:
    """What each lot has left, by its source; empty lots left out."""
    return {lot.source: lot.remaining for lot in queries.lots(vendor_id) if lot.remaining}


def entries(vendor_id: int) -> list[tuple[str, int, int]]:
    """The ledger from the beginning: kind, amount, balance after."""
    return [(e.kind.value, e.amount, e.balance_after) for e in reversed(queries.ledger(vendor_id, 100))]

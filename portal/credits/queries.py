"""Reading credits. Callers have set the tenancy scope (verify: unscoped)."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Select, func, or_, select

from portal.credits.book import as_lot
from portal.credits.models import CreditAccount, CreditLot, CreditTransaction
from portal.credits.rules import Discrepancy, EntryKind, Lot
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the ledger; ``actor`` is the label of who moved the credits."""

    id: int
    kind: EntryKind
    amount: int
    balance_after: int
    description: str
    reference: str | None
    actor: str
    at: datetime


def balance(vendor_id: int) -> int | None:
    """How many credits the vendor has; None where no account was opened."""
    return db.session.scalar(select(CreditAccount.balance).where(CreditAccount.vendor_id == vendor_id))


def lots(vendor_id: int) -> list[Lot]:
    """Every lot, spent ones too, oldest first."""
    statement = select(CreditLot).where(CreditLot.vendor_id == vendor_id).order_by(CreditLot.id)
    rows = db.session.scalars(statement.execution_options(populate_existing=True))
    return [as_lot(row) for row in rows]


def ledger(vendor_id: int, limit: int = 50) -> list[Entry]:
    """The newest entries, newest first; one query."""
    columns = [getattr(CreditTransaction, name) for name in Entry.__dataclass_fields__]
    mine = select(*columns).where(CreditTransaction.vendor_id == vendor_id)
    rows = db.session.execute(mine.order_by(CreditTransaction.id.desc()).limit(limit))
    return [
        Entry(r.id, EntryKind(r.kind), r.amount, r.balance_after, r.description, r.reference, _label(r.actor), r.at)
        for r in rows
    ]


def verify() -> list[Discrepancy]:
    """Every vendor whose balance is not both the sum of its ledger and what its lots have left; one query."""
    rows = db.session.execute(_disagreeing().order_by(CreditAccount.vendor_id))
    return [Discrepancy(*map(int, row)) for row in rows]


@cache
def _disagreeing() -> Select[int, int, int, int]:
    entries = (
        select(CreditTransaction.vendor_id, func.sum(CreditTransaction.amount).label("total"))
        .group_by(CreditTransaction.vendor_id)
        .subquery()
    )
    held = (
        select(CreditLot.vendor_id, func.sum(CreditLot.remaining).label("total"))
        .group_by(CreditLot.vendor_id)
        .subquery()
    )
    in_ledger, in_lots = func.coalesce(entries.c.total, 0), func.coalesce(held.c.total, 0)
    return (
        select(CreditAccount.vendor_id, CreditAccount.balance, in_ledger, in_lots)
        .outerjoin(entries, entries.c.vendor_id == CreditAccount.vendor_id)
        .outerjoin(held, held.c.vendor_id == CreditAccount.vendor_id)
        .where(or_(CreditAccount.balance != in_ledger, CreditAccount.balance != in_lots))
    )


def _label(stamp: str) -> str:
    return stamp.split(":", 2)[-1]

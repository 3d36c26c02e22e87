"""The one place that moves credits: balance, lots, entry and the parts between them, always together."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import select

from portal.credits.models import CreditAccount, CreditLot, CreditTransaction, CreditTransactionLot
from portal.credits.rules import EntryKind, Lot, LotKind, Part
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.text import N_

#: Told of each movement; a room above listens, which this one does not know.
_listener: Callable[[CreditTransaction, datetime], None] | None = None


def tell(listener: Callable[[CreditTransaction, datetime], None]) -> None:
    """Say who is told of each movement, in the transaction that writes it."""
    global _listener
    _listener = listener


class Book:
    """A vendor's account under its lock, until the transaction ends."""

    def __init__(self, vendor_id: int, actor: Actor, now: datetime) -> None:
        """Locks the account row, the last in the order of locks. Raises NotFound where no account was opened."""
        self.vendor_id, self.actor, self.now = vendor_id, actor, now
        statement = select(CreditAccount).where(CreditAccount.vendor_id == vendor_id).with_for_update()
        account = db.session.scalar(statement.execution_options(populate_existing=True))
        if account is None:
            raise NotFound(N_("This vendor has no credit account."))
        self.account = account

    def knows_source(self, source: str) -> bool:
        """Has this cause granted before?"""
        mine = select(CreditLot.id).where(CreditLot.vendor_id == self.vendor_id, CreditLot.source == source)
        return db.session.scalar(mine) is not None

    def knows_entry(self, key: str) -> bool:
        """Was an entry written under this key?"""
        mine = CreditTransaction.vendor_id == self.vendor_id
        found = select(CreditTransaction.id).where(mine, CreditTransaction.idempotency_key == key)
        return db.session.scalar(found) is not None

    def lots(self) -> list[Lot]:
        """Lots that hold something, as they are now."""
        return [as_lot(row) for row in self._rows().values()]

    def add(
        self,
        amount: int,
        *,
        source: str,
        lot_kind: LotKind,
        entry_kind: EntryKind,
        description: str,
        expires_at: datetime | None,
        key: str,
        reference: str | None = None,
    ) -> None:
        """A new lot, and the entry that brought it."""
        lot = CreditLot(
            vendor_id=self.vendor_id,
            kind=lot_kind,
            granted=amount,
            remaining=amount,
            source=source,
            expires_at=expires_at,
            created_at=self.now,
        )
        db.session.add(lot)
        db.session.flush()
        self._write(entry_kind, [Part(lot.id, amount)], description, key, reference)

    def remove(self, parts: Sequence[Part], kind: EntryKind, *, description: str, key: str) -> int:
        """Take these parts out of their lots; one entry for all of them, none for none. Gives their sum."""
        rows = self._rows()
        for part in parts:
            rows[part.lot_id].remaining -= part.amount
        if parts:
            self._write(kind, [Part(part.lot_id, -part.amount) for part in parts], description, key, None)
        return sum(part.amount for part in parts)

    def _rows(self) -> dict[int, CreditLot]:
        statement = select(CreditLot).where(CreditLot.vendor_id == self.vendor_id, CreditLot.remaining > 0)
        rows = db.session.scalars(statement.order_by(CreditLot.id).execution_options(populate_existing=True))
        return {row.id: row for row in rows}

    def _write(self, kind: EntryKind, moved: Sequence[Part], description: str, key: str, reference: str | None) -> None:
        amount = sum(part.amount for part in moved)
        self.account.balance += amount
        entry = CreditTransaction(
            vendor_id=self.vendor_id,
            kind=kind,
            amount=amount,
            balance_after=self.account.balance,
            description=description[:255],
            reference=reference,
            idempotency_key=key,
            actor=stamp(self.actor),
            at=self.now,
        )
        db.session.add(entry)
        db.session.flush()
        for part in moved:
            link = CreditTransactionLot(
                vendor_id=self.vendor_id, transaction_id=entry.id, lot_id=part.lot_id, amount=part.amount
            )
            db.session.add(link)
        db.session.flush()
        if _listener is not None:
            _listener(entry, self.now)


def stamp(actor: Actor) -> str:
    """Who, as the ledger keeps it: kind, id and label, with colons between."""
    return f"{actor.kind}:{actor.id or ''}:{actor.label[:100]}"


def as_lot(row: CreditLot) -> Lot:
    """A row as a value."""
    kind = LotKind(row.kind)
    return Lot(row.id, kind, row.granted, row.remaining, row.source, row.expires_at, row.created_at)

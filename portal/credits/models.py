"""The ledger: accounts, lots, append-only entries, and which lot each entry moved."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.credits.rules import EntryKind, LotKind
from portal.kit.db import BigId, Id, Model, TenantMixin, one_of


class CreditAccount(Model):
    """A vendor's balance; equals the sum of its entries and of what its lots have left."""

    __tablename__ = "credit_accounts"
    vendor_id: Mapped[int] = mapped_column(BigId, ForeignKey("vendors.id"), primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)
    __table_args__ = (CheckConstraint("balance >= 0", name="balance"),)


class CreditLot(TenantMixin, Model):
    """Credits that came together. ``source`` names the cause once per vendor: a cause grants at most once."""

    __tablename__ = "credit_lots"
    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(String(10))
    granted: Mapped[int]
    remaining: Mapped[int]
    source: Mapped[str] = mapped_column(String(120))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("vendor_id", "source"),
        one_of("kind", LotKind),
        CheckConstraint("granted > 0", name="granted"),
        CheckConstraint("remaining >= 0 AND remaining <= granted", name="remaining"),
        Index(None, "vendor_id", "expires_at", "id"),
    )


class CreditTransaction(TenantMixin, Model):
    """An entry of the ledger; a trigger refuses to change or delete one."""

    __tablename__ = "credit_transactions"
    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(String(10))
    amount: Mapped[int]
    balance_after: Mapped[int]
    description: Mapped[str]
    reference: Mapped[str | None] = mapped_column(String(120))
    idempotency_key: Mapped[str] = mapped_column(String(160))
    actor: Mapped[str] = mapped_column(String(140))
    at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("vendor_id", "idempotency_key"),
        one_of("kind", EntryKind),
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("balance_after >= 0", name="balance_after"),
    )


class CreditTransactionLot(TenantMixin, Model):
    """How much of an entry went into or came out of which lot."""

    __tablename__ = "credit_transaction_lots"
    id: Mapped[Id]
    transaction_id: Mapped[int] = mapped_column(ForeignKey("credit_transactions.id"), index=True)
    lot_id: Mapped[int] = mapped_column(ForeignKey("credit_lots.id"), index=True)
    amount: Mapped[int]
    __table_args__ = (CheckConstraint("amount <> 0", name="amount"),)

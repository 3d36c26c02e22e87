"""Invoices with lines, and payments; Stripe's are mirrored, ours come with bank transfer."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.billing.rules import InvoiceStatus
from portal.kit.db import Currency, Id, Model, StripeId, TenantMixin, one_of


class Invoice(TenantMixin, Model):
    """What was asked. Amounts in minor units of ``currency``; ``applied_at`` says that its rights were granted."""

    __tablename__ = "invoices"
    id: Mapped[Id]
    provider: Mapped[str] = mapped_column(String(10))
    number: Mapped[str | None] = mapped_column(String(64))
    stripe_invoice_id: Mapped[StripeId | None] = mapped_column(unique=True)
    stripe_subscription_id: Mapped[StripeId | None] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(String(14))
    reason: Mapped[str] = mapped_column(String(40))
    currency: Mapped[Currency]
    subtotal_minor: Mapped[int]
    tax_minor: Mapped[int]
    total_minor: Mapped[int]
    due_minor: Mapped[int]
    paid_minor: Mapped[int]
    balance_applied_minor: Mapped[int] = mapped_column(default=0)
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    issued_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    hosted_url: Mapped[str | None] = mapped_column(Text)
    pdf_url: Mapped[str | None] = mapped_column(Text)
    applied_at: Mapped[datetime | None]
    lines: Mapped[list["InvoiceLine"]] = relationship(order_by="InvoiceLine.position", cascade="all, delete-orphan")
    __table_args__ = (
        one_of("status", InvoiceStatus),
        one_of("provider", ("stripe", "transfer")),
        UniqueConstraint("provider", "number"),
        CheckConstraint("paid_minor >= 0", name="paid"),
        Index(None, "vendor_id", "issued_at", "id"),
    )


class InvoiceLine(TenantMixin, Model):
    """A line; lines and taxes sum to the invoice's total."""

    __tablename__ = "invoice_lines"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int] = mapped_column(default=1)
    amount_minor: Mapped[int]
    proration: Mapped[bool] = mapped_column(default=False)
    stripe_price_id: Mapped[StripeId | None]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]


class Payment(TenantMixin, Model):
    """Money that came in for an invoice; ``reference`` is the provider's id."""

    __tablename__ = "payments"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    provider: Mapped[str] = mapped_column(String(10))
    reference: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(10))
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("provider", "reference"),
        one_of("status", ("succeeded", "failed", "refunded")),
    )

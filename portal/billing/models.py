"""Invoices with lines, taxes and corrections; money that came in and went back; what is expected by bank transfer.

Stripe's papers are mirrored, ours come with bank transfer.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.billing.rules import InvoiceStatus
from portal.kit.db import BigId, Currency, Id, JsonB, Model, StripeId, TenantMixin, one_of


class Invoice(TenantMixin, Model):
    """What was asked. Amounts in minor units of ``currency``; ``applied_at`` says that its rights were granted.

    One of ours (``provider`` transfer) starts as a proforma: open, with a ``proforma_number``. When it is paid in full
    it becomes the invoice and gets its ``number``. ``seller`` and ``buyer`` are the legal data as they were then.
    """

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
    needs_confirmation: Mapped[bool] = mapped_column(default=False, server_default=false())
    hosted_url: Mapped[str | None] = mapped_column(Text)
    pdf_url: Mapped[str | None] = mapped_column(Text)
    applied_at: Mapped[datetime | None]
    proforma_number: Mapped[str | None] = mapped_column(String(64), unique=True)
    due_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    seller: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    buyer: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    credited_minor: Mapped[int] = mapped_column(default=0, server_default="0")
    refunded_minor: Mapped[int] = mapped_column(default=0, server_default="0")
    lines: Mapped[list["InvoiceLine"]] = relationship(order_by="InvoiceLine.position", cascade="all, delete-orphan")
    __table_args__ = (
        one_of("status", InvoiceStatus),
        one_of("provider", ("stripe", "transfer")),
        UniqueConstraint("provider", "number"),
        CheckConstraint("paid_minor >= 0", name="paid"),
        CheckConstraint("credited_minor >= 0 AND refunded_minor >= 0", name="given_back"),
        Index(None, "vendor_id", "issued_at", "id"),
    )


class InvoiceLine(TenantMixin, Model):
    """A line; lines and taxes sum to the invoice's total. ``tax_position`` is that of the tax it falls under.

    One of ours names what it is for: a tier's price, or an add-on's with the vendor's add-on.
    """

    __tablename__ = "invoice_lines"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int] = mapped_column(default=1)
    amount_minor: Mapped[int]
    proration: Mapped[bool] = mapped_column(default=False)
    stripe_price_id: Mapped[StripeId | None]
    price_id: Mapped[int | None] = mapped_column(ForeignKey("tier_prices.id"))
    addon_price_id: Mapped[int | None] = mapped_column(ForeignKey("addon_prices.id"))
    vendor_addon_id: Mapped[int | None] = mapped_column(ForeignKey("vendor_addons.id"))
    tax_position: Mapped[int | None]
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


class InvoiceTax(TenantMixin, Model):
    """One tax on an invoice: ``rate_bp`` in hundredths of a percent, ``category`` as EN 16931 codes it (S, AE, Z …)."""

    __tablename__ = "invoice_taxes"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    label: Mapped[str] = mapped_column(String(80))
    country: Mapped[str | None] = mapped_column(String(2))
    category: Mapped[str] = mapped_column(String(2))
    rate_bp: Mapped[int]
    base_minor: Mapped[int]
    amount_minor: Mapped[int]
    __table_args__ = (CheckConstraint("rate_bp BETWEEN 0 AND 10000", name="rate_bp"),)


class TaxRate(Model):
    """The operator's table: what a country's vendors pay on top. One rate per country and day.

    The newest that has begun holds; from ``valid_until`` on the country has none.
    """

    __tablename__ = "tax_rates"
    id: Mapped[Id]
    country: Mapped[str] = mapped_column(String(2))
    label: Mapped[str] = mapped_column(String(80))
    rate_bp: Mapped[int]
    valid_from: Mapped[date] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
    __table_args__ = (
        UniqueConstraint("country", "valid_from"),
        CheckConstraint("rate_bp BETWEEN 0 AND 10000", name="rate_bp"),
    )


class NumberSeries(Model):
    """The last number given out in a series and year. Taken under its row's lock, so numbers have no gaps."""

    __tablename__ = "number_series"
    series: Mapped[str] = mapped_column(String(16), primary_key=True)
    year: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(default=0)
    __table_args__ = (CheckConstraint("last >= 0", name="last"),)


class CreditNote(TenantMixin, Model):
    """What an invoice asks no longer. Amounts are positive; ``lines`` and ``taxes`` are kept as they were printed."""

    __tablename__ = "credit_notes"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    provider: Mapped[str] = mapped_column(String(10))
    number: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(Text)
    currency: Mapped[Currency]
    subtotal_minor: Mapped[int]
    tax_minor: Mapped[int]
    total_minor: Mapped[int]
    lines: Mapped[list[Any]]
    taxes: Mapped[list[Any]]
    actor_label: Mapped[str] = mapped_column(String(120))
    issued_at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("provider", "number"),
        UniqueConstraint("vendor_id", "cause"),
        CheckConstraint("total_minor = subtotal_minor + tax_minor AND total_minor > 0", name="total"),
    )


class Refund(TenantMixin, Model):
    """Money that goes back for a payment. Written before the provider is asked, so that it goes back once."""

    __tablename__ = "refunds"
    id: Mapped[Id]
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    provider: Mapped[str] = mapped_column(String(10))
    reference: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(10))
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_label: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("provider", "reference"),
        one_of("state", ("requested", "pending", "succeeded", "failed")),
        CheckConstraint("amount_minor > 0", name="amount"),
    )


class Dispute(TenantMixin, Model):
    """A cardholder's bank asks for the money back; mirrored from Stripe."""

    __tablename__ = "disputes"
    id: Mapped[Id]
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payments.id"), index=True)
    stripe_dispute_id: Mapped[StripeId] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(String(80))
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    opened_at: Mapped[datetime]
    answer_by: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class PaymentMethod(TenantMixin, Model):
    """A card or account kept at Stripe, mirrored as far as it may be shown."""

    __tablename__ = "payment_methods"
    id: Mapped[Id]
    stripe_payment_method_id: Mapped[StripeId] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    shown: Mapped[dict[str, Any]]
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class BalanceEntry(TenantMixin, Model):
    """Money a vendor has with the operator outside Stripe: overpaid, or credited for unused time. Append-only."""

    __tablename__ = "balance_entries"
    id: Mapped[Id]
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    balance_after_minor: Mapped[int]
    cause: Mapped[str] = mapped_column(String(120))
    description: Mapped[str]
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    actor_label: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("vendor_id", "cause"),
        CheckConstraint("amount_minor <> 0", name="amount"),
        CheckConstraint("balance_after_minor >= 0", name="balance_after"),
        Index(None, "vendor_id", "currency", "id"),
    )


class BankTransfer(TenantMixin, Model):
    """Money expected on the operator's account for an invoice of ours, and what came in of it.

    ``reference`` is an ISO 11649 creditor reference: its check digits survive typing errors. ``proof`` names the
    file that the vendor handed in. Above the operator's limit two different people approve.
    """

    __tablename__ = "bank_transfers"
    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), unique=True)
    reference: Mapped[str] = mapped_column(String(25), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    currency: Mapped[Currency]
    asked_minor: Mapped[int]
    received_minor: Mapped[int] = mapped_column(default=0)
    payer_name: Mapped[str | None] = mapped_column(String(140))
    proof: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    proof_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    reminded: Mapped[int] = mapped_column(default=0)
    first_approval: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    decided_by: Mapped[str | None] = mapped_column(String(120))
    decided_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    __table_args__ = (
        one_of("state", ("awaiting", "proof_sent", "part_paid", "approved", "rejected", "cancelled")),
        CheckConstraint("asked_minor > 0", name="asked"),
        CheckConstraint("received_minor >= 0", name="received"),
        Index(None, "state", "due_at"),
    )


class BankStatement(Model):
    """A statement file that was imported; the same file again is recognised by its hash."""

    __tablename__ = "bank_statements"
    id: Mapped[Id]
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(String(10))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    actor_label: Mapped[str] = mapped_column(String(120))
    imported_at: Mapped[datetime]
    __table_args__ = (one_of("kind", ("csv", "camt053")),)


class BankStatementLine(Model):
    """A booking on the operator's account. ``fingerprint`` tells the same booking in another file; it belongs to the
    operator until it is matched with a vendor's transfer.
    """

    __tablename__ = "bank_statement_lines"
    id: Mapped[Id]
    statement_id: Mapped[int] = mapped_column(ForeignKey("bank_statements.id"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    booked_on: Mapped[date] = mapped_column(Date)
    currency: Mapped[Currency]
    amount_minor: Mapped[int]
    payer: Mapped[str] = mapped_column(String(140), default="")
    purpose: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(10))
    transfer_id: Mapped[int | None] = mapped_column(ForeignKey("bank_transfers.id"), index=True)
    decided_by: Mapped[str | None] = mapped_column(String(120))
    __table_args__ = (one_of("state", ("new", "matched", "ignored")), Index(None, "state", "booked_on"))

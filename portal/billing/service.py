"""Keeping Stripe's invoices as rows of ours."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.billing.models import Invoice, InvoiceLine, InvoiceTax, Payment
from portal.billing.stripe_invoice import Line, PaidTax, StripeInvoice
from portal.kit.db import db, insert_once

_COPIED = (
    "number", "status", "reason", "currency", "subtotal_minor", "tax_minor", "total_minor", "due_minor", "paid_minor",
    "issued_at", "paid_at", "next_attempt_at", "hosted_url", "pdf_url",
    "needs_confirmation",
)  # fmt: skip


def mirror(vendor_id: int, remote: StripeInvoice) -> Invoice:
    """Make our row, its lines and its payments equal to Stripe's invoice; the same again changes nothing.

    The caller holds the vendor's lock. Drafts are kept too, so that a paid one is never taken for a new one.
    """
    invoice = locked(remote.id)
    if invoice is None:
        invoice = Invoice(vendor_id=vendor_id, provider="stripe", stripe_invoice_id=remote.id)
        db.session.add(invoice)
    for name in _COPIED:
        value = getattr(remote, name)
        if getattr(invoice, name) != value:
            setattr(invoice, name, value)
    invoice.stripe_subscription_id = remote.subscription_id
    invoice.balance_applied_minor = remote.due_minor - remote.total_minor
    invoice.period_start = min((line.period_start for line in remote.lines), default=None)
    invoice.period_end = max((line.period_end for line in remote.lines), default=None)
    _mirror_lines(invoice, vendor_id, remote.lines)
    db.session.flush()
    _mirror_taxes(invoice, remote.taxes)
    _mirror_payments(invoice, remote)
    return invoice


def locked(stripe_invoice_id: str) -> Invoice | None:
    """Our row of a Stripe invoice, under a lock and read anew."""
    return db.session.scalar(
        select(Invoice)
        .where(Invoice.stripe_invoice_id == stripe_invoice_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def of_subscription(vendor_id: int, stripe_subscription_id: str) -> set[tuple[str | None, str, int, int]]:
    """The vendor's invoices of one of Stripe's subscriptions as they stand: Stripe's id, status, due and paid."""
    rows = db.session.execute(
        select(Invoice.stripe_invoice_id, Invoice.status, Invoice.due_minor, Invoice.paid_minor).where(
            Invoice.vendor_id == vendor_id, Invoice.stripe_subscription_id == stripe_subscription_id
        )
    )
    return {(row.stripe_invoice_id, row.status, row.due_minor, row.paid_minor) for row in rows}


def _values(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__dataclass_fields__}


def _mirror_lines(invoice: Invoice, vendor_id: int, lines: tuple[Line, ...]) -> None:
    wanted = [_values(line) for line in lines]
    present = [{name: getattr(line, name) for name in Line.__dataclass_fields__} for line in invoice.lines]
    if wanted != present:
        invoice.lines = [InvoiceLine(vendor_id=vendor_id, position=i, **v) for i, v in enumerate(wanted)]


def _mirror_taxes(invoice: Invoice, taxes: tuple[PaidTax, ...]) -> None:
    """Most invoices have none, and then nothing is asked; what is there is compared before it is written."""
    if not taxes and not invoice.tax_minor:
        return
    mine = (InvoiceTax.vendor_id == invoice.vendor_id, InvoiceTax.invoice_id == invoice.id)
    present = list(db.session.scalars(select(InvoiceTax).where(*mine).order_by(InvoiceTax.position)))
    wanted = [asdict(tax) for tax in taxes]
    if wanted == [{name: getattr(row, name) for name in PaidTax.__dataclass_fields__} for row in present]:
        return
    for row in present:
        db.session.delete(row)
    db.session.add_all(
        InvoiceTax(vendor_id=invoice.vendor_id, invoice_id=invoice.id, position=at, **values)
        for at, values in enumerate(wanted)
    )
    db.session.flush()


def _mirror_payments(invoice: Invoice, remote: StripeInvoice) -> None:
    for paid in remote.payments:
        values = {
            "vendor_id": invoice.vendor_id,
            "invoice_id": invoice.id,
            "provider": "stripe",
            "reference": paid.reference,
            "status": paid.status,
            "currency": remote.currency,
            "amount_minor": paid.amount_minor,
            "at": paid.at,
        }
        insert_once(Payment, values, ["provider", "reference"])


def mark_applied(invoice: Invoice, now: datetime) -> None:
    """Note that the rights this invoice pays for were granted."""
    invoice.applied_at = now

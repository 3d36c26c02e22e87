"""What has happened to one add-on, across rooms: bought, paid, changed, ended (ADD-5)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.addons.models import VendorAddon
from portal.billing.models import Invoice, InvoiceLine
from portal.billing.rules import InvoiceStatus
from portal.checkout.models import OrderItem, Purchase
from portal.kit.db import db
from portal.kit.money import Money

LONGEST = 50


@dataclass(frozen=True, slots=True)
class PaidLine:
    """An invoice that was asked for it."""

    invoice_id: int
    number: str
    status: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True)
class AddonHistory:
    """Its purchase and its invoices, newest first."""

    bought_at: datetime | None
    bought_for: Money | None
    invoices: tuple[PaidLine, ...]


def of_addon(vendor_id: int, addon_id: int) -> AddonHistory:
    """The purchase and the invoices of a vendor's add-on; two statements."""
    bought = db.session.execute(
        select(Purchase.paid_at, Purchase.amount_minor, Purchase.currency)
        .join(OrderItem, OrderItem.order_id == Purchase.order_id)
        .join(VendorAddon, VendorAddon.order_item_id == OrderItem.id)
        .where(Purchase.vendor_id == vendor_id, VendorAddon.id == addon_id, VendorAddon.vendor_id == vendor_id)
    ).first()
    return AddonHistory(
        bought.paid_at if bought else None,
        Money(bought.amount_minor, bought.currency) if bought else None,
        tuple(_invoices(vendor_id, addon_id)),
    )


def _invoices(vendor_id: int, addon_id: int) -> list[PaidLine]:
    """Ours name it on their lines; Stripe's are those of its own subscription."""
    ours = select(InvoiceLine.invoice_id).where(
        InvoiceLine.vendor_id == vendor_id, InvoiceLine.vendor_addon_id == addon_id
    )
    own = (
        select(VendorAddon.stripe_subscription_id)
        .where(VendorAddon.id == addon_id, VendorAddon.vendor_id == vendor_id)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(
            Invoice.id, Invoice.number, Invoice.proforma_number, Invoice.status, Invoice.total_minor, Invoice.currency,
            Invoice.issued_at,
        )
        .where(Invoice.vendor_id == vendor_id, Invoice.status != InvoiceStatus.DRAFT)
        .where(Invoice.id.in_(ours) | (Invoice.stripe_subscription_id == own))
        .order_by(Invoice.issued_at.desc(), Invoice.id.desc())
        .limit(LONGEST)
    )  # fmt: skip
    return [
        PaidLine(r.id, r.number or r.proforma_number or "", r.status, Money(r.total_minor, r.currency), r.issued_at)
        for r in rows
    ]

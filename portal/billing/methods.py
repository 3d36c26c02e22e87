"""Payment methods kept at Stripe, as rows of ours. The caller of what writes holds the vendor's lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import bindparam, select

from portal.billing import method_rules
from portal.billing.method_rules import Expiry, Kept
from portal.billing.models import Invoice, PaymentMethod
from portal.billing.rules import InvoiceStatus
from portal.kit.db import db
from portal.kit.direct import Direct
from portal.kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Method:
    """A payment method as pages show it; ``is_default`` pays the plan. ``reference`` is Stripe's id."""

    id: int
    reference: str
    kind: str
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    is_default: bool

    def expiry(self, today: date) -> Expiry:
        """Has it run out, or is it about to?"""
        return method_rules.expiry(self.exp_month, self.exp_year, today)

    @property
    def expires(self) -> str | None:
        """Month and year as printed on the card."""
        return f"{self.exp_month:02}/{self.exp_year}" if self.exp_month and self.exp_year else None


def of_vendor(vendor_id: int) -> list[Method]:
    """What the vendor can pay with, the default first, then the newest."""
    rows = db.session.scalars(
        select(PaymentMethod)
        .where(PaymentMethod.vendor_id == vendor_id, PaymentMethod.removed_at.is_(None))
        .order_by(PaymentMethod.is_default.desc(), PaymentMethod.created_at.desc(), PaymentMethod.id.desc())
        .execution_options(populate_existing=True)
    )
    return [_method(row) for row in rows]


def one(vendor_id: int, method_id: int) -> Method:
    """One of the vendor's own; NotFound for another's or one that is gone."""
    found = next((method for method in of_vendor(vendor_id) if method.id == method_id), None)
    if found is None:
        raise NotFound
    return found


def owner_of(reference: str) -> int | None:
    """The vendor whose payment method this Stripe id is, as far as we know it."""
    return db.session.scalar(select(PaymentMethod.vendor_id).where(PaymentMethod.stripe_payment_method_id == reference))


def default_of(vendor_id: int) -> str | None:
    """Stripe's id of what pays the vendor's plan."""
    row = next(iter(_DEFAULT({"vendor": vendor_id})), None)
    return row.stripe_payment_method_id if row else None


_DEFAULT = Direct(
    select(PaymentMethod.stripe_payment_method_id).where(
        PaymentMethod.vendor_id == bindparam("vendor"), PaymentMethod.is_default, PaymentMethod.removed_at.is_(None)
    )
)


@dataclass(frozen=True, slots=True)
class Payable:
    """An invoice of Stripe's, as paying it needs it."""

    reference: str
    status: InvoiceStatus


def payable(vendor_id: int, invoice_id: int) -> Payable:
    """One of the vendor's own invoices at Stripe, as committed now; NotFound for any other."""
    row = db.session.execute(
        select(Invoice.stripe_invoice_id, Invoice.status).where(
            Invoice.vendor_id == vendor_id, Invoice.id == invoice_id, Invoice.stripe_invoice_id.is_not(None)
        )
    ).first()
    if row is None:
        raise NotFound
    return Payable(row.stripe_invoice_id, InvoiceStatus(row.status))


def _method(row: PaymentMethod) -> Method:
    s = row.shown
    return Method(
        row.id, row.stripe_payment_method_id, row.kind, s["brand"], s["last4"], s["exp_month"], s["exp_year"],
        row.is_default,
    )  # fmt: skip


def keep(vendor_id: int, found: Sequence[Kept], default: str | None, *, now: datetime) -> bool:
    """Make our rows equal to what Stripe keeps for the vendor's customer; True when anything differed."""
    rows = {
        row.stripe_payment_method_id: row
        for row in db.session.scalars(select(PaymentMethod).where(PaymentMethod.vendor_id == vendor_id))
    }
    differed = False
    for kept in found:
        row = rows.pop(kept.reference, None)
        if row is None:
            row = PaymentMethod(vendor_id=vendor_id, stripe_payment_method_id=kept.reference, created_at=now)
            db.session.add(row)
        wanted = {"kind": kept.kind, "shown": kept.shown(), "is_default": kept.reference == default, "removed_at": None}
        differed |= any(getattr(row, name) != value for name, value in wanted.items())
        for name, value in wanted.items():
            setattr(row, name, value)
    for row in rows.values():
        differed |= row.removed_at is None
        row.removed_at, row.is_default = row.removed_at or now, False
    db.session.flush()
    return differed

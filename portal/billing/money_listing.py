"""Money in and out of a vendor's invoices in one list, newest first (BIL-4)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Subquery, literal, select, union_all

from portal.billing.models import Invoice, Payment, Refund
from portal.kit import paging
from portal.kit.money import Money
from portal.kit.paging import Page

PAGE_SIZE = 20


@dataclass(frozen=True, slots=True)
class Movement:
    """A payment (more than zero) or a refund (less); ``state`` in the words of its table."""

    kind: Literal["payment", "refund"]
    at: datetime
    amount: Money
    provider: str
    reference: str | None
    state: str
    invoice_id: int | None
    number: str | None


def page(vendor_id: int, cursor: str | None, *, size: int = PAGE_SIZE) -> Page[Movement]:
    """One page in one query."""
    paging.check(cursor, (datetime, str, int))
    both = _movements(vendor_id)
    statement: Any = select(both, Invoice.number, Invoice.proforma_number).outerjoin(
        Invoice, (Invoice.id == both.c.invoice_id) & (Invoice.vendor_id == vendor_id)
    )
    keys = [(both.c.at, "desc"), (both.c.kind, "desc"), (both.c.id, "desc")]
    found = paging.fetch(statement, keys, cursor, size)  # type: ignore[arg-type] # the words are its directions
    return Page([_movement(row) for row in found.rows], found.previous, found.next)


def _movements(vendor_id: int) -> Subquery:
    paid = select(
        literal("payment").label("kind"), Payment.id, Payment.at, Payment.amount_minor, Payment.currency,
        Payment.provider, Payment.reference, Payment.status.label("state"), Payment.invoice_id,
    ).where(Payment.vendor_id == vendor_id)  # fmt: skip
    back = (
        select(
            literal("refund").label("kind"), Refund.id, Refund.created_at.label("at"),
            (-Refund.amount_minor).label("amount_minor"), Refund.currency, Refund.provider, Refund.reference,
            Refund.state, Payment.invoice_id,
        )
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.vendor_id == vendor_id, Payment.vendor_id == vendor_id)
    )  # fmt: skip
    return union_all(paid, back).subquery("movements")


def _movement(row: Any) -> Movement:
    return Movement(
        kind=row.kind,
        at=row.at,
        amount=Money(row.amount_minor, row.currency),
        provider=row.provider,
        reference=row.reference,
        state=row.state,
        invoice_id=row.invoice_id,
        number=row.number or row.proforma_number,
    )

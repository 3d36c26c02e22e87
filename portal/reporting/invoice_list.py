"""The back office's list of invoices over all vendors: search, filters, keyset paging in one query, export (ADM-8)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select

from portal.billing import listing
from portal.billing.listing import COLUMNS, KEYS, Listed
from portal.billing.models import Invoice
from portal.billing.rules import InvoiceStatus
from portal.identity.models import Vendor
from portal.kit import paging
from portal.kit.money import Money, minor_digits
from portal.kit.paging import Page
from portal.reporting.rules import search_words, spellings

PAGE_SIZE = 25
#: Rows that an export reads at a time.
BATCH = 500
OVERDUE = "overdue"
STATUSES = {**listing.STATUSES, "uncollectible": InvoiceStatus.UNCOLLECTIBLE}
PROVIDERS = ("stripe", "transfer")


@dataclass(frozen=True, slots=True)
class InvoiceFilter:
    """What the list shows; every value has passed ``read`` or is the program's own."""

    words: str = ""
    status: str = ""
    provider: str = ""
    vendor_id: int | None = None

    @property
    def is_narrowed(self) -> bool:
        """Does anything leave invoices out?"""
        return bool(self.words or self.status or self.provider or self.vendor_id)


def read(args: dict[str, str]) -> InvoiceFilter:
    """The filter that an address asks for; what means nothing is left out, so that the page shows what it applies."""
    status, provider, vendor = args.get("status", ""), args.get("provider", ""), args.get("vendor", "")
    return InvoiceFilter(
        words=search_words(args.get("q")),
        status=status if status in STATUSES or status == OVERDUE else "",
        provider=provider if provider in PROVIDERS else "",
        vendor_id=int(vendor) if re.fullmatch(r"[1-9][0-9]{0,17}", vendor, re.ASCII) else None,
    )


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice with whose it is."""

    listed: Listed
    vendor: str
    vendor_code: str


def page(wanted: InvoiceFilter, cursor: str | None, *, now: datetime, size: int = PAGE_SIZE) -> Page[InvoiceRow]:
    """One page, newest first, in one query. NotFound for a cursor that this list did not make."""
    paging.check(cursor, (datetime, int))
    found = paging.fetch(_statement(wanted, now), KEYS, cursor, size)
    rows = [InvoiceRow(listing.row(row, now), row.vendor, row.vendor_code) for row in found.rows]
    return Page(rows, found.previous, found.next)


def _statement(wanted: InvoiceFilter, now: datetime) -> Select[Any]:
    statement: Any = (
        select(*COLUMNS, Vendor.name.label("vendor"), Vendor.code.label("vendor_code"))
        .join(Vendor, Vendor.id == Invoice.vendor_id)
        .where(Invoice.status != InvoiceStatus.DRAFT, *_conditions(wanted, now))
    )
    narrowed: Select[Any] = statement
    return narrowed


def _conditions(wanted: InvoiceFilter, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.words:
        found.append(_matches(wanted.words))
    if wanted.status == OVERDUE:
        found.append(_overdue(now))
    elif wanted.status:
        found.append(Invoice.status == STATUSES[wanted.status])
    if wanted.vendor_id:
        found.append(Invoice.vendor_id == wanted.vendor_id)
    if wanted.provider:
        found.append(Invoice.provider == wanted.provider)
    return found


def _overdue(now: datetime) -> ColumnElement[bool]:
    """Past its day; a card is charged on the day itself, so an open invoice of Stripe's is late at once."""
    late = or_(Invoice.due_at <= now, and_(Invoice.due_at.is_(None), Invoice.provider == "stripe"))
    return and_(Invoice.status == InvoiceStatus.OPEN, late)


def _matches(words: str) -> ColumnElement[bool]:
    """The beginning of a number, or any part of a vendor's name or code."""
    number = words.upper()
    parts: list[ColumnElement[bool]] = [
        Invoice.number.startswith(number, autoescape=True),
        Invoice.proforma_number.startswith(number, autoescape=True),
        Vendor.code.contains(words.casefold(), autoescape=True),
        *(Vendor.name.icontains(spelt, autoescape=True) for spelt in spellings(words)),
    ]
    return or_(*parts)


#: The head of an export; names a program can rely on, so they are not translated.
EXPORTED = (
    "number", "issued", "due", "vendor_code", "vendor", "provider", "status", "reason", "currency", "net", "tax",
    "total", "paid", "credited", "refunded",
)  # fmt: skip


def export(wanted: InvoiceFilter, *, now: datetime) -> Iterator[list[str]]:
    """Every invoice of the filter as cells under EXPORTED, read in batches, so that length costs no memory."""
    cursor: str | None = None
    while True:
        found = paging.fetch(_statement(wanted, now), KEYS, cursor, BATCH)
        yield from (_cells(row) for row in found.rows)
        cursor = found.next
        if cursor is None:
            return


def _cells(row: Any) -> list[str]:
    amounts = (
        row.subtotal_minor, row.tax_minor, row.total_minor, row.paid_minor, row.credited_minor, row.refunded_minor,
    )  # fmt: skip
    words = (row.vendor_code, row.vendor, row.provider, row.status, row.reason, row.currency)
    return [
        defused(row.number or row.proforma_number or ""),
        row.issued_at.date().isoformat(),
        row.due_at.date().isoformat() if row.due_at else "",
        *(defused(word) for word in words),
        *(plain(Money(minor, row.currency)) for minor in amounts),
    ]


_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")


def defused(cell: str) -> str:
    """A cell that a spreadsheet takes for text: what begins like a formula, in wide letters too, gets an apostrophe."""
    return f"'{cell}" if cell[:1] in _FORMULA else cell


def plain(amount: Money) -> str:
    """An amount as a program reads it: 1234.50."""
    return str(Decimal(amount.minor).scaleb(-minor_digits(amount.currency)))

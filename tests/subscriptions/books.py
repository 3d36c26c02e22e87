"""A vendor's papers in two short reads, for tests that look at them after every step."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from sqlalchemy import bindparam, func, select

from portal.billing.models import Invoice, InvoiceLine
from portal.kit.db import db
from portal.subscriptions.models import Trial

_VENDOR = bindparam("vendor")
#: Built once: making the text anew takes longer than the answer.
_TRIALS = select(func.count()).select_from(Trial).where(Trial.vendor_id == _VENDOR)
_LINES = (
    select(
        Invoice.id, Invoice.total_minor, Invoice.tax_minor, Invoice.reason, Invoice.status,
        InvoiceLine.amount_minor, InvoiceLine.proration, InvoiceLine.period_start, InvoiceLine.period_end,
    )
    .outerjoin(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
    .where(Invoice.vendor_id == _VENDOR)
)  # fmt: skip


@dataclass
class Paper:
    """An invoice: what it asks, what its lines and taxes say, and the periods that were paid with it."""

    total: int
    parts: int
    periods: list[tuple[datetime, datetime]] = field(default_factory=list)


def trials(vendor_id: int) -> int:
    """How many trials the vendor was given."""
    return int(db.session.connection().execute(_TRIALS, {"vendor": vendor_id}).scalar_one())


def papers(vendor_id: int) -> Iterable[Paper]:
    """All invoices of the vendor."""
    found: dict[int, Paper] = {}
    for row in db.session.connection().execute(_LINES, {"vendor": vendor_id}):
        paper = found.setdefault(row.id, Paper(row.total_minor, row.tax_minor))
        paper.parts += row.amount_minor or 0
        if (row.reason, row.status, row.proration) == ("subscription_cycle", "paid", False):
            paper.periods.append((row.period_start, row.period_end))
    return found.values()


def assert_apart(periods: list[tuple[datetime, datetime]]) -> None:
    """Paid periods never overlap."""
    for (_, end), (start, _) in pairwise(sorted(periods)):
        assert end <= start

"""Numbers without gaps: each series counts from one every year."""

from datetime import datetime

from sqlalchemy import select

from portal.billing.models import NumberSeries
from portal.billing.rules import Series
from portal.kit.db import db, insert_once
from portal.settings import queries as settings


def next_number(series: Series, now: datetime) -> str:
    """The next number, such as INV-2027-00001, in the year (UTC) of ``now``.

    Taken under a lock that is held until the caller's transaction ends: rolled back, the number is free again. All
    series of the year are locked together and in one order, so that two transactions which need several never wait
    for each other. Lock vendors and invoices before.
    """
    rows = _lock(now.year)
    if len(rows) < len(Series):
        for each in sorted(Series):
            insert_once(NumberSeries, {"series": each, "year": now.year, "last": 0}, ["series", "year"])
        rows = _lock(now.year)
    row = rows[series]
    row.last += 1
    db.session.flush()
    return f"{_prefix(series)}-{now.year}-{row.last:05d}"


def _lock(year: int) -> dict[str, NumberSeries]:
    rows = db.session.scalars(
        select(NumberSeries)
        .where(NumberSeries.year == year)
        .order_by(NumberSeries.series)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.series: row for row in rows}


def _prefix(series: Series) -> str:
    operator = settings.current()
    prefixes = {
        Series.INVOICE: operator.invoice_prefix,
        Series.CREDIT_NOTE: operator.credit_note_prefix,
        Series.PROFORMA: operator.proforma_prefix,
    }
    return prefixes[series]

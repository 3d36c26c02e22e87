"""The operator's table of taxes: what vendors of a country pay on top of a price (BIL-4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.billing.models import TaxRate
from portal.kit.actor import Actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid, NotFound
from portal.kit.text import N_


@dataclass(frozen=True, slots=True)
class RateRow:
    """A line of the table; ``valid_until`` is the first day on which it holds no longer."""

    id: int
    country: str
    label: str
    rate_bp: int
    valid_from: date
    valid_until: date | None


def table() -> Sequence[RateRow]:
    """Every line, by country, the newest first."""
    rows = db.session.scalars(select(TaxRate).order_by(TaxRate.country, TaxRate.valid_from.desc()))
    return [RateRow(r.id, r.country, r.label, r.rate_bp, r.valid_from, r.valid_until) for r in rows]


def one(rate_id: int) -> RateRow:
    """A line of the table; NotFound for none."""
    found = next((row for row in table() if row.id == rate_id), None)
    if found is None:
        raise NotFound
    return found


def parse_rate(text: str) -> int:
    """19, 8.1 or 5,5 (percent, two digits behind the comma at most) in hundredths of a percent.

    Raises Invalid (field ``rate``).
    """
    found = re.fullmatch(r"([0-9]{1,3})(?:[.,]([0-9]{1,2}))?\s*%?", text.strip(), re.ASCII)
    rate_bp = int(found[1] + (found[2] or "").ljust(2, "0")) if found else -1
    if not 0 <= rate_bp <= 10_000:
        raise Invalid(fields={"rate": N_("Enter a rate from 0 to 100, such as 19 or 8.1.")})
    return rate_bp


def add(country: str, label: str, rate_bp: int, valid_from: date, *, actor: Actor, now: datetime) -> None:
    """From a day on, vendors of a country pay this rate. Papers already written do not change.

    Invalid when the country has a rate that begins on that day.
    """
    wrong: dict[str, str] = {}
    if not re.fullmatch(r"[A-Z]{2}", country):
        wrong["country"] = N_("Choose the country.")
    if not 0 < len(label.strip()) <= 80:
        wrong["label"] = N_("Enter what stands on the invoice, such as VAT.")
    if wrong:
        raise Invalid(fields=wrong)
    values = {"country": country, "label": label.strip(), "rate_bp": rate_bp, "valid_from": valid_from}
    if not insert_once(TaxRate, values, ["country", "valid_from"]):
        raise Invalid(fields={"valid_from": N_("This country has a rate that begins on this day already.")})
    told = {**values, "valid_from": valid_from.isoformat()}
    audit.record(actor, "billing.tax_rate_added", vendor_id=None, data=told, now=now)


def end(rate_id: int, last: date | None, *, actor: Actor, now: datetime) -> None:
    """From the day ``last`` on the rate holds no longer; None lets it hold again. One not begun yet can be ended on
    its first day: then it never holds.

    NotFound for no such line; Invalid (field ``valid_until``) for a day before it begins.
    """
    row = db.session.scalar(select(TaxRate).where(TaxRate.id == rate_id).with_for_update())
    if row is None:
        raise NotFound
    if last is not None and last < row.valid_from:
        raise Invalid(fields={"valid_until": N_("The rate cannot end before it begins.")})
    before, row.valid_until = row.valid_until, last
    told = {
        "country": row.country,
        "rate_bp": row.rate_bp,
        "before": before.isoformat() if before else None,
        "after": last.isoformat() if last else None,
    }
    audit.record(actor, "billing.tax_rate_ended", vendor_id=None, data=told, now=now)

"""Which tax falls on a vendor's lines: the operator's table, the vendor's country and VAT number."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from importlib import import_module
from typing import Any

from sqlalchemy import select

from portal.billing.models import TaxRate
from portal.billing.rules import EU, Rate, Tax, rates_on, tax_for
from portal.kit.db import db
from portal.settings import queries as settings


def rates() -> list[Rate]:
    """The whole table, oldest first; it is as long as the list of countries that the operator sells to."""
    rows = db.session.scalars(select(TaxRate).order_by(TaxRate.valid_from, TaxRate.country))
    return [Rate(r.country, r.label, r.rate_bp, r.valid_from, r.valid_until) for r in rows]


def of_lines(starts: Sequence[datetime | None], buyer: dict[str, Any], now: datetime) -> list[Tax | None]:
    """The tax on each line, by the rate on the day its period begins, at the earliest today."""
    table, seller = rates(), settings.current().legal_country
    vat = vat_country(buyer.get("vat_id"))

    def on(day: date) -> Tax | None:
        return tax_for(seller, buyer.get("country"), vat, rates_on(day, table))

    return [on(max(start or now, now).date()) for start in starts]


def stripe_params() -> dict[str, Any]:
    """What a new Stripe subscription is told about taxes: nothing, or to let Stripe Tax work them out.

    Previews, changes and renewals take it over from the subscription.
    """
    return {"automatic_tax": {"enabled": True}} if settings.current().stripe_tax else {}


def vat_country(number: str | None) -> str | None:
    """The country (ISO) of a well-formed VAT number of the EU, else None. Offline: who holds it is not asked."""
    from stdnum.eu import vat

    if not number or not vat.is_valid(number):
        return None
    prefix = vat.compact(number)[:2].upper()
    return "GR" if prefix == "EL" else prefix


def clean_vat_id(number: str, country: str) -> str | None:
    """A VAT number as it is kept, None when it cannot be one of this country.

    The EU's are checked by their check digits and must belong to an EU country (a vendor may hold one of another);
    elsewhere the country's own rule decides where there is one, else letters and digits are enough.
    """
    from stdnum.eu import vat

    plain = re.sub(r"[\s.\-/]", "", number).upper()
    if not re.fullmatch(r"[A-Z0-9]{4,20}", plain):
        return None
    if country in EU:
        return vat.compact(plain) if vat.is_valid(plain) else None
    return plain if _fits(plain, country) else None


def _fits(number: str, country: str) -> bool:
    try:
        module = import_module(f"stdnum.{country.lower()}.vat")
    except ImportError:
        return True
    return bool(module.is_valid(number))

"""The meters of a vendor's pages and the address from which they fetch themselves anew."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.entitlements.rules import Source
from portal.subscriptions import meters as usage
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.meters import Meter, Part, Reading
from portal.subscriptions.queries import Overview
from portal.web.kit import upsell
from portal.web.kit.filters import day, number, translated
from portal.web.vendor.reading import or_none


@dataclass(frozen=True, slots=True)
class Period:
    """The paid (or trial) period that a page was made for; limits per month count from its start."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        """As ISO 8601 writes an interval; the meters' region sends it along."""
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


def of(held: Overview | None) -> Period | None:
    """The period of a subscription."""
    return Period(held.period_start, held.period_end) if held else None


def asked(vendor: VendorAtDoor) -> Period | None:
    """The period in the address while it is still the vendor's, which spares a statement; else it is read anew."""
    start, _, end = request.args.get("period", "").partition("/")
    try:
        period = Period(datetime.fromisoformat(start), datetime.fromisoformat(end))
        sound = period.start < period.end == vendor.period_end
    except (ValueError, TypeError):
        sound = False
    return period if sound else of(or_none(lambda: subscriptions.overview(vendor.id)))


def read(vendor: VendorAtDoor, period: Period | None, now: datetime, *, user_id: int | None = None) -> dict[str, Any]:
    """What the meters' template needs; for a page (``user_id`` is who reads it) also the one upsell, if any.

    ``counted`` None: could not be read; empty: no plan grants anything now.
    """
    reading: Reading | None = None
    if period:
        reading = or_none(lambda: usage.read(vendor.id, period.start, now, user_id=user_id))
    counted: list[Meter] | None = reading.meters if reading else None if period else []
    return {
        "vendor": vendor,
        "counted": counted,
        "meters_href": url_for("vendor_billing.meters", code=vendor.code, period=str(period) if period else None),
        "upsell": upsell.of(vendor, reading) if reading and user_id is not None else None,
        "why": why,
    }


def why(part: Part) -> str:
    """One reason of a limit: "500 from Professional", "+10 from add-ons", "set to 700 by us until 31 March 2027"."""
    amount = number(part.amount) if part.amount is not None else _("unlimited")
    if part.source == Source.TIER:
        return _("%(amount)s from %(tier)s", amount=amount, tier=translated(part.name))
    if part.source == Source.ADDON:
        return _("+%(amount)s from add-ons", amount=amount)
    if part.until is None:
        return _("set to %(amount)s for you by our staff", amount=amount)
    return _("set to %(amount)s for you by our staff until %(date)s", amount=amount, date=day(part.until))

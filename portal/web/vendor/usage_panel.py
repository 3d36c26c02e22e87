"""The meters of a vendor's pages and the address from which they fetch themselves anew."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request, url_for

from portal.accounts.queries import VendorAtDoor
from portal.subscriptions import meters as usage
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.meters import Meter
from portal.subscriptions.queries import Overview
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


def read(vendor: VendorAtDoor, period: Period | None, now: datetime) -> dict[str, Any]:
    """What the meters' template needs. ``counted`` None: could not be read; empty: no plan grants anything now."""
    counted: list[Meter] | None = []
    if period:
        counted = or_none(lambda: usage.meters(vendor.id, period.start, now))
    href = url_for("vendor_billing.meters", code=vendor.code, period=str(period) if period else None)
    return {"vendor": vendor, "counted": counted, "meters_href": href}

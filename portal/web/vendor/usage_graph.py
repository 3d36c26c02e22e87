"""A month of usage as a page draws it: what the address asks for, read in one statement, in the unit people read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _

from portal.catalog.rules import METRIC_NAMES, PER_PERIOD, UNITS, Metric
from portal.reporting import usage_history
from portal.reporting.usage_history import CREDITS, Span
from portal.web.kit import charts
from portal.web.vendor.reading import or_none

BY_SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks the graph for; what it does not name, or names wrongly, is the first of its kind."""

    what: str
    by: str
    span: Span
    last: Span
    is_now: bool

    @property
    def query(self) -> dict[str, str]:
        """As an address carries it."""
        return {"what": self.what, "month": self.span.start.isoformat(), "by": self.by}


def asked(given: Mapping[str, str], anchor: datetime, now: datetime) -> Asked:
    """Read an address; months count from ``anchor``, the start of a period of the subscription."""
    spans = usage_history.spans(anchor, now)
    month = given.get("month", "")
    at = next((i for i, span in enumerate(spans[:-1]) if span.start.isoformat() == month), 0)
    what = given.get("what", "")
    known = what == CREDITS or what in set(Metric)
    by = BY_SOURCE if given.get("by") == BY_SOURCE and what != CREDITS else "day"
    return Asked(what if known else str(Metric.ORDERS), by, spans[at], spans[at + 1], at == 0)


def read(vendor_id: int, asked: Asked, now: datetime) -> dict[str, Any]:
    """What shared/_usage_chart.html needs: one statement. ``chart`` and ``sources`` None: could not be read."""
    of = {"asked": asked, "what_name": name(asked.what), "is_level": _is_level(asked.what), "first": None}
    if asked.by == BY_SOURCE:
        metric = Metric(asked.what)
        return {**of, "chart": None, "sources": or_none(lambda: _sources(vendor_id, metric, asked.span))}
    found = or_none(lambda: usage_history.series(vendor_id, asked.what, asked.span, asked.last, now.date()))
    if found is None:
        return {**of, "chart": None, "sources": None}
    values, others = ([_unit(amount, asked.what) for amount in part] for part in (found.now, found.before))
    chart = charts.by_day(found.days, values, others, asked.last.days())
    return {**of, "chart": chart, "sources": None, "first": found.first}


def name(what: str) -> str:
    """What is drawn, in words."""
    return _("Credits spent") if what == CREDITS else _(METRIC_NAMES[Metric(what)])


def _sources(vendor_id: int, metric: Metric, span: Span) -> list[tuple[str, Any]]:
    """What the month's events were about, in words, with its amount."""
    rows = usage_history.sources(vendor_id, metric, span)
    names = {None: _("No source named"), "": _("All others")}
    return [(names.get(row.name) or str(row.name), _unit(row.amount, metric)) for row in rows]


def _is_level(what: str) -> bool:
    return what != CREDITS and what not in PER_PERIOD


def _unit(amount: int | None, what: str) -> int | Decimal | None:
    """In the unit that people read: gigabytes with two digits."""
    size = UNITS.get(what)  # type: ignore[call-overload]
    return amount if amount is None or size is None else round(Decimal(amount) / size, 2)

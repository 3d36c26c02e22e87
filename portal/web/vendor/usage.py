"""What a vendor uses: meters, the month by day against the one before, month by month, files (LIM-4, LIM-5)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from wtforms import StringField
from wtforms.validators import Regexp

from portal.accounts.queries import VendorAtDoor
from portal.catalog.rules import METRIC_NAMES, Metric
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import dismissals
from portal.reporting import usage_history
from portal.reporting.usage_history import CREDITS, Span
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.meters import Meter
from portal.web.kit import audience, csv_files, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.filters import translated
from portal.web.kit.forms import Form
from portal.web.vendor import usage_alerts, usage_graph, usage_panel
from portal.web.vendor.reading import or_none
from portal.web.vendor.usage_graph import BY_SOURCE, Asked
from portal.web.vendor.usage_panel import Period

blueprint = Blueprint("vendor_usage", __name__)
TEMPLATE = "vendor/usage/page.html"


@blueprint.get("/vendor/<code>/usage")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """The whole page."""
    who, vendor, now = signed_in.person(), signed_in.vendor(), clock.business()
    held = subscriptions.overview(vendor.id)
    period = usage_panel.of(held)
    panel = usage_panel.read(vendor, period, now, user_id=who.user_id)
    since = held.started_at.date() if held else now.date()
    return responder.respond(
        TEMPLATE,
        **panel,
        **_graph(vendor, period, now),
        choices=_choices(panel["counted"] or []),
        months=[span for span in _spans(period, now)[:-1] if span.end > since],
        table=_months(vendor),
        **usage_alerts.read(vendor, panel["counted"]),
    )


@blueprint.get("/vendor/<code>/usage/graph")
@audience.vendor(needs=Needs.ACCOUNT)
def graph(code: str) -> Response:
    """The graph alone, for another metric or month; as a page it is the whole."""
    vendor, now = signed_in.vendor(), clock.business()
    here = {name: request.args[name] for name in ("what", "month", "by") if request.args.get(name)}
    page = url_for("vendor_usage.index", code=vendor.code, _anchor=None, **here)  # type: ignore[arg-type]
    if not responder.is_partial():
        return responder.go(page)
    found = responder.respond(TEMPLATE, "graph", vendor=vendor, **_graph(vendor, usage_panel.asked(vendor), now))
    return responder.shown_at(found, page)


@blueprint.get("/vendor/<code>/usage/export")
@audience.vendor(needs=Needs.ACCOUNT)
def export(code: str) -> Response:
    """A month as CSV, by day or by source. Amounts are in the unit that is counted (bytes for storage)."""
    vendor, now = signed_in.vendor(), clock.business()
    asked = _asked(usage_panel.asked(vendor), now)
    name = f"usage-{vendor.code}-{asked.span.start:%Y-%m-%d}"
    if asked.by == BY_SOURCE:
        rows = usage_history.export_sources(vendor.id, asked.span)
        return csv_files.download(f"{name}-by-source.csv", ("metric", "source", "amount"), rows)
    return csv_files.download(
        f"{name}.csv", ("day", "metric", "amount"), usage_history.export_days(vendor.id, asked.span)
    )


class DismissForm(Form):
    """What the button carries: the name of the upsell, with its month."""

    what = StringField(validators=[Regexp(r"^upsell:[a-z_]{1,40}:(near|reached):\d{4}-\d\d-\d\d\Z")])


@blueprint.post("/vendor/<code>/usage/dismiss")
@audience.vendor(needs=Needs.ACCOUNT)
def dismiss(code: str) -> Response:
    """Do not show this upsell to this person again in this month of usage."""
    who, vendor, form = signed_in.person(), signed_in.vendor(), DismissForm()
    if not form.validate():
        raise Invalid(N_("There is nothing of that name."))
    with unit_of_work():
        dismissals.dismiss(vendor.id, who.user_id, form.what.data or "", now=clock.business())
    if responder.is_partial():
        return responder.vary(Response(""))
    back = responder.safe_next(request.form.get("next"))
    return responder.go(back or url_for("vendor_usage.index", code=vendor.code))


def _choices(counted: list[Meter]) -> list[tuple[str, str]]:
    """What the graph can show: the metrics that the plan measures, and the credits."""
    found = [(str(meter.metric), translated(meter.name)) for meter in counted]
    return [*(found or [(str(Metric.ORDERS), _("Orders"))]), (CREDITS, _("Credits spent"))]


def _spans(period: Period | None, now: datetime) -> list[Span]:
    return usage_history.spans(period.start if period else now, now)


def _asked(period: Period | None, now: datetime) -> Asked:
    return usage_graph.asked(request.args, period.start if period else now, now)


def _graph(vendor: VendorAtDoor, period: Period | None, now: datetime) -> dict[str, Any]:
    return {**usage_graph.read(vendor.id, _asked(period, now), now), "period": period}


@dataclass(frozen=True, slots=True)
class Cell:
    """An amount of a month, and by how many per cent it differs from the month before (None: nothing to compare)."""

    amount: int | None
    change: int | None


def _months(vendor: VendorAtDoor) -> dict[str, Any] | None:
    """What is counted each month beside the months before; None where it could not be read."""
    found = or_none(lambda: usage_history.months(vendor.id))
    if found is None:
        return None
    metrics = [metric for metric in Metric if any(metric in row for row in found.values())]
    starts = list(found)
    rows = [
        (
            start,
            [_cell(found[start].get(m), found[starts[i + 1]].get(m) if i + 1 < len(starts) else None) for m in metrics],
        )
        for i, start in enumerate(starts)
    ]
    return {"heads": [_(METRIC_NAMES[m]) for m in metrics], "rows": rows}


def _cell(amount: int | None, before: int | None) -> Cell:
    change = round(100 * (amount - before) / before) if amount is not None and before else None
    return Cell(amount, change)

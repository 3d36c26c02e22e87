"""The tab of usage on a vendor's page: why each limit is what it is, and the month by day."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.entitlements.rules import Source
from portal.kit import clock
from portal.reporting import vendor_detail
from portal.subscriptions import meters
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.meters import Part
from portal.web.admin import words
from portal.web.kit import audience, filters, responder
from portal.web.vendor import usage_graph, usage_panel

blueprint = Blueprint("admin_vendor_usage", __name__)


def tab(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    """The limits with their reasons. The graph is fetched by itself, and comes along where there is no script."""
    now = clock.business()
    start = _start(vendor_id)
    found: dict[str, Any] = {
        "limits": meters.meters(vendor_id, start, now) if start else [],
        "why": why,
        "words": words,
        "with_graph": not responder.is_partial(),
    }
    return {**found, **_graph(vendor_id, start, now)} if found["with_graph"] else found


@blueprint.get("/admin/vendors/<int:vendor_id>/usage-graph")
@audience.staff()
def graph(vendor_id: int) -> Response:
    """The graph alone, for another metric or month; as a page it is the whole tab."""
    vendor_detail.sound_id(vendor_id)
    here = {name: request.args[name] for name in ("what", "month", "by") if request.args.get(name)}
    if not responder.is_partial():
        vendor_detail.head(vendor_id)
        return responder.go(url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab="usage", **here))  # type: ignore[arg-type]
    start = _start(vendor_id)
    if start is None:
        vendor_detail.head(vendor_id)
    found = _graph(vendor_id, start, clock.business())
    return responder.respond("admin/vendor_detail/_usage_graph.html", vendor_id=vendor_id, **found)


def why(part: Part) -> str:
    """One reason of a limit, as staff speaks of it."""
    if part.source != Source.OVERRIDE:
        return usage_panel.why(part)
    amount = filters.number(part.amount) if part.amount is not None else _("unlimited")
    if part.until is None:
        return _("set to %(amount)s by override", amount=amount)
    return _("set to %(amount)s by override until %(date)s", amount=amount, date=filters.day(part.until))


def _start(vendor_id: int) -> datetime | None:
    """Where the subscription's period began; None before any tier was chosen."""
    held = subscriptions.overview(vendor_id)
    return held.period_start if held else None


def _graph(vendor_id: int, start: datetime | None, now: datetime) -> dict[str, Any]:
    return usage_graph.read(vendor_id, usage_graph.asked(request.args, start or now, now), now)

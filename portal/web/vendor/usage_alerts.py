"""The alerts of usage: which of them the team is told of, and what was said (LIM-6)."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.catalog.rules import METRIC_NAMES, UNITS, Metric
from portal.identity.rules import Role, at_least
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.meters import Meter
from portal.usage import alerts
from portal.usage.rules import THRESHOLDS
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor.reading import or_none

blueprint = Blueprint("vendor_usage_alerts", __name__)


@blueprint.post("/vendor/<code>/usage/alerts")
@audience.vendor(Role.MANAGER, needs=Needs.ACCOUNT)
def choose(code: str) -> Response:
    """Be told of what is ticked; what the form did not show stays as it is."""
    vendor = signed_in.vendor()
    metrics = [_metric(text) for text in request.form.getlist("metric")]
    told = [_pair(text) for text in request.form.getlist("told")]
    with unit_of_work():
        alerts.choose(vendor.id, metrics, told)
    here = url_for("vendor_usage.index", code=vendor.code, _anchor="alerts")
    return responder.done(here, _("Saved. The next alert follows it."), "alerts-changed")


def _metric(text: str) -> Metric:
    if text not in set(Metric):
        raise Invalid(N_("There is no such alert."))
    return Metric(text)


def _pair(text: str) -> tuple[Metric, int]:
    name, _colon, threshold = text.partition(":")
    if threshold not in {str(t) for t in THRESHOLDS}:
        raise Invalid(N_("There is no such alert."))
    return _metric(name), int(threshold)


def read(vendor: VendorAtDoor, counted: list[Meter] | None) -> dict[str, Any]:
    """What the part of the page needs; one query. ``alerts`` None: could not be read."""
    found = or_none(lambda: alerts.of_vendor(vendor.id))
    limited = [meter for meter in counted or [] if meter.limit]
    return {
        "alerts": found,
        "thresholds": THRESHOLDS,
        "limited": limited,
        "said": [_said(alert) for alert in found.raised] if found else [],
        "may_choose": at_least(vendor.role, Role.MANAGER),
    }


def _said(alert: alerts.Raised) -> dict[str, Any]:
    unit = UNITS.get(alert.metric, 1)
    return {
        "name": _(METRIC_NAMES[alert.metric]), "threshold": alert.threshold, "at": alert.at,
        "used": alert.used // unit, "limit": alert.limit // unit,
    }  # fmt: skip

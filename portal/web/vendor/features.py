"""A feature that the plan lacks: what it is, and which plan brings it. Navigation leads here instead of nowhere."""

from flask import Blueprint, Response, url_for

from portal.catalog.rules import FEATURE_NAMES, reaches
from portal.entitlements import ways
from portal.kit import clock
from portal.kit.errors import NotFound
from portal.web.kit import audience, responder, signed_in, upsell
from portal.web.kit.audience import Needs

blueprint = Blueprint("vendor_features", __name__)


@blueprint.get("/vendor/<code>/features/<feature>")
@audience.vendor(needs=Needs.ACCOUNT)
def show(code: str, feature: str) -> Response:
    """The explanation; whoever has the feature is led to the overview of what they use."""
    vendor = signed_in.vendor()
    if feature not in FEATURE_NAMES:
        raise NotFound
    if reaches(feature, vendor.features.get(feature)):
        return responder.go(url_for("vendor_usage.index", code=vendor.code))
    found = ways.for_feature(vendor.id, feature, None, clock.business())
    told = upsell.feature(vendor, feature, found.tier)
    return responder.respond("vendor/features/page.html", vendor=vendor, told=told, feature=feature)

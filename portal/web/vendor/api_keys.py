"""A vendor's own API keys and webhooks (ACC-9). Its plan must include them; what stands may be ended in any case."""

from flask import Blueprint, url_for
from flask_babel import gettext as _

from portal.entitlements import gate
from portal.entitlements.refusals import FeatureMissing
from portal.identity.rules import Role
from portal.kit import clock
from portal.web.kit import api_pages, audience, signed_in
from portal.web.kit.api_pages import Place
from portal.web.kit.callers import FEATURE

blueprint = Blueprint("vendor_api_keys", __name__)


def _place() -> Place:
    vendor = signed_in.vendor()
    return Place(
        name=blueprint.name,
        layout="shared/layout_vendor.html",
        vendor_id=vendor.id,
        vendor_name=vendor.name,
        args={"code": vendor.code},
        missing=lambda: not gate.has(vendor.id, FEATURE, now=clock.business()),
        need=lambda: _need(vendor.id, vendor.code),
    )


def _need(vendor_id: int, code: str) -> None:
    """Raise FeatureMissing, with the way to a plan that has it."""
    try:
        gate.require_feature(vendor_id, FEATURE, now=clock.business())
    except FeatureMissing as error:
        error.action = (_("Compare the plans"), url_for("vendor_plans.index", code=code))
        raise


api_pages.hang(blueprint, "/vendor/<code>/api-keys", audience.vendor(role=Role.OWNER), _place)

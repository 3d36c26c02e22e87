"""What the vendor has bought (BIL-6)."""

from flask import Blueprint, Response, request

from portal.checkout import purchases
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs

blueprint = Blueprint("vendor_purchases", __name__)


@blueprint.get("/vendor/<code>/purchases")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """A page of purchases, newest first; two statements with the frame's."""
    vendor = signed_in.vendor()
    found = purchases.of_vendor(vendor.id, request.args.get("page"))
    return responder.respond("vendor/purchases/page.html", "results", vendor=vendor, found=found)

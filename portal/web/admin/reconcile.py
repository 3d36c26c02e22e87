"""One vendor compared with Stripe, field by field, before anything is repaired."""

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.identity.rules import StaffKind
from portal.kit import tenancy
from portal.kit.errors import PortalError
from portal.reporting import vendor_detail
from portal.stripe_events import reconcile
from portal.stripe_events.reconcile import Difference
from portal.web.admin import difference_words
from portal.web.admin.vendor_detail import MAY_CHANGE
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.filters import error_text

blueprint = Blueprint("admin_reconcile", __name__)
TEMPLATE = "admin/reconcile/page.html"


@blueprint.get("/admin/vendors/<int:vendor_id>/stripe")
@audience.staff()
def compare(vendor_id: int) -> Response:
    """Ask Stripe how things stand and show what differs; nothing is changed by looking."""
    head = vendor_detail.head(vendor_id)
    if head.stripe_customer_id is None:
        return _show(vendor_id, [])
    try:
        with tenancy.scoped(vendor_id):
            return _show(vendor_id, reconcile.compare(vendor_id))
    except PortalError as error:
        return _show(vendor_id, [], error)


@blueprint.post("/admin/vendors/<int:vendor_id>/stripe")
@audience.staff(StaffKind.FINANCE)
def repair(vendor_id: int) -> Response:
    """Take over what Stripe says; done twice, the second time changes nothing."""
    head = vendor_detail.head(vendor_id)
    try:
        with tenancy.scoped(vendor_id):
            gone = reconcile.repair(vendor_id, actor=signed_in.actor())
            left = reconcile.compare(vendor_id)
    except PortalError as error:
        return _show(vendor_id, [], error)
    if any(each.repairable for each in left):
        return _show(vendor_id, left, status=409)
    message = (
        ngettext("%(num)d difference of %(vendor)s is repaired.", "%(num)d differences of %(vendor)s are repaired.",
                 len(gone), vendor=head.name)
        if gone
        else _("%(vendor)s is in step with Stripe.", vendor=head.name)
    )  # fmt: skip
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    return responder.done(here, message, "subscription-changed", "history-changed", "credits-changed")


def _show(
    vendor_id: int, found: list[Difference], error: PortalError | None = None, status: int | None = None
) -> Response:
    return responder.respond(
        TEMPLATE,
        "modal",
        # A fragment that says what went wrong must be swapped in; a 5xx never is.
        status=status or (error.status if error and not responder.is_partial() else 200),
        head=vendor_detail.head(vendor_id),
        lines=[difference_words.line(each) for each in found],
        repairable=sum(each.repairable for each in found),
        may_repair=signed_in.person().staff in MAY_CHANGE,
        problem_text=error_text(error) if error else None,
        left=status == 409,
    )

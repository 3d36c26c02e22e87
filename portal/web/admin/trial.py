"""Giving a vendor more trial days (ADM-3)."""

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, IntegerField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Regexp

from portal.identity.rules import StaffKind
from portal.kit.errors import Conflict, Invalid
from portal.reporting import vendor_detail
from portal.subscriptions import flows, queries
from portal.subscriptions.service import LONGEST_EXTENSION
from portal.web.admin.vendor_detail import has_trial
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_trial", __name__)
TEMPLATE = "admin/trial/page.html"


class ExtendTrialForm(Form):
    """How many days more, and why."""

    days = IntegerField(
        _l("Days"),
        default=14,
        validators=[
            InputRequired(_l("Give between 1 and 90 days.")),
            NumberRange(1, LONGEST_EXTENSION, _l("Give between 1 and 90 days.")),
        ],
    )
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )
    base_version = HiddenField(
        validators=[Regexp(r"^\d{1,18}$", message=_l("This form is out of date. Load the page again, then send it."))]
    )


@blueprint.get("/admin/vendors/<int:vendor_id>/trial")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal, or the page where there is no JavaScript."""
    return _show(vendor_id, ExtendTrialForm(None))


@blueprint.post("/admin/vendors/<int:vendor_id>/trial")
@audience.staff(StaffKind.FINANCE)
def extend(vendor_id: int) -> Response:
    """Give the days. What fails comes back in the same form, with the state as it is now."""
    head = vendor_detail.head(vendor_id)
    filled = ExtendTrialForm()
    if not filled.validate():
        return _show(vendor_id, filled, 422)
    try:
        ends = flows.extend_trial(
            vendor_id, filled.days.data, reason=filled.reason.data, actor=signed_in.actor(),
            base_version=int(filled.base_version.data),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        filled.base_version.data = None
        return _show(vendor_id, filled, error.status)
    message = _("The trial of %(vendor)s runs until %(day)s now.", vendor=head.name, day=filters.day(ends))
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    return responder.done(here, message, "subscription-changed", "history-changed")


def _show(vendor_id: int, filled: ExtendTrialForm, status: int = 200) -> Response:
    head, overview = vendor_detail.head(vendor_id), queries.overview(vendor_id)
    if not filled.base_version.data:
        filled.base_version.data = str(overview.version) if overview else "0"
    possible = overview is not None and has_trial(overview)
    return responder.respond(
        TEMPLATE, "modal", status=status, head=head, overview=overview, form=filled, possible=possible
    )

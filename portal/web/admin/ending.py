"""Ending a vendor's subscription from the back office, with a reason, and letting it go on (ADM-3, SUB-7)."""

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, HiddenField, RadioField, SelectChoice, SelectField, TextAreaField
from wtforms.validators import AnyOf, DataRequired, InputRequired, Length, Optional, Regexp

from portal.identity.rules import StaffKind
from portal.kit.errors import Conflict, Invalid, Unavailable
from portal.reporting import vendor_detail
from portal.subscriptions import ending_flows, queries
from portal.subscriptions.endings import COMMENT_MAX, Wish
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import Feedback
from portal.web.admin import words
from portal.web.admin.vendor_detail import ending_choices
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_ending", __name__)
TEMPLATE = "admin/ending/page.html"
EVENTS = ("subscription-changed", "credits-changed", "usage-changed", "history-changed")
AT_END, NOW = "end", "now"


class CancelForm(Form):
    """When, why, and whether the vendor is written to."""

    when = RadioField(
        _l("When"),
        choices=[SelectChoice(AT_END, ""), SelectChoice(NOW, "")],
        validate_choice=False,
        validators=[
            InputRequired(_l("Choose when the subscription ends.")),
            AnyOf([AT_END, NOW], _l("Choose when the subscription ends.")),
        ],
    )
    feedback = SelectField(
        _l("The vendor's reason"),
        choices=[SelectChoice("", ""), *(SelectChoice(str(code), "") for code in Feedback)],
        validators=[Optional()],
    )
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=COMMENT_MAX, message=_l("Use at most 500 characters.")),
        ],
    )
    notify = BooleanField(_l("Write the vendor a mail"), default=True)
    base_version = HiddenField(
        validators=[Regexp(r"^\d{1,18}$", message=_l("This form is out of date. Load the page again, then send it."))]
    )


class ResumeForm(Form):
    """What the button carries: the version of the subscription that the person saw."""

    base_version = HiddenField(validators=[Regexp(r"^\d{1,18}$")])


@blueprint.get("/admin/vendors/<int:vendor_id>/cancel")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal, or the page where there is no JavaScript."""
    return _show(vendor_id, CancelForm(None))


@blueprint.post("/admin/vendors/<int:vendor_id>/cancel")
@audience.staff(StaffKind.FINANCE)
def cancel(vendor_id: int) -> Response:
    """End it. What fails comes back in the same form, with the state as it is now."""
    head, filled = vendor_detail.head(vendor_id), CancelForm()
    if not filled.validate():
        return _show(vendor_id, filled, 422)
    at_once = filled.when.data == NOW
    wish = Wish(at_once, filled.feedback.data or None, filled.reason.data, filled.notify.data)
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    try:
        now = ending_flows.cancel(vendor_id, wish, actor=signed_in.actor(), base_version=int(filled.base_version.data))
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        filled.base_version.data = None
        return _show(vendor_id, filled, error.status)
    except Unavailable:
        message = _(
            "Stripe does not answer right now. The cancellation is written down, and the portal goes on trying."
        )
        return responder.done(here, message, *EVENTS, level="warning")
    if at_once:
        message = _("The subscription of %(vendor)s has ended.", vendor=head.name)
    else:
        ends = filters.day(now.ends_at)
        message = _("The subscription of %(vendor)s ends on %(day)s.", vendor=head.name, day=ends)
    return responder.done(here, message, *EVENTS)


@blueprint.post("/admin/vendors/<int:vendor_id>/resume")
@audience.staff(StaffKind.FINANCE)
def resume(vendor_id: int) -> Response:
    """Take the cancellation back; a second click changes nothing."""
    vendor_detail.head(vendor_id)
    filled = ResumeForm()
    if not filled.validate():
        raise Conflict
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    try:
        ending_flows.resume(vendor_id, actor=signed_in.actor(), base_version=int(filled.base_version.data))
    except Unavailable:
        message = _("Stripe does not answer right now. This is written down, and we go on trying.")
        return responder.done(here, message, *EVENTS, level="warning")
    return responder.done(here, _("The cancellation is taken back."), *EVENTS)


def _show(vendor_id: int, filled: CancelForm, status: int = 200) -> Response:
    head, overview = vendor_detail.head(vendor_id), queries.overview(vendor_id)
    if not filled.base_version.data:
        filled.base_version.data = str(overview.version) if overview else "0"
    possible = ending_choices(overview)
    filled.when.choices = [SelectChoice(choice, _words(choice, overview)) for choice in possible if overview]
    filled.feedback.choices = [
        SelectChoice("", _("Not said")),
        *(SelectChoice(str(code), words.feedback(code)) for code in Feedback),
    ]
    if possible and filled.when.data not in possible:
        filled.when.data = possible[0]
    return responder.respond(
        TEMPLATE, "modal", status=status, head=head, overview=overview, form=filled, possible=possible
    )


def _words(choice: str, overview: Overview) -> str:
    if choice == NOW:
        return _("Now: the product closes at once")
    return _("On %(day)s, at the end of the period", day=filters.day(overview.paid_until or overview.period_end))

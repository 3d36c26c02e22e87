"""What a vendor's invoices say about it (BIL-4): legal name, address, VAT number, where they are sent."""

from dataclasses import asdict

from flask import Blueprint, Response, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectField, StringField, TextAreaField
from wtforms.validators import Length

from portal.billing import details
from portal.billing.details import LONGEST
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, countries, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_billing_details", __name__)
TEMPLATE = "vendor/billing_details/page.html"


def _short(name: str) -> Length:
    return Length(max=LONGEST[name], message=_l("This is too long."))


class DetailsForm(Form):
    """The room decides what fits; here is only how much a box takes."""

    legal_name = StringField(_l("Legal name"), validators=[_short("legal_name")])
    street = TextAreaField(_l("Street and number"), validators=[_short("street")])
    postcode = StringField(_l("Postcode"), validators=[_short("postcode")])
    city = StringField(_l("City"), validators=[_short("city")])
    country = SelectField(_l("Country"), choices=countries.choices, validate_choice=False)
    vat_id = StringField(_l("VAT number"), validators=[_short("vat_id")])
    email = StringField(_l("Email for invoices"), validators=[_short("email")])


@blueprint.route("/vendor/<code>/billing-details", methods=["GET", "POST"])
@audience.vendor(Role.MANAGER, needs=Needs.ACCOUNT)
def form(code: str) -> Response:
    """The form. ``?next=`` is a page of ours that asked for the details and gets the person back."""
    vendor, back = signed_in.vendor(), responder.safe_next(request.values.get("next"))
    if request.method == "GET":
        return _show(DetailsForm(None, data=asdict(details.read(vendor.id))), back)
    filled = DetailsForm()
    if not filled.validate():
        return _show(filled, back, 422)
    try:
        found = details.clean(filled.data)
    except Invalid as error:
        filled.refuse(error)
        return _show(filled, back, 422)
    with unit_of_work():
        details.change(vendor.id, found, actor=signed_in.actor(), now=clock.business())
    flash(_("Saved. Invoices from now on say this."), "success")
    return responder.go(back or url_for("vendor_billing_details.form", code=vendor.code))


def _show(filled: DetailsForm, back: str | None, status: int = 200) -> Response:
    vendor = signed_in.vendor()
    return responder.respond(TEMPLATE, status=status, vendor=vendor, form=filled, back=back)

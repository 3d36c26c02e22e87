"""Writing down that what stood on a vendor's balance was sent back by bank transfer."""

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Regexp

from portal.billing import payouts
from portal.billing.payouts import PayOut
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money, parse_minor
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.reporting import vendor_detail
from portal.subscriptions import queries
from portal.subscriptions.history import lock_if_any
from portal.web.admin.refund import typed
from portal.web.admin.vendor_detail import on_balance
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_payout", __name__)
TEMPLATE = "admin/payout/page.html"
CHANGED = ("subscription-changed", "history-changed", "invoices-changed")
AMOUNT = N_("Enter an amount above 0, such as 48.39.")


class PayOutForm(Form):
    """How much was sent by which transfer, and why. ``seen`` is what the balance was when the form was shown."""

    amount = StringField(_l("Amount"), validators=[DataRequired(_l("Enter an amount above 0, such as 48.39."))])
    reference = StringField(
        _l("Reference of your transfer"), validators=[Length(max=100, message=_l("Use at most 100 characters."))]
    )
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )
    seen = HiddenField(validators=[Regexp(r"^\d{1,18}$")])

    def wish(self, currency: str) -> PayOut:
        """What is asked for; Invalid at the field for what is no amount."""
        try:
            minor = parse_minor(self.amount.data, currency)
        except ValueError as error:
            raise Invalid(fields={"amount": AMOUNT}) from error
        return PayOut(Money(minor, currency), (self.reference.data or "").strip(), self.reason.data,
                      int(self.seen.data))  # fmt: skip


@blueprint.get("/admin/vendors/<int:vendor_id>/payout")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal, or the page where there is no JavaScript."""
    return _show(vendor_id, PayOutForm(None), afresh=True)


@blueprint.post("/admin/vendors/<int:vendor_id>/payout")
@audience.staff(StaffKind.FINANCE)
def pay_out(vendor_id: int) -> Response:
    """Write it down. What fails comes back in the same form, with the balance as it is now."""
    head, filled = vendor_detail.head(vendor_id), PayOutForm()
    present = on_balance(vendor_id, queries.overview(vendor_id))
    end_reading()
    if present is None or not present.minor:
        return _show(vendor_id, filled, 409)
    if not filled.validate():
        return _show(vendor_id, filled, 422)
    try:
        wish = filled.wish(present.currency)
        with unit_of_work():
            lock_if_any(vendor_id)
            payouts.pay_out(vendor_id, wish, actor=signed_in.actor(), now=clock.business())
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _show(vendor_id, filled, error.status, afresh=error.status == 409)
    message = _("%(amount)s goes back to %(vendor)s.", amount=filters.money(wish.amount), vendor=head.name)
    return responder.done(url_for("admin_vendor_detail.index", vendor_id=vendor_id), message, *CHANGED)


def _show(vendor_id: int, filled: PayOutForm, status: int = 200, *, afresh: bool = False) -> Response:
    head, present = vendor_detail.head(vendor_id), on_balance(vendor_id, queries.overview(vendor_id))
    if afresh and present is not None:
        filled.seen.data, filled.amount.data = str(present.minor), typed(present)
    return responder.respond(TEMPLATE, "modal", status=status, head=head, form=filled, present=present)

"""Giving money back for an invoice (ADM-2): by card at once, by bank transfer as it was sent by hand."""

import re
from typing import Any

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, RadioField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp

from portal.billing import refund_flows, refunds
from portal.billing.refund_rules import State
from portal.billing.refunds import Refundable, Wish
from portal.identity.rules import StaffKind
from portal.kit.errors import Conflict, Invalid, PaymentRequired, Unavailable
from portal.kit.money import Money, minor_digits
from portal.kit.text import N_
from portal.reporting import vendor_detail
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_refund", __name__)
TEMPLATE = "admin/refund/page.html"
CHANGED = ("subscription-changed", "history-changed", "invoices-changed")
AMOUNT = _l("Enter an amount above 0, such as 48.39.")
STALE = _l("This form is out of date. Load the page again, then send it.")


class RefundForm(Form):
    """Which payment, how much of it, and why. ``seen`` is what was left of each payment when the form was shown."""

    payment = RadioField(_l("Payment"), choices=[], validators=[InputRequired(_l("Choose a payment."))])
    amount = StringField(
        _l("Amount"),
        validators=[DataRequired(AMOUNT), Regexp(r"^\s*\d{1,9}([.,]\d{1,3})?\s*$", message=AMOUNT)],
    )
    reference = StringField(
        _l("Reference of your transfer"), validators=[Length(max=140, message=_l("Use at most 140 characters."))]
    )
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )
    seen = HiddenField(validators=[Regexp(r"^\d{1,18}:\d{1,18}(,\d{1,18}:\d{1,18}){0,99}$", message=STALE)])

    def offer(self, payments: list[Refundable], *, afresh: bool) -> None:
        """Fill in what can go back; ``afresh`` also the amount and what was seen."""
        choices = [each for each in payments if not each.why_not]
        self.payment.choices = [
            (
                str(each.payment_id),
                _("%(amount)s of %(day)s", amount=filters.money(each.paid), day=filters.day(each.at)),
            )
            for each in choices
        ]
        if afresh:
            self.seen.data = ",".join(f"{each.payment_id}:{each.left.minor}" for each in payments)
        if choices and self.payment.data is None:
            self.payment.data = str(choices[0].payment_id)
            self.amount.data = typed(choices[0].left)

    def wish(self, payments: list[Refundable]) -> Wish:
        """What is asked for; Invalid at the field for more decimals than the currency has."""
        chosen = next(each for each in payments if str(each.payment_id) == self.payment.data)
        seen = dict(pair.split(":") for pair in self.seen.data.split(","))
        amount = _minor(self.amount.data, chosen.paid.currency)
        left = int(seen.get(str(chosen.payment_id), -1))
        return Wish(chosen.payment_id, amount, self.reason.data, left, self.reference.data or "")


def typed(amount: Money) -> str:
    """An amount as people type it: 48.39."""
    digits = minor_digits(amount.currency)
    text = str(amount.minor).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text


def _minor(text: str, currency: str) -> int:
    whole, _point, part = re.sub(r"\s", "", text).replace(",", ".").partition(".")
    digits = minor_digits(currency)
    if len(part.rstrip("0")) > digits:
        raise Invalid(fields={"amount": N_("This currency has fewer decimals. Please round the amount.")})
    return int(whole + part[:digits].ljust(digits, "0"))


@blueprint.get("/admin/vendors/<int:vendor_id>/invoices/<int:invoice_id>/refund")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int, invoice_id: int) -> Response:
    """The modal, or the page where there is no JavaScript."""
    return _show(vendor_id, invoice_id, RefundForm(None), afresh=True)


@blueprint.post("/admin/vendors/<int:vendor_id>/invoices/<int:invoice_id>/refund")
@audience.staff(StaffKind.FINANCE)
def refund(vendor_id: int, invoice_id: int) -> Response:
    """Give it back. What fails comes back in the same form, with the state as it is now."""
    head, filled = vendor_detail.head(vendor_id), RefundForm()
    payments = refunds.of_invoice(vendor_id, invoice_id)
    filled.offer(payments, afresh=False)
    if not filled.payment.choices:
        return _show(vendor_id, invoice_id, filled, 409)
    if not filled.validate():
        return _show(vendor_id, invoice_id, filled, 422)
    try:
        wish = filled.wish(payments)
        state = refund_flows.give_back(vendor_id, invoice_id, wish, actor=signed_in.actor())
    except Unavailable:
        message = _("Stripe does not answer. We keep trying; the refund finishes by itself.")
        return _done(vendor_id, message, level="warning")
    except (Invalid, Conflict, PaymentRequired) as error:
        filled.refuse(error)
        return _show(vendor_id, invoice_id, filled, error.status, afresh=error.status == 409)
    amount = filters.money(Money(wish.amount_minor, payments[0].paid.currency))
    if state == State.FAILED:
        return _done(vendor_id, _("The bank did not take the refund; nothing went back."), level="error")
    return _done(vendor_id, _("%(amount)s goes back to %(vendor)s.", amount=amount, vendor=head.name))


def _done(vendor_id: int, message: str, level: str = "success") -> Response:
    return responder.done(url_for("admin_vendor_detail.index", vendor_id=vendor_id), message, *CHANGED, level=level)


def _show(vendor_id: int, invoice_id: int, filled: RefundForm, status: int = 200, *, afresh: bool = False) -> Response:
    head, payments = vendor_detail.head(vendor_id), refunds.of_invoice(vendor_id, invoice_id)
    filled.offer(payments, afresh=afresh)
    shown: dict[str, Any] = {
        "head": head,
        "invoice_id": invoice_id,
        "form": filled,
        "payments": payments,
        "possible": [each for each in payments if not each.why_not],
        "before": refunds.shown(vendor_id, invoice_id),
    }
    return responder.respond(TEMPLATE, "modal", status=status, **shown)

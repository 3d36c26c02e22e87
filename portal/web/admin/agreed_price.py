"""Agreeing a price with one vendor (SUB-6): only that vendor sees it on its plans page."""

import re

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import RadioField, SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Tier
from portal.identity.rules import StaffKind
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money, minor_digits
from portal.kit.text import N_
from portal.reporting import vendor_detail
from portal.subscriptions import agreed_flows, queries
from portal.web.admin import words
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_agreed_price", __name__)
TEMPLATE = "admin/agreed_price/page.html"
CHANGED = ("subscription-changed", "history-changed")
AMOUNT = _l("Enter an amount above 0, such as 499.00.")


class AgreedPriceForm(Form):
    """What is agreed, and why."""

    tier = SelectField(_l("Tier"), choices=[], validators=[InputRequired(_l("Choose a tier."))])
    cycle = RadioField(_l("Billing cycle"), choices=[], validators=[InputRequired(_l("Choose a billing cycle."))])
    amount = StringField(
        _l("Amount for one cycle"),
        validators=[DataRequired(AMOUNT), Regexp(r"^\s*\d{1,9}([.,]\d{1,3})?\s*$", message=AMOUNT)],
    )
    currency = SelectField(_l("Currency"), choices=[])
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )

    def offer(self, tiers: list[Tier], currency: str | None) -> None:
        """Fill in what can be chosen, at first a tier without a public price. ``currency``: what the vendor pays in."""
        self.tier.choices = [(tier.code, _(tier.name)) for tier in tiers]
        self.cycle.choices = [(str(cycle), words.cycle(cycle)) for cycle in Cycle]
        self.currency.choices = [(code, code) for code in ([currency] if currency else catalog.currencies())]
        if not self.is_submitted():
            self.tier.data = next((tier.code for tier in tiers if not tier.self_service), None)

    def money(self) -> Money:
        """The amount in minor units; Invalid at the field for more decimals than the currency has."""
        currency = str(self.currency.data)
        whole, _point, part = re.sub(r"\s", "", self.amount.data).replace(",", ".").partition(".")
        digits = minor_digits(currency)
        if len(part.rstrip("0")) > digits:
            raise Invalid(fields={"amount": N_("This currency has fewer decimals. Please round the amount.")})
        return Money(int(whole + part[:digits].ljust(digits, "0")), currency)


@blueprint.get("/admin/vendors/<int:vendor_id>/agreed-price")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal, or the page where there is no JavaScript."""
    return _show(vendor_id, AgreedPriceForm(None))


@blueprint.post("/admin/vendors/<int:vendor_id>/agreed-price")
@audience.staff(StaffKind.FINANCE)
def agree(vendor_id: int) -> Response:
    """Agree it. What fails comes back in the same form, what was typed stays."""
    head, filled = vendor_detail.head(vendor_id), AgreedPriceForm()
    _offer(vendor_id, filled)
    if not filled.validate():
        return _show(vendor_id, filled, 422)
    try:
        known = agreed_flows.agree(
            vendor_id, filled.tier.data, Cycle(filled.cycle.data), filled.money(), reason=filled.reason.data,
            actor=signed_in.actor(),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _show(vendor_id, filled, error.status)
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    if not known:
        message = _("Agreed. Stripe does not answer; until it does, %(vendor)s cannot buy at it.", vendor=head.name)
        return responder.done(here, message, *CHANGED, level="warning")
    return responder.done(here, _("Agreed: %(vendor)s sees the price on its plans page.", vendor=head.name), *CHANGED)


@blueprint.post("/admin/vendors/<int:vendor_id>/agreed-price/withdraw")
@audience.staff(StaffKind.FINANCE)
def withdraw(vendor_id: int) -> Response:
    """Take the offer back; a vendor that bought at it keeps it."""
    vendor_detail.head(vendor_id)
    gone = agreed_flows.withdraw(vendor_id, actor=signed_in.actor())
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    message = _("The agreed price is not offered any more.") if gone else _("There was no agreed price.")
    return responder.done(here, message, *CHANGED)


def _offer(vendor_id: int, filled: AgreedPriceForm) -> None:
    held = queries.overview(vendor_id)
    paid_in = held.amount.currency if held and held.amount and held.payment_method else None
    filled.offer(catalog.tiers(public_only=False), paid_in)


def _show(vendor_id: int, filled: AgreedPriceForm, status: int = 200) -> Response:
    head, agreed = vendor_detail.head(vendor_id), vendor_detail.agreed_price(vendor_id)
    if not filled.tier.choices:
        _offer(vendor_id, filled)
    if filled.cycle.data not in list(Cycle):
        filled.cycle.data = str(Cycle.MONTHLY)
    tier = catalog.tier_by_id(agreed.tier_id) if agreed else None
    return responder.respond(
        TEMPLATE, "modal", status=status, head=head, form=filled, agreed=agreed, agreed_tier=tier, words=words
    )

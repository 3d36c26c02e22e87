"""Choosing how to pay for a tier (SUB-10, SUB-11)."""

from typing import Any

from flask import Blueprint, Response, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, RadioField
from wtforms.validators import Regexp

from portal.accounts.queries import VendorAtDoor
from portal.billing import transfer_views
from portal.billing.quotes import quote
from portal.billing.transfer_views import TransferView
from portal.catalog.rules import Price, Tier
from portal.checkout import transfer_flows
from portal.identity.rules import Role
from portal.kit import clock, tenancy
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import queries
from portal.subscriptions.proration import period_from
from portal.subscriptions.transfer_periods import whole_period
from portal.web.kit import audience, pay_methods, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form
from portal.web.kit.pay_methods import STRIPE, TRANSFER
from portal.web.vendor import checkout, first_plan

blueprint = Blueprint("vendor_pay", __name__)
TEMPLATE = "vendor/pay/page.html"


class PayForm(Form):
    """How to pay for which price."""

    price = HiddenField(validators=[Regexp(r"^\d{1,18}$", message=_l("Choose a plan."))])
    method = RadioField(_l("How do you want to pay?"), validate_choice=False)


@blueprint.get("/vendor/<code>/pay")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def form(code: str) -> Response:
    """What the tier in ``?price=`` costs, and the ways to pay for it; 404 for one that is not on offer."""
    vendor = signed_in.vendor()
    found, tier = _wanted(vendor, request.args.get("price", ""))
    filled = PayForm(None, data={"price": found.id, "method": _chosen()})
    return _show(vendor, found, tier, filled)


@blueprint.post("/vendor/<code>/pay")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def choose(code: str) -> Response:
    """Leave to Stripe's page, or write the invoice for a transfer; what is not live takes nothing (422)."""
    vendor = signed_in.vendor()
    filled = PayForm()
    found, tier = _wanted(vendor, filled.price.data or "")
    live = {method.code for method in pay_methods.shown() if method.is_live}
    if filled.method.data not in live:
        filled.method.errors = [
            _("Choose one of the ways that are offered. This one cannot take payments yet.")
            if filled.method.data
            else _("Choose how you want to pay.")
        ]
        return _show(vendor, found, tier, filled, 422)
    if filled.method.data == STRIPE:
        return checkout.leave_to_stripe(vendor, found.id)
    return _by_transfer(vendor, found, tier, filled)


def _by_transfer(vendor: VendorAtDoor, found: Price, tier: Tier, filled: PayForm) -> Response:
    first_plan.ensure(vendor, found.id, actor=signed_in.actor())
    if transfer_flows.missing(vendor.id):
        back = url_for("vendor_pay.form", code=vendor.code, price=found.id, method=TRANSFER)
        return responder.go(url_for("vendor_billing_details.form", code=vendor.code, next=back))
    try:
        made = transfer_flows.start(vendor.id, found.id, actor=signed_in.actor())
    except Invalid as error:
        filled.refuse(error)
        return _show(vendor, found, tier, filled, 422)
    except Conflict as error:
        if error.code == "already_paid":
            error.message = checkout.ALREADY_PAID
        error.action = error.action or (_("See the plans"), url_for("vendor_plans.index", code=vendor.code))
        raise
    if made is None:
        flash(_("Your credit pays for it: nothing is to be transferred."), "success")
        return responder.go(url_for("vendor_billing.index", code=vendor.code))
    return responder.go(url_for("vendor_transfer.show", code=vendor.code, transfer_id=made))


def _chosen() -> str | None:
    """Nothing is chosen beforehand but what is the only way, or was chosen before the billing details were asked."""
    live = [method.code for method in pay_methods.shown() if method.is_live]
    if request.args.get("method") in live:
        return request.args["method"]
    return live[0] if len(live) == 1 else None


def _wanted(vendor: VendorAtDoor, price: str) -> tuple[Price, Tier]:
    if not price.isdecimal() or not 0 < int(price) < 2**63:
        raise NotFound
    try:
        return subscriptions.offered(int(price), vendor.id)
    except Invalid as error:
        raise NotFound from error


def _under_way(vendor: VendorAtDoor) -> TransferView | None:
    """The transfer that is waited for already: who chooses again would pay twice."""
    found = transfer_views.waiting_for(vendor.id)
    return transfer_views.one(found, vendor.id) if found is not None else None


def _show(vendor: VendorAtDoor, found: Price, tier: Tier, filled: PayForm, status: int = 200) -> Response:
    now = clock.business()
    with tenancy.scoped(vendor.id):
        held = queries.overview(vendor.id)
    free_until = held.free_until(now) if held else None
    start = free_until or now
    currency = found.amount.currency
    line = whole_period(tier, found, period_from(start, start, found.cycle))
    quoted = quote(vendor.id, [line], currency, now=now)
    context: dict[str, Any] = {
        "vendor": vendor,
        "tier": tier,
        "cost": found,
        "form": filled,
        "methods": pay_methods.shown(),
        "free_until": free_until,
        "under_way": _under_way(vendor),
        "quote": quoted,
        "taxes": [(t.tax.label, t.tax.rate_bp / 100, Money(t.amount_minor, currency)) for t in quoted.taxes],
        "missing": TRANSFER in {m.code for m in pay_methods.shown()} and bool(transfer_flows.missing(vendor.id)),
    }
    return responder.respond(TEMPLATE, status=status, **context)

"""What the vendor pays with (BIL-3): cards are entered at Stripe, chosen and removed here."""

import re
from typing import Any

from flask import Blueprint, Response, current_app, flash, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.billing import methods
from portal.billing import queries as billing
from portal.billing.methods import Method
from portal.checkout import method_flows
from portal.checkout.flows import Addresses
from portal.gateways import stripe
from portal.gateways.stripe import CardRefused
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, NotFound, PortalError, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import Provider
from portal.web.kit import audience, pay_methods, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor.billing import may_buy

blueprint = Blueprint("vendor_methods", __name__)
TEMPLATE = "vendor/payment_methods/page.html"
NO_STRIPE = N_("Stripe does not answer, so nothing was changed. Please try again in a minute.")


@blueprint.get("/vendor/<code>/payment-methods")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """Every card with what it is for and how long it works; three statements."""
    return _page(signed_in.vendor())


@blueprint.get("/vendor/<code>/payment-methods/list")
@audience.vendor(needs=Needs.ACCOUNT)
def cards(code: str) -> Response:
    """The cards alone, when one was added, chosen or removed."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return responder.go(_here(vendor))
    return _page(vendor)


def _asked(vendor: VendorAtDoor, way: str) -> list[Method]:
    """A running plan has at least one method: when we know of none yet, Stripe is asked."""
    if way != "card":
        return []
    end_reading()
    try:
        method_flows.mirror(vendor.id)
    except PortalError:
        return []
    return methods.of_vendor(vendor.id)


def _page(vendor: VendorAtDoor, **more: Any) -> Response:
    found = methods.of_vendor(vendor.id)
    # The list alone needs the plan only where it has to say how a first one is added.
    held = None if found and responder.is_partial() else subscriptions.overview(vendor.id)
    way = _way(held)
    return responder.respond(
        TEMPLATE, "cards", vendor=vendor, held=held, methods=found or _asked(vendor, way),
        today=clock.business().date(), may_buy=may_buy(vendor), way=way,
        **{"added": None, "checked": True, "unpaid": None, **more},
    )  # fmt: skip


def _way(held: Overview | None) -> str:
    """How a card is added: to a running subscription as one more, to a plan that waits for one by subscribing; "none"
    where cards are not taken.
    """
    if not any(way.code == pay_methods.STRIPE and way.is_live for way in pay_methods.shown()):
        return "none"
    if held is not None and held.provider == Provider.STRIPE and held.status in method_flows.CHARGED:
        return "card"
    return "plan" if held is not None and held.price_id and held.provider != Provider.TRANSFER else "plans"


def _here(vendor: VendorAtDoor) -> str:
    return url_for("vendor_methods.index", code=vendor.code)


@blueprint.post("/vendor/<code>/payment-methods")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def add(code: str) -> Response:
    """Leave to Stripe's page for card details; nothing is charged there."""
    vendor = signed_in.vendor()
    base = current_app.extensions["portal_config"].base_url.rstrip("/")
    done = url_for("vendor_methods.added", code=vendor.code)
    addresses = Addresses(f"{base}{done}?session_id={{CHECKOUT_SESSION_ID}}", base + _here(vendor))
    try:
        return responder.go(method_flows.add(vendor.id, addresses))
    except Unavailable as error:
        raise _not_now(vendor, error) from error


def _not_now(vendor: VendorAtDoor, error: Unavailable) -> Unavailable:
    error.message = NO_STRIPE
    error.action = (_("Back to the payment methods"), _here(vendor))
    return error


@blueprint.get("/vendor/<code>/payment-methods/added")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def added(code: str) -> Response:
    """Back from Stripe: what became of the card, asked at Stripe, whether or not the event has arrived."""
    vendor, session_id = signed_in.vendor(), request.args.get("session_id", "")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,255}", session_id) or not stripe.is_configured():
        raise NotFound
    found = method_flows.added(vendor.id, session_id)
    return _page(vendor, added=found.method, checked=found.asked, unpaid=found.unpaid, came_back=True)


@blueprint.post("/vendor/<code>/payment-methods/<int:method_id>/default")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def choose(code: str, method_id: int) -> Response:
    """Let this card pay from now on."""
    vendor = signed_in.vendor()
    try:
        method = method_flows.make_default(vendor.id, method_id, actor=signed_in.actor())
    except Unavailable as error:
        raise _not_now(vendor, error) from error
    return responder.done(_here(vendor), _("%(card)s pays from now on.", card=name(method)), *CHANGED)


@blueprint.get("/vendor/<code>/payment-methods/<int:method_id>/remove")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def ask_removal(code: str, method_id: int) -> Response:
    """The question before a card is removed, or why it cannot be."""
    vendor = signed_in.vendor()
    return _question(vendor, methods.one(vendor.id, method_id))


@blueprint.post("/vendor/<code>/payment-methods/<int:method_id>/remove")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def remove(code: str, method_id: int) -> Response:
    """Let Stripe forget the card."""
    vendor = signed_in.vendor()
    method = methods.one(vendor.id, method_id)
    try:
        method_flows.remove(vendor.id, method_id, actor=signed_in.actor())
    except Conflict:
        return _question(vendor, methods.one(vendor.id, method_id), 409)
    except Unavailable as error:
        raise _not_now(vendor, error) from error
    return responder.done(_here(vendor), _("%(card)s is removed.", card=name(method)), *CHANGED)


def _question(vendor: VendorAtDoor, method: Method, status: int = 200) -> Response:
    why = method_flows.kept_because(vendor.id, method)
    return responder.respond(
        "vendor/payment_methods/remove.html", "modal", status=status, vendor=vendor, method=method, why=why,
        card_name=name(method),
    )  # fmt: skip


@blueprint.post("/vendor/<code>/payment-methods/<int:method_id>/pay/<int:invoice_id>")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def pay(code: str, method_id: int, invoice_id: int) -> Response:
    """Pay an open invoice with this card, which pays from now on."""
    vendor = signed_in.vendor()
    try:
        paid = method_flows.pay(vendor.id, method_id, invoice_id, actor=signed_in.actor())
    except CardRefused as error:
        error.action = _confirm_there(vendor)
        raise
    except Unavailable as error:
        raise _not_now(vendor, error) from error
    if not paid:
        raise Conflict
    flash(_("Paid. Thank you."), "success")
    return responder.go(url_for("vendor_billing.index", code=vendor.code))


def _confirm_there(vendor: VendorAtDoor) -> tuple[str, str]:
    """A bank that wants its customer to confirm is answered on Stripe's page of the invoice."""
    unpaid = billing.unpaid(vendor.id)
    if unpaid and unpaid.hosted_url:
        return _("Pay or confirm at Stripe"), unpaid.hosted_url
    return _("Back to the payment methods"), _here(vendor)


def name(method: Method) -> str:
    """A card as people call it."""
    if not method.last4:
        return method.brand.capitalize()
    return _("%(brand)s ending in %(last4)s", brand=method.brand.capitalize(), last4=method.last4)


#: What wakes up when the methods change: this page's list, and the plan card that names the card.
CHANGED = ("methods-changed", "subscription-changed")

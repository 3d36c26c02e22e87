"""Leaving to Stripe's Checkout, and coming back: the page tells what is true, whatever the address says (SUB-3)."""

import re
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, current_app, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout import queries as orders
from portal.checkout.flows import Addresses
from portal.checkout.queries import OrderView
from portal.checkout.rules import OrderState
from portal.identity.rules import Role
from portal.kit import clock, tenancy
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from portal.web.kit import audience, pay_methods, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor import first_plan
from portal.web.vendor.billing import may_buy
from portal.web.vendor.outlook import outlook

blueprint = Blueprint("vendor_checkout", __name__)
TEMPLATE = "vendor/checkout/done.html"
NO_STRIPE = N_("Stripe does not answer, so the payment page could not be opened. Nothing was charged.")
ALREADY_PAID = N_("You pay for a plan already. Change it instead: you see what it costs before anything happens.")
#: How often the page looks again by itself, every two seconds; after that the reader is asked to.
LOOKS = 15


@blueprint.post("/vendor/<code>/billing/checkout")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def start(code: str) -> Response:
    """Leave to pay for ``price``, or for ``tier`` and ``cycle``. What is not on offer for this vendor is 404."""
    vendor = signed_in.vendor()
    return leave_to_pay(vendor, _wanted(vendor))


def _wanted(vendor: VendorAtDoor) -> int:
    if request.form.get("tier"):
        cycle = Cycle.YEARLY if request.form.get("cycle") == Cycle.YEARLY else Cycle.MONTHLY
        found = catalog.offer(request.form["tier"][:64], cycle, vendor_id=vendor.id)
        if found is None:
            raise NotFound
        return found.id
    price_id = request.form.get("price", type=int)
    if price_id is None or not 0 < price_id < 2**63:
        raise NotFound
    return price_id


def leave_to_pay(vendor: VendorAtDoor, price_id: int) -> Response:
    """Where there are several ways to pay, to the page that asks which; else to the card's page at once."""
    if pay_methods.must_be_chosen():
        return responder.go(url_for("vendor_pay.form", code=vendor.code, price=price_id))
    return leave_to_stripe(vendor, price_id)


def leave_to_stripe(vendor: VendorAtDoor, price_id: int) -> Response:
    """Send the browser to the Checkout page for this price; two clicks lead to the same page.

    NotFound for a price that is not on offer, Conflict (with the way on) when the vendor pays already.
    """
    try:
        first_plan.ensure(vendor, price_id, actor=signed_in.actor())
        with tenancy.unscoped("a card may have had its trial with another vendor"):
            url = checkout.start(vendor.id, price_id, _addresses(vendor), actor=signed_in.actor())
    except Invalid as error:
        raise NotFound from error
    except Conflict as error:
        if error.code == "already_paid":
            error.message = ALREADY_PAID
        if error.code == "billing_details_needed":
            plans = url_for("vendor_plans.index", code=vendor.code)
            details = url_for("vendor_billing_details.form", code=vendor.code, next=plans)
            error.action = (_("Add the billing address"), details)
        error.action = error.action or (_("See the plans"), url_for("vendor_plans.index", code=vendor.code))
        raise
    except Unavailable as error:
        raise _not_now(vendor, error) from error
    return responder.go(url)


def _not_now(vendor: VendorAtDoor, error: Unavailable) -> PortalError:
    """Stripe does not answer: nothing was charged, and the way back."""
    error.message = NO_STRIPE
    error.action = (_("Back to billing"), url_for("vendor_billing.index", code=vendor.code))
    return error


def _addresses(vendor: VendorAtDoor) -> Addresses:
    """On the configured address, whatever the Host header says."""
    base = current_app.extensions["portal_config"].base_url.rstrip("/")
    done_path = url_for("vendor_checkout.done", code=vendor.code)
    back = url_for("vendor_billing.index", code=vendor.code, checkout="cancelled")
    return Addresses(success=f"{base}{done_path}?session_id={{CHECKOUT_SESSION_ID}}", cancel=base + back)


@blueprint.get("/vendor/<code>/billing/done")
@audience.vendor(needs=Needs.ACCOUNT)
def done(code: str) -> Response:
    """What became of the payment. Stripe is asked once for each whole page while the order is open.

    The fragment that looks again by itself reads only what has arrived meanwhile. Nothing is activated by what stands
    in the address: an order is fulfilled by Stripe's word alone.
    """
    vendor = signed_in.vendor()
    order = _own(vendor)
    if responder.is_partial() and order.state != OrderState.OPEN:
        return responder.go(_done_href(vendor, order, None))
    checked = True
    if order.state == OrderState.OPEN and not responder.is_partial():
        checked = _ask_stripe(order)
        order = _own(vendor)
        if order.state != OrderState.OPEN:  # what surrounds the page was read before: read it anew
            return responder.go(_done_href(vendor, order, None))
    return responder.respond(TEMPLATE, "state", **_state(vendor, order, checked))


def _state(vendor: VendorAtDoor, order: OrderView, checked: bool) -> dict[str, Any]:
    held = None if order.state == OrderState.OPEN else subscriptions.overview(vendor.id)
    now = clock.business()
    refused = _free_days_refused(vendor.id, held, now)
    ended = held is not None and (refused or held.free_until(now) is None)
    coming = outlook(held, now)
    look = min(max(request.args.get("look", 0, type=int), 0), LOOKS)
    return {
        "vendor": vendor,
        "order": order,
        "checked": checked,
        "held": held,
        "next": coming,
        # What we hold of the dates is older than what was paid: they are left unsaid.
        "follows": refused or (coming.next_charge is not None and coming.next_charge.at <= now),
        # Nothing but a card that had its trial ends the free days that were ordered.
        "card_used": ended and order.free_until is not None and order.free_until > now,
        "may_buy": may_buy(vendor),
        "again_href": _done_href(vendor, order, None),
        "look_href": _done_href(vendor, order, look + 1) if look < LOOKS else None,
    }


def _free_days_refused(vendor_id: int, held: Overview | None, now: datetime) -> bool:
    """Are the free days that we still hold over, although Stripe has not confirmed it yet? The card had a trial."""
    if held is None or held.free_until(now) is None:
        return False
    return any(line.kind == "trial_refused" for line in subscriptions.history(vendor_id))


def _done_href(vendor: VendorAtDoor, order: OrderView, look: int | None) -> str:
    return url_for("vendor_checkout.done", code=vendor.code, session_id=order.stripe_session_id, look=look)


def _own(vendor: VendorAtDoor) -> OrderView:
    session_id = request.args.get("session_id", "")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,255}", session_id):
        raise NotFound
    order = orders.of_vendor(vendor.id, session_id)
    if order is None:
        raise NotFound
    return order


def _ask_stripe(order: OrderView) -> bool:
    """Act on Stripe's present word about the order; False when Stripe did not answer."""
    end_reading()
    try:
        with tenancy.unscoped("a card may have had its trial with another vendor"):
            checkout.fulfil(order.id)
    except Unavailable:
        return False
    return True

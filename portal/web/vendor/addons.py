"""Add-ons (ADD-1, 2, 5): what I have above what I can add; adding, changing, cancelling."""

import re

from flask import Blueprint, Response, current_app, flash, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.addons import included, purchase, queries
from portal.addons import transfers as addon_transfers
from portal.addons.purchase import Way, Wish
from portal.addons.queries import Card
from portal.billing import transfer_views
from portal.billing.transfer_views import TransferView
from portal.checkout import addon_flows, transfer_flows
from portal.checkout import queries as orders
from portal.checkout.addon_flows import Started
from portal.checkout.flows import Addresses
from portal.checkout.rules import OrderState
from portal.gateways import registrar
from portal.gateways.stripe import CardRefused
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import Provider
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.filters import error_text, translated
from portal.web.kit.forms import second
from portal.web.vendor import addon_words as words
from portal.web.vendor.addon_forms import AddForm, confirms_first, refuse
from portal.web.vendor.addon_shelf import shown
from portal.web.vendor.billing import may_buy

blueprint = Blueprint("vendor_addons", __name__)
TEMPLATE = "vendor/addons/page.html"
ADD = "vendor/addons/add.html"
EVENTS = ("addons-changed", "subscription-changed", "usage-changed")
#: What the form may send on; everything else of it is about money.
FIELDS = ("domain", "how", "domain_id", "company", "country", "note")


@blueprint.get("/vendor/<code>/addons")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """What the vendor has above what it can add; as a fragment what it has."""
    vendor = signed_in.vendor()
    held = subscriptions.overview(vendor.id)
    waits = _waiting(vendor) if held and held.provider == Provider.TRANSFER else []
    return responder.respond(
        TEMPLATE, "mine", vendor=vendor, may_buy=may_buy(vendor), waits=waits, **shown(vendor, held)
    )


def _waiting(vendor: VendorAtDoor) -> list[TransferView]:
    """What was asked for by bank transfer and is not there before the money is."""
    ids = [] if responder.is_partial() else transfer_views.waiting_ids(vendor.id, addon_transfers.OURS)
    return [transfer_views.one(transfer_id, vendor.id) for transfer_id in ids]


@blueprint.get("/vendor/<code>/addons/available")
@audience.vendor(needs=Needs.ACCOUNT)
def shelf(code: str) -> Response:
    """What the vendor can add, when something about it has changed."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return responder.go(url_for("vendor_addons.index", code=vendor.code))
    return responder.respond(TEMPLATE, "shelf", vendor=vendor, may_buy=may_buy(vendor), **shown(vendor))


@blueprint.get("/vendor/<code>/addons/add/<int:product_id>")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def add(code: str, product_id: int) -> Response:
    """What to choose and to enter for an add-on; 404 for what is not sold to this vendor."""
    vendor = signed_in.vendor()
    return _form(vendor, _card(vendor, product_id), AddForm(None, quantity=1), 200)


@blueprint.post("/vendor/<code>/addons/add/<int:product_id>")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def buy(code: str, product_id: int) -> Response:
    """First what it costs, to the cent; then, confirmed, the way to pay. What does not fit comes back at its field."""
    vendor = signed_in.vendor()
    card, form = _card(vendor, product_id), AddForm()
    form.validate()
    try:
        wish = form.wish(vendor.id, card)
        if "due_minor" not in request.form:
            return _confirmation(vendor, card, form, wish, 200)
        return _bought(vendor, card, form, wish)
    except CardRefused as error:
        return _confirmation(vendor, card, form, wish, error.status, error_text(error))
    except Conflict as error:
        if error.code in ("preview_changed", "preview_expired"):
            told = _("The amount has changed since you looked. Nothing was charged; please confirm again.")
            return _confirmation(vendor, card, form, wish, 409, told)
        refuse(form, error, code)
    except (Invalid, PaymentRequired, Unavailable) as error:
        refuse(form, error, code)
        return _form(vendor, card, form, error.status)
    return _form(vendor, card, form, 409)


def _card(vendor: VendorAtDoor, product_id: int) -> Card:
    held = subscriptions.overview(vendor.id)
    currency = held.amount.currency if held and held.amount else "EUR"
    found = next((card for card in queries.shelf(held.tier_id if held else None, currency) if card.id == product_id),
                 None)  # fmt: skip
    if found is None or not found.is_sold:
        raise NotFound
    return found


def _form(vendor: VendorAtDoor, card: Card, form: AddForm, status: int, *, plan_brings: bool = False) -> Response:
    form.offer(vendor.id, card)
    return responder.respond(
        ADD, "modal", status=status, vendor=vendor, card=card, form=form, words=words, included=plan_brings,
        sizes=[words.option_words(option, card) for option in card.options], ask_how=registrar.current() is not None,
    )  # fmt: skip


def _confirmation(
    vendor: VendorAtDoor, card: Card, form: AddForm, wish: Wish, status: int, wrong: str | None = None
) -> Response:
    found = addon_flows.prospect(vendor.id, wish)
    missing = transfer_flows.missing(vendor.id) if found.way == Way.TRANSFER else []
    return responder.respond(
        "vendor/addons/confirm.html", "modal", status=status, vendor=vendor, card=card, p=found, wish=wish, wrong=wrong,
        sent={name: value for name, value in form.sent().items() if value}, words=words, missing=missing,
    )  # fmt: skip


def _bought(vendor: VendorAtDoor, card: Card, form: AddForm, wish: Wish) -> Response:
    shown_at = second(request.form.get("at", type=int))
    minor, currency = request.form.get("due_minor", type=int), request.form.get("currency", "")
    if shown_at is None or minor is None or len(currency) != 3:
        return _confirmation(vendor, card, form, wish, 422, _("Load the page again."))
    if purchase.held_with_card(vendor.id)[0].provider == "transfer" and transfer_flows.missing(vendor.id):
        return _confirmation(vendor, card, form, wish, 422, _("Please complete your billing details first."))
    end_reading()
    started = addon_flows.buy(
        vendor.id, wish, addresses(vendor), shown=Money(minor, currency), at=shown_at, actor=signed_in.actor()
    )
    return _next(vendor, card, started)


def _next(vendor: VendorAtDoor, card: Card, started: Started) -> Response:
    if started.confirm:
        return confirms_first(vendor.code)
    if started.url:
        return responder.go(started.url)
    if started.transfer_id:
        return responder.go(url_for("vendor_transfer.show", code=vendor.code, transfer_id=started.transfer_id))
    name = translated(card.name)
    if card.provisioning == "storage":  # there at once: nothing is set up anywhere
        flash(_("%(addon)s is yours and can be used at once.", addon=name), "success")
    else:
        flash(_("%(addon)s is yours. We are setting it up now.", addon=name), "success")
    return responder.go(url_for("vendor_addons.index", code=vendor.code))


def addresses(vendor: VendorAtDoor) -> Addresses:
    """Where Stripe sends the customer back to: on the configured address, whatever the Host header says."""
    base = current_app.extensions["portal_config"].base_url.rstrip("/")
    done_path = url_for("vendor_addons.done", code=vendor.code)
    return Addresses(
        success=f"{base}{done_path}?session_id={{CHECKOUT_SESSION_ID}}",
        cancel=base + url_for("vendor_addons.index", code=vendor.code),
    )


@blueprint.get("/vendor/<code>/addons/done")
@audience.vendor(needs=Needs.ACCOUNT)
def done(code: str) -> Response:
    """What became of the payment: Stripe is asked while the order is open, and the page tells what is true."""
    vendor = signed_in.vendor()
    session_id = request.args.get("session_id", "")
    order = orders.of_vendor(vendor.id, session_id) if re.fullmatch(r"[A-Za-z0-9_]{1,255}", session_id) else None
    if order is None or order.kind != "addon":
        raise NotFound
    state, checked = order.state, True
    if state == OrderState.OPEN:
        end_reading()
        try:
            state = addon_flows.fulfil(order.id)
        except Unavailable:
            checked = False
    here = url_for("vendor_addons.done", code=vendor.code, session_id=session_id)
    return responder.respond(
        "vendor/addons/done.html", vendor=vendor, state=str(state), checked=checked, again_href=here,
        item=orders.item(order.id),
    )  # fmt: skip


@blueprint.get("/vendor/<code>/addons/included/<int:product_id>")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def included_form(code: str, product_id: int) -> Response:
    """What to enter for an add-on that the plan includes; 404 for what it does not."""
    vendor = signed_in.vendor()
    return _form(vendor, _brought(vendor, product_id), AddForm(None, quantity=1), 200, plan_brings=True)


@blueprint.post("/vendor/<code>/addons/included/<int:product_id>")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def set_up(code: str, product_id: int) -> Response:
    """Set up what the plan includes; nothing is charged. A second click finds what the first one made."""
    vendor = signed_in.vendor()
    card, form = _brought(vendor, product_id), AddForm()
    form.validate()
    try:
        config = purchase.configured(vendor.id, card.provisioning, form.sent())
        with unit_of_work():
            included.set_up(vendor.id, product_id, config, actor=signed_in.actor(), now=clock.business())
    except (Invalid, PaymentRequired, Conflict) as error:
        form.refuse(error)
        return _form(vendor, card, form, error.status, plan_brings=True)
    flash(_("%(addon)s is being set up. Nothing is charged for it.", addon=translated(card.name)), "success")
    return responder.go(url_for("vendor_addons.index", code=vendor.code))


def _brought(vendor: VendorAtDoor, product_id: int) -> Card:
    card = _card(vendor, product_id)
    if not card.included:
        raise NotFound
    return card

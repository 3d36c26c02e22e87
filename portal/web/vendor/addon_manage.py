"""One add-on (ADD-5): next billing, history, another size or number, cancelling and keeping it after all."""

from typing import Any

from flask import Blueprint, Response, flash, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.addons import domains, flows, purchase, queries
from portal.addons.purchase import Wish
from portal.addons.queries import Card, Had
from portal.billing import transfer_views
from portal.gateways.stripe import CardRefused
from portal.identity.rules import Role
from portal.kit.errors import Conflict, Invalid, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.reporting import addon_history
from portal.subscriptions import queries as subscriptions
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.filters import day, error_text
from portal.web.kit.forms import second
from portal.web.vendor import addon_mail_words
from portal.web.vendor import addon_words as words
from portal.web.vendor.addon_forms import ResizeForm, confirms_first, refuse
from portal.web.vendor.addons import EVENTS
from portal.web.vendor.billing import may_buy

blueprint = Blueprint("vendor_addon", __name__)
addon_mail_words.register(blueprint)
MANAGE, CHANGE = "vendor/addons/manage.html", "vendor/addons/change.html"


@blueprint.get("/vendor/<code>/addons/<int:addon_id>")
@audience.vendor(needs=Needs.ACCOUNT)
def show(code: str, addon_id: int) -> Response:
    """What it is, what it costs and when, and what has happened to it; 404 for another vendor's."""
    return _show(signed_in.vendor(), addon_id, 200)


def _show(vendor: VendorAtDoor, addon_id: int, status: int, wrong: str | None = None) -> Response:
    had = queries.one(vendor.id, addon_id)
    return responder.respond(
        MANAGE, "modal", status=status, vendor=vendor, row=words.row_of(had), had=had, may_buy=may_buy(vendor),
        history=addon_history.of_addon(vendor.id, addon_id), wrong=wrong, words=words,
        name=domains.of_addon(vendor.id, addon_id) if had.provisioning == "domain" else None,
    )  # fmt: skip


@blueprint.post("/vendor/<code>/addons/<int:addon_id>/cancel")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def cancel(code: str, addon_id: int) -> Response:
    """Let it end with what is paid for; a second click changes nothing."""
    vendor = signed_in.vendor()
    try:
        ends = flows.cancel(addon_id, vendor.id, actor=signed_in.actor())
    except (Conflict, Unavailable) as error:
        return _show(vendor, addon_id, error.status, error_text(error))
    message = _("Cancelled. It stays as it is until %(date)s.", date=day(ends)) if ends else _("It has ended.")
    return responder.done(_page(vendor), message, *EVENTS)


@blueprint.post("/vendor/<code>/addons/<int:addon_id>/keep")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def keep(code: str, addon_id: int) -> Response:
    """Take the cancellation back, or the change that is planned for the next period."""
    vendor = signed_in.vendor()
    had = queries.one(vendor.id, addon_id)
    try:
        if had.cancel_at_period_end:
            flows.resume(addon_id, vendor.id, actor=signed_in.actor())
        else:
            flows.undo_plan(addon_id, vendor.id, actor=signed_in.actor())
    except (Conflict, Unavailable) as error:
        return _show(vendor, addon_id, error.status, error_text(error))
    return responder.done(_page(vendor), _("It stays as it is."), *EVENTS)


@blueprint.get("/vendor/<code>/addons/<int:addon_id>/change")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def choose(code: str, addon_id: int) -> Response:
    """The sizes or numbers to choose from."""
    vendor = signed_in.vendor()
    had = _resizable(vendor, addon_id)
    form = ResizeForm(None, price=str(had.price_id), quantity=had.quantity)
    return _choose(vendor, had, form, 200)


def _resizable(vendor: VendorAtDoor, addon_id: int) -> Had:
    had = queries.one(vendor.id, addon_id)
    if not had.is_resizable or had.each is None:
        raise NotFound
    return had


def _choose(vendor: VendorAtDoor, had: Had, form: ResizeForm, status: int) -> Response:
    card = _card(vendor, had)
    return responder.respond(
        CHANGE, "modal", status=status, vendor=vendor, had=had, row=words.row_of(had), form=form, words=words,
        sizes=[words.option_words(option, card) for option in card.options],
    )  # fmt: skip


def _card(vendor: VendorAtDoor, had: Had) -> Card:
    held = subscriptions.held(vendor.id)
    currency = had.each.currency if had.each else "EUR"
    cards = queries.shelf(held.tier_id, currency)
    found = next((card for card in cards if card.id == had.product_id), None)
    if found is None:
        raise Conflict(N_("This add-on is not sold any more, so its size cannot be changed."), code="retired")
    return found


@blueprint.post("/vendor/<code>/addons/<int:addon_id>/change")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def change(code: str, addon_id: int) -> Response:
    """First what it costs; then, confirmed, more at once and less from the next period on."""
    vendor = signed_in.vendor()
    had, form = _resizable(vendor, addon_id), ResizeForm()
    form.validate()
    try:
        wish = form.wish(had)
        if "due_minor" not in request.form:
            return _confirm(vendor, had, wish, 200)
        return _changed(vendor, had, wish)
    except CardRefused as error:
        return _confirm(vendor, had, wish, error.status, error_text(error))
    except Conflict as error:
        if error.code in ("preview_changed", "preview_expired", "conflict"):
            told = _("The amount has changed since you looked. Nothing was charged; please confirm again.")
            return _confirm(vendor, queries.one(vendor.id, addon_id), wish, 409, told)
        refuse(form, error, code)
    except (Invalid, PaymentRequired, Unavailable) as error:
        refuse(form, error, code)
        return _choose(vendor, had, form, error.status)
    return _choose(vendor, had, form, 409)


def _confirm(vendor: VendorAtDoor, had: Had, wish: Wish, status: int, wrong: str | None = None) -> Response:
    figures = flows.preview(had.id, vendor.id, wish)
    found = purchase.offer(wish.price_id)
    after = words.size(had.provisioning, found.variant, wish.quantity, had.grants)
    return responder.respond(
        "vendor/addons/change_confirm.html", "modal", status=status, vendor=vendor, had=had, row=words.row_of(had),
        p=figures, wish=wish, after=after, rate=words.rate(figures.total, found.cycle), wrong=wrong,
    )  # fmt: skip


def _changed(vendor: VendorAtDoor, had: Had, wish: Wish) -> Response:
    sent: dict[str, Any] = {name: request.form.get(name, type=int) for name in ("due_minor", "at", "base_version")}
    at = second(sent["at"])
    if None in sent.values() or at is None or had.each is None:
        return _confirm(vendor, had, wish, 422, _("Load the page again."))
    made = flows.change(
        had.id, vendor.id, wish, shown=Money(sent["due_minor"], had.each.currency), at=at,
        base_version=sent["base_version"], actor=signed_in.actor(),
    )  # fmt: skip
    if made.pay_url:
        return confirms_first(vendor.code)
    if made.invoice_id:
        transfer_id = transfer_views.waiting_for(vendor.id, made.invoice_id)
        return responder.go(url_for("vendor_transfer.show", code=vendor.code, transfer_id=transfer_id))
    if made.state == "planned":
        message = _("The change happens with the next period. Until then you can take it back.")
    elif made.state == "awaiting_payment":
        message = _("Your card must be confirmed first. Until then it stays as it is.")
    elif had.provisioning == "storage":  # there at once: nothing is set up anywhere
        message = _("Done. You have %(size)s now.", size=words.size("storage", "", wish.quantity, had.grants))
    else:
        message = _("Done. It is being set up.")
    flash(message, "success")
    return responder.go(_page(vendor))


def _page(vendor: VendorAtDoor) -> str:
    return url_for("vendor_addons.index", code=vendor.code)

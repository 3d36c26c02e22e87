"""Adding an add-on to a vendor's plan, free or paid, and taking one away (ADM-3)."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, IntegerField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Optional

from portal.addons import domains, given, purchase, queries
from portal.addons.purchase import Wish
from portal.addons.queries import Had
from portal.catalog import addons as catalog
from portal.checkout import addon_charges
from portal.checkout.addon_flows import Started
from portal.checkout.rules import OrderState
from portal.gateways.stripe import CardRefused
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.reporting import vendor_detail
from portal.web.admin import words
from portal.web.kit import audience, countries, responder, signed_in
from portal.web.kit.filters import day, error_text, translated
from portal.web.kit.forms import Form, second
from portal.web.vendor import addon_words
from portal.web.vendor.addon_forms import in_words

blueprint = Blueprint("admin_vendor_addons", __name__)
CHANGED = ("addons-changed", "subscription-changed", "history-changed", "usage-changed")
MAY_CHARGE = frozenset({StaffKind.ADMIN, StaffKind.FINANCE})


class GiveForm(Form):
    """Which add-on, with what it is to be set up with, and why."""

    price = SelectField(_l("Add-on"), choices=[], coerce=str, validators=[InputRequired(_l("Choose an add-on."))])
    quantity = IntegerField(_l("How many"), default=1, validators=[Optional()])
    domain = StringField(_l("Domain"), description=_l("For a domain or a certificate."))
    domain_id = SelectField(_l("Domain of the addresses"), choices=[], coerce=str, validate_choice=False,
                            description=_l("For an email package."))  # fmt: skip
    company = StringField(_l("Company"), description=_l("For a certificate, as it is registered."))
    country = SelectField(_l("Country"), choices=countries.choices, validate_choice=False,
                          description=_l("For a certificate."))  # fmt: skip
    note = TextAreaField(_l("Note for whoever sets it up"))
    pay = RadioField(
        _l("Who pays"),
        choices=[
            SelectChoice("free", _l("Nobody: it is given for free")),
            SelectChoice("paid", _l("The vendor, by card or invoice; you see the amount first")),
        ],
        default="free",
    )
    reason = TextAreaField(_l("Reason"))
    notify = BooleanField(_l("Write to the owner"), default=True)

    def offer(self, vendor_id: int) -> None:
        """What is sold, and the vendor's domains."""
        self.price.choices = [
            (str(price.id), _label(product.words.name, product.provisioning, price.variant))
            for product in catalog.products() if product.retired_at is None for price in product.prices
        ]  # fmt: skip
        self.domain_id.choices = [("", "–"), *((str(d.id), d.shown) for d in purchase.domains(vendor_id))]

    def wish(self, vendor_id: int) -> Wish:
        """What is given; Invalid at the fields."""
        found = purchase.offer(int(self.price.data))
        sent = {f.name: f.data or "" for f in (self.domain, self.domain_id, self.company, self.note)}
        sent["country"] = countries.chosen(self.country)
        config = purchase.configured(vendor_id, found.product.provisioning, sent)
        return Wish(found.price_id, self.quantity.data if self.quantity.data is not None else 1, config)


def _label(name: str, provisioning: str, variant: str) -> str:
    size = addon_words.size(provisioning, variant, 1, {}) if variant else ""
    return f"{translated(name)} ({size})" if size else translated(name)


class RemoveForm(Form):
    """When it ends, and why."""

    when = RadioField(
        _l("When"),
        choices=[SelectChoice("end", _l("When what is paid for ends")), SelectChoice("now", _l("At once"))],
        validators=[InputRequired(_l("Choose when it ends."))],
    )
    reason = TextAreaField(_l("Reason"))
    notify = BooleanField(_l("Write to the owner"), default=True)


@blueprint.get("/admin/vendors/<int:vendor_id>/add-ons/give")
@audience.staff(StaffKind.SUPPORT, StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The add-ons to choose from; for a chosen one, what it is to be set up with."""
    return _give(vendor_id, GiveForm(request.args if "price" in request.args else None), 200)


@blueprint.post("/admin/vendors/<int:vendor_id>/add-ons/give")
@audience.staff(StaffKind.SUPPORT, StaffKind.FINANCE)
def give(vendor_id: int) -> Response:
    """Give it without payment, its setting up begins at once; or let the vendor pay: first what it costs, then done."""
    head, filled = vendor_detail.head(vendor_id), GiveForm()
    filled.offer(vendor_id)
    if not filled.validate():
        return _give(vendor_id, filled, 422)
    try:
        wish = filled.wish(vendor_id)
        if filled.pay.data == "paid":
            return _sell(vendor_id, filled, wish)
        with unit_of_work():
            given.give(vendor_id, wish, reason=filled.reason.data or "", tell=bool(filled.notify.data),
                       actor=signed_in.actor(), now=clock.business())  # fmt: skip
    except NotFound:
        filled.price.errors = [_("This is not sold with the vendor's tier. Give it for free, or change the tier.")]
        return _give(vendor_id, filled, 422)
    except (Invalid, Conflict, PaymentRequired, Unavailable, Forbidden) as error:
        filled.refuse(in_words(error))
        return _give(vendor_id, filled, error.status)
    return responder.done(_page(vendor_id), _("%(vendor)s has it. It is being set up.", vendor=head.name), *CHANGED)


def _sell(vendor_id: int, filled: GiveForm, wish: Wish) -> Response:
    """Show what the vendor would pay; confirmed with that amount, charge it or ask for it."""
    if signed_in.person().staff not in MAY_CHARGE:
        raise Forbidden(N_("Admins and finance may charge a vendor. You can give it for free."))
    addon_charges.check_reason(filled.reason.data or "")
    at, minor = second(request.form.get("at", type=int)), request.form.get("due_minor", type=int)
    if at is None or minor is None:
        return _confirm(vendor_id, filled, wish, 200)
    shown = Money(minor, purchase.offer(wish.price_id).each.currency)
    end_reading()
    try:
        started = addon_charges.charge(vendor_id, wish, shown=shown, at=at, reason=filled.reason.data or "",
                                       actor=signed_in.actor())  # fmt: skip
    except CardRefused as error:
        return _confirm(vendor_id, filled, wish, error.status, error_text(error))
    except Conflict as error:
        if error.code not in ("preview_changed", "preview_expired"):
            raise
        return _confirm(vendor_id, filled, wish, 409, error_text(error))
    return responder.done(_page(vendor_id), _sold(started), *CHANGED, level="info" if started.url else "success")


def _confirm(vendor_id: int, filled: GiveForm, wish: Wish, status: int, wrong: str | None = None) -> Response:
    found = addon_charges.prospect(vendor_id, wish)
    names = ("price", "quantity", "domain", "domain_id", "company", "country", "note", "reason")
    sent = {name: filled[name].data for name in names if filled[name].data}
    return responder.respond(
        "admin/addons/charge.html", "modal", status=status, head=vendor_detail.head(vendor_id), p=found, wish=wish,
        sent=sent, wrong=wrong, size=addon_words.size,
    )  # fmt: skip


def _sold(started: Started) -> str:
    if started.url:
        return _("The vendor's bank wants a confirmation. Send the vendor this address: %(url)s", url=started.url)
    if started.state != OrderState.FULFILLED:
        return _("The invoice is on its way. It is set up when the money has arrived.")
    return _("It is paid and is being set up.")


def _give(vendor_id: int, filled: GiveForm, status: int) -> Response:
    head = vendor_detail.head(vendor_id)
    filled.offer(vendor_id)
    return responder.respond(
        "admin/addons/give.html", "modal", status=status, head=head, form=filled, kind=_kind(filled),
        may_charge=signed_in.person().staff in MAY_CHARGE,
    )  # fmt: skip


def _kind(filled: GiveForm) -> str | None:
    """How the chosen add-on is set up, so that only its fields are shown; None: without JavaScript all are."""
    if not responder.is_partial() or not filled.price.choices:
        return None
    sold = {str(price.id): product.provisioning for product in catalog.products() for price in product.prices}
    return sold.get(str(filled.price.data or filled.price.choices[0][0]))


@blueprint.get("/admin/vendors/<int:vendor_id>/add-ons/<int:addon_id>/remove")
@audience.staff(StaffKind.SUPPORT, StaffKind.FINANCE)
def ask(vendor_id: int, addon_id: int) -> Response:
    """What taking it away does, and what not."""
    vendor_detail.head(vendor_id)
    return _remove(vendor_id, queries.one(vendor_id, addon_id), RemoveForm(None, when="end"), 200)


@blueprint.post("/admin/vendors/<int:vendor_id>/add-ons/<int:addon_id>/remove")
@audience.staff(StaffKind.SUPPORT, StaffKind.FINANCE)
def remove(vendor_id: int, addon_id: int) -> Response:
    """Take it away, now or when what is paid for ends."""
    vendor_detail.head(vendor_id)
    had, filled = queries.one(vendor_id, addon_id), RemoveForm()
    if not filled.validate():
        return _remove(vendor_id, had, filled, 422)
    at_once = filled.when.data == "now"
    try:
        ends = given.remove(vendor_id, addon_id, at_once=at_once, reason=filled.reason.data or "",
                            tell=bool(filled.notify.data), actor=signed_in.actor())  # fmt: skip
    except (Invalid, Conflict, Unavailable) as error:
        filled.refuse(error)
        return _remove(vendor_id, queries.one(vendor_id, addon_id), filled, error.status)
    message = _("It ends on %(date)s.", date=day(ends)) if ends else _("It has ended.")
    return responder.done(_page(vendor_id), message, *CHANGED)


def _remove(vendor_id: int, had: Had, filled: RemoveForm, status: int) -> Response:
    context: dict[str, Any] = {
        "head": vendor_detail.head(vendor_id),
        "had": had,
        "row": addon_words.row_of(had),
        "name": domains.of_addon(vendor_id, had.id),
    }
    return responder.respond("admin/addons/remove.html", "modal", status=status, form=filled, words=words, **context)


def _page(vendor_id: int) -> str:
    return url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab=request.args.get("tab", "add-ons"))

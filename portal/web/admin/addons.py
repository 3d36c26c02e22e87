"""Add-on products and their prices (CAT-4): what is sold, at what, promised how soon."""

import re

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Regexp

from portal.catalog import addons
from portal.catalog import flows as catalog_flows
from portal.catalog.addons import LivePrice, ProductRow, Words
from portal.gateways import stripe
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, Unavailable
from portal.kit.money import minor_digits
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.admin import words
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.vendor import addon_words

blueprint = Blueprint("admin_addons", __name__)
TEMPLATE = "admin/addons/page.html"
CHANGED = "addon-products-changed"
AMOUNT = _l("Enter an amount, such as 15.00.")


class WordsForm(Form):
    """What an add-on is called, and what is promised."""

    name = StringField(_l("Name"), validators=[DataRequired(_l("Enter a name of at most 80 characters."))])
    pitch = TextAreaField(_l("What it is good for"))
    promised_hours = IntegerField(_l("Ready within (hours)"), validators=[InputRequired(_l("Enter a number."))])
    max_quantity = IntegerField(_l("At most for one vendor"), validators=[InputRequired(_l("Enter a number."))])

    def read(self) -> Words:
        """As the room takes them."""
        return Words(self.name.data, self.pitch.data or "", self.promised_hours.data, self.max_quantity.data)


class PriceForm(Form):
    """Another amount for a whole period."""

    amount = StringField(
        _l("Amount for a whole period"),
        validators=[DataRequired(AMOUNT), Regexp(r"^\s*\d{1,9}([.,]\d{1,3})?\s*$", message=AMOUNT)],
    )

    def minor(self, currency: str) -> int:
        """In minor units; Invalid at the field for more decimals than the currency has."""
        whole, _point, part = re.sub(r"\s", "", self.amount.data).replace(",", ".").partition(".")
        digits = minor_digits(currency)
        if len(part.rstrip("0")) > digits:
            raise Invalid(fields={"amount": N_("This currency has fewer decimals. Please round the amount.")})
        return int(whole + part[:digits].ljust(digits, "0"))


@blueprint.get("/admin/addons")
@audience.staff()
def index() -> Response:
    """Every product with its prices."""
    return responder.respond(TEMPLATE, "products", products=addons.products(), words=words, sizes=size_words)


def size_words(provisioning: str, variant: str) -> str:
    """A size in words: 5 addresses; nothing where there is one size."""
    return addon_words.size(provisioning, variant, 1, {}) or variant if variant else ""


@blueprint.get("/admin/addons/<int:product_id>")
@audience.staff(StaffKind.FINANCE)
def form(product_id: int) -> Response:
    """Its words, to be changed."""
    product = addons.product(product_id)
    shown = product.words
    return _edit(product, WordsForm(None, name=shown.name, pitch=shown.pitch, promised_hours=shown.promised_hours,
                                    max_quantity=shown.max_quantity))  # fmt: skip


@blueprint.post("/admin/addons/<int:product_id>")
@audience.staff(StaffKind.FINANCE)
def save(product_id: int) -> Response:
    """Change its words and promises, here and at Stripe."""
    product, filled = addons.product(product_id), WordsForm()
    if not filled.validate():
        return _edit(product, filled, 422)
    try:
        with unit_of_work():
            addons.change(product_id, filled.read(), actor=signed_in.actor(), now=clock.business())
    except Invalid as error:
        filled.refuse(error)
        return _edit(product, filled, error.status)
    return saved(_("Saved."))


def _edit(product: ProductRow, filled: WordsForm, status: int = 200) -> Response:
    return responder.respond("admin/addons/edit.html", "modal", status=status, product=product, form=filled)


@blueprint.get("/admin/addons/prices/<int:price_id>")
@audience.staff(StaffKind.FINANCE)
def price(price_id: int) -> Response:
    """A price, to be replaced by another."""
    return _price(*_live(price_id), PriceForm(None))


@blueprint.post("/admin/addons/prices/<int:price_id>")
@audience.staff(StaffKind.FINANCE)
def set_price(price_id: int) -> Response:
    """Sell at another amount from now on; those who bought keep theirs."""
    product, live = _live(price_id)
    filled = PriceForm()
    if not filled.validate():
        return _price(product, live, filled, 422)
    try:
        minor = filled.minor(live.amount.currency)
        with unit_of_work():
            changed = addons.change_price(price_id, minor, actor=signed_in.actor(), now=clock.business())
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _price(product, live, filled, error.status)
    return saved(_("The new price is sold from now on.") if changed else _("That is the price already."))


def _live(price_id: int) -> tuple[ProductRow, LivePrice]:
    for product in addons.products():
        for live in product.prices:
            if live.id == price_id:
                return product, live
    raise NotFound


def _price(product: ProductRow, live: LivePrice, filled: PriceForm, status: int = 200) -> Response:
    return responder.respond(
        "admin/addons/price.html",
        "modal",
        status=status,
        product=product,
        price=live,
        form=filled,
        words=words,
        sizes=size_words,
    )


@blueprint.post("/admin/addons/<int:product_id>/retire")
@audience.staff(StaffKind.FINANCE)
def retire(product_id: int) -> Response:
    """Take it off the market; who has it keeps it, and it renews as before."""
    with unit_of_work():
        addons.retire(product_id, actor=signed_in.actor(), now=clock.business())
    return saved(_("It is not sold any more. Who has it keeps it."))


def saved(message: str, *, push: bool = True) -> Response:
    """Stripe is told at once (``push``); when it does not answer, the next push tells it."""
    here = url_for("admin_addons.index")
    end_reading()
    try:
        if push and stripe.is_configured():
            catalog_flows.push(stripe.current(), dry_run=False)
    except Unavailable:
        later = _("Stripe does not answer: until it does, new prices cannot be bought by card. Run the push again.")
        return responder.done(here, f"{message} {later}", CHANGED, level="warning")
    return responder.done(here, message, CHANGED)

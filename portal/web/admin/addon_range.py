"""Shaping the range of add-ons (CAT-7): new ones and sizes, their order, and which tiers sell or bring them."""

from typing import Any

from flask import Blueprint, Response, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, Optional

from portal.catalog import addon_range, addons
from portal.catalog import queries as catalog
from portal.catalog.addon_range import COUNTS, KINDS, Sale, Size
from portal.catalog.addons import ProductRow
from portal.catalog.rules import METRIC_NAMES, Cycle, Metric
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.web.admin.addons import PriceForm, WordsForm, saved, size_words
from portal.web.kit import audience, responder, signed_in

blueprint = Blueprint("admin_addon_range", __name__)
KIND_NAMES = {
    "domain": _l("A domain"), "mailboxes": _l("Mailboxes"), "certificate": _l("A certificate"),
    "storage": _l("Storage"), "manual": _l("By hand: a task for staff"),
}  # fmt: skip


class SizeForm(PriceForm):
    """A size with its price; ``grants`` is how many of what is counted one of it brings."""

    grants = IntegerField(_l("How many it brings"), default=1, validators=[Optional()])
    cycle = SelectField(
        _l("Paid"), choices=[SelectChoice(Cycle.MONTHLY, _l("Monthly")), SelectChoice(Cycle.YEARLY, _l("Yearly"))]
    )
    currency = SelectField(_l("Currency"), choices=[])

    def offer(self) -> None:
        """The currencies that tiers are sold in."""
        self.currency.choices = [SelectChoice(code, code) for code in catalog.currencies()]

    def size(self, metric: Metric | None = None) -> Size:
        """As the room takes it; Invalid at the fields."""
        currency = str(self.currency.data)
        amount = Money(self.minor(currency), currency)
        return Size(Cycle(self.cycle.data), amount, self.grants.data if self.grants.data is not None else 0, metric)


class NewForm(WordsForm, SizeForm):
    """A new product with its first size."""

    code = StringField(_l("Code"), validators=[InputRequired(_l("Enter a code, such as photo-shooting."))],
                       description=_l("For programs and for Stripe; it never changes."))  # fmt: skip
    kind = SelectField(_l("What it is"), choices=[SelectChoice(kind, KIND_NAMES[kind]) for kind in reversed(KINDS)])
    metric = SelectField(
        _l("What it adds to"), validators=[Optional()],
        choices=[SelectChoice("", _l("No limit of the plan")),
                 *(SelectChoice(str(m), _l(name)) for m, name in METRIC_NAMES.items() if m not in COUNTS.values())],
    )  # fmt: skip

    def first(self) -> Size:
        """Its size; what is counted follows from what it is, and is chosen only where staff set it up."""
        chosen = Metric(self.metric.data) if self.kind.data == "manual" and self.metric.data else None
        return self.size(chosen)


@blueprint.get("/admin/addons/new")
@audience.staff(StaffKind.FINANCE)
def form() -> Response:
    """A new add-on."""
    return _new(NewForm(None, promised_hours=48, max_quantity=10), 200)


@blueprint.post("/admin/addons/new")
@audience.staff(StaffKind.FINANCE)
def create() -> Response:
    """Sell it from now on, on top of every tier; here and at Stripe."""
    filled = NewForm()
    filled.offer()
    if not filled.validate():
        return _new(filled, 422)
    try:
        with unit_of_work():
            addon_range.create(filled.code.data, filled.kind.data, filled.read(), filled.first(),
                               actor=signed_in.actor(), now=clock.business())  # fmt: skip
    except Invalid as error:
        filled.refuse(error)
        return _new(filled, error.status)
    return saved(_("It is sold from now on, on top of every tier. Choose under Tiers which ones bring it along."))


def _new(filled: NewForm, status: int) -> Response:
    filled.offer()
    return responder.respond("admin/addons/new.html", "modal", status=status, form=filled)


@blueprint.get("/admin/addons/<int:product_id>/prices/new")
@audience.staff(StaffKind.FINANCE)
def size(product_id: int) -> Response:
    """Another size, interval or currency."""
    return _size(addons.product(product_id), SizeForm(None), 200)


@blueprint.post("/admin/addons/<int:product_id>/prices/new")
@audience.staff(StaffKind.FINANCE)
def add_size(product_id: int) -> Response:
    """Sell it so, too."""
    product, filled = addons.product(product_id), SizeForm()
    filled.offer()
    if not filled.validate():
        return _size(product, filled, 422)
    try:
        with unit_of_work():
            changed = addon_range.add_size(product_id, filled.size(), actor=signed_in.actor(), now=clock.business())
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _size(product, filled, error.status)
    return saved(_("The new price is sold from now on.") if changed else _("That is the price already."))


def _size(product: ProductRow, filled: SizeForm, status: int) -> Response:
    filled.offer()
    return responder.respond("admin/addons/size.html", "modal", status=status, product=product, form=filled)


@blueprint.post("/admin/addons/prices/<int:price_id>/close")
@audience.staff(StaffKind.FINANCE)
def close_price(price_id: int) -> Response:
    """Sell at this price no longer."""
    with unit_of_work():
        addon_range.close_price(price_id, actor=signed_in.actor(), now=clock.business())
    return saved(_("This price is not sold any more. Who has it keeps it."))


@blueprint.post("/admin/addons/<int:product_id>/sell-again")
@audience.staff(StaffKind.FINANCE)
def sell_again(product_id: int) -> Response:
    """Back on the market."""
    with unit_of_work():
        addon_range.sell_again(product_id, actor=signed_in.actor(), now=clock.business())
    return saved(_("It is sold again."))


@blueprint.post("/admin/addons/<int:product_id>/move")
@audience.staff(StaffKind.FINANCE)
def move(product_id: int) -> Response:
    """One place up or down, on every page that lists add-ons."""
    with unit_of_work():
        addon_range.move(product_id, up=request.form.get("to") == "up", actor=signed_in.actor(), now=clock.business())
    return saved(_("The order is changed."), push=False)


@blueprint.get("/admin/addons/<int:product_id>/tiers")
@audience.staff(StaffKind.FINANCE)
def tiers(product_id: int) -> Response:
    """Which tiers sell it, and how many each brings along."""
    return _tiers(product_id, {}, 200)


@blueprint.post("/admin/addons/<int:product_id>/tiers")
@audience.staff(StaffKind.FINANCE)
def sell_with(product_id: int) -> Response:
    """Sell it with these tiers from now on."""
    sent = {_name(sale): request.form.get(_name(sale), "").strip() for sale in addon_range.sales(product_id)}
    wanted = {(sale.tier_id, sale.variant): sent[_name(sale)] for sale in addon_range.sales(product_id)}
    wrong = [text for text in wanted.values() if text and not (text.isascii() and text.isdigit() and len(text) < 8)]
    try:
        if wrong:
            raise Invalid(fields={"included": _("Give a whole number from 0 to 1,000, or leave it empty.")})
        with unit_of_work():
            addon_range.sell_with(product_id, {key: int(text) if text else None for key, text in wanted.items()},
                                  actor=signed_in.actor(), now=clock.business())  # fmt: skip
    except Invalid as error:
        return _tiers(product_id, sent, error.status, _(error.fields["included"]))
    return saved(_("Saved."), push=False)


def _name(sale: Sale) -> str:
    return f"tier-{sale.tier_id}-{sale.variant}".rstrip("-")


def _tiers(product_id: int, sent: dict[str, Any], status: int, wrong: str = "") -> Response:
    product = addons.product(product_id)
    lines = [
        {"name": _name(sale), "tier": _(sale.tier), "size": size_words(product.provisioning, sale.variant),
         "value": sent.get(_name(sale), "" if sale.included is None else str(sale.included))}
        for sale in addon_range.sales(product_id)
    ]  # fmt: skip
    return responder.respond("admin/addons/tiers.html", "modal", status=status, product=product, lines=lines,
                             wrong=wrong)  # fmt: skip

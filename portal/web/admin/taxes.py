"""The operator's taxes, and what stands on its papers (BIL-4): who writes them, their numbers, their small print."""

from datetime import date
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, DateField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Optional

from portal.audit import service as audit
from portal.billing import tax_table
from portal.billing.tax_table import RateRow
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries as settings
from portal.settings import service as settings_service
from portal.settings.rules import SPECS
from portal.web.admin.vendor_detail import MAY_CHANGE
from portal.web.kit import audience, countries, paper_words, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_taxes", __name__)
TEMPLATE = "admin/taxes/page.html"
#: Settings that this page changes, in its order.
ON_PAPERS = (
    "legal_name", "legal_address", "legal_country", "vat_id", "invoice_prefix", "credit_note_prefix",
    "proforma_prefix", "invoice_note", "legal_footer", "stripe_tax",
)  # fmt: skip


class RateForm(Form):
    """A new rate of a country."""

    country = SelectField(_l("Country"), validate_choice=False)
    label = StringField(_l("Name on the invoice"), default=N_("VAT"))
    rate = StringField(_l("Rate"))
    valid_from = DateField(_l("From"), validators=[InputRequired(_l("Choose the first day."))])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.country.choices = countries.choices()


class EndForm(Form):
    """The first day on which a rate holds no longer."""

    valid_until = DateField(_l("Ends on"), validators=[Optional()])


class PapersForm(Form):
    """What stands on papers; each field is a setting and checked by its rule."""

    legal_name = StringField(_l("Legal name"))
    legal_address = TextAreaField(_l("Legal address"))
    legal_country = SelectField(_l("Country"), validate_choice=False)
    vat_id = StringField(_l("VAT number"))
    invoice_prefix = StringField(_l("Invoices begin with"))
    credit_note_prefix = StringField(_l("Credit notes begin with"))
    proforma_prefix = StringField(_l("Proformas begin with"))
    invoice_note = TextAreaField(_l("Note on every invoice"))
    legal_footer = TextAreaField(_l("Small print at the foot"))
    stripe_tax = BooleanField(_l("Let Stripe work out taxes on card payments"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.legal_country.choices = countries.choices()


@blueprint.get("/admin/taxes")
@audience.staff()
def index() -> Response:
    """The table, and what stands on papers."""
    return _page(_papers_form())


def _papers_form() -> PapersForm:
    now = settings.current()
    return PapersForm(None, data={name: getattr(now, name) for name in ON_PAPERS})


def _page(filled: PapersForm, status: int = 200) -> Response:
    today = clock.business().date()
    return responder.respond(
        TEMPLATE,
        "table",
        status=status,
        rates=tax_table.table(),
        state_of=lambda row: state(row, today),
        country_name=countries.name,
        percent=paper_words.percent,
        form=filled,
        may_change=signed_in.person().staff in MAY_CHANGE,
        home=settings.current().legal_country,
    )


def state(row: RateRow, today: date) -> tuple[str, str]:
    """Whether a rate holds, in a word with its badge's tone. (A newer one of the country may stand above it.)"""
    if row.valid_until is not None and row.valid_until <= today:
        return _("Ended"), "neutral"
    return (_("Not yet"), "info") if row.valid_from > today else (_("In force"), "good")


@blueprint.post("/admin/taxes/papers")
@audience.staff(StaffKind.FINANCE)
def papers() -> Response:
    """Change what stands on papers from now on: all of it, or nothing when one field does not fit."""
    filled = PapersForm()
    if not filled.validate():
        return _page(filled, 422)
    try:
        _change(filled)
    except Invalid as error:
        filled.refuse(error)
        return _page(filled, 422)
    return responder.done(url_for("admin_taxes.index"), _("Saved. Papers from now on say this."))


def _change(filled: PapersForm) -> None:
    """One setting after the other; the first that does not fit takes back all."""
    actor, now, before = signed_in.actor(), clock.business(), settings.current()
    with unit_of_work():
        for name in ON_PAPERS:
            was, given = getattr(before, name), filled.data[name]
            given = given if isinstance(given, bool) else given or ""
            if _same(name, given, was):
                continue
            after = settings_service.change(name, given, actor=actor, now=now)
            told = {"key": name, "before": was, "after": after}
            audit.record(actor, "settings.changed", vendor_id=None, data=told, now=now)


def _same(name: str, given: object, was: object) -> bool:
    try:
        return SPECS[name].parse(given) == was
    except ValueError:
        return False


@blueprint.route("/admin/taxes/add", methods=["GET", "POST"])
@audience.staff(StaffKind.FINANCE)
def add() -> Response:
    """A modal with a new rate."""
    if request.method == "GET":
        filled = RateForm(None, valid_from=clock.business().date())
        return responder.respond("admin/taxes/add.html", "modal", form=filled)
    filled = RateForm()
    if filled.validate():
        try:
            _add(filled)
        except Invalid as error:
            filled.refuse(error)
    if filled.errors or filled.form_errors:
        return responder.respond("admin/taxes/add.html", "modal", status=422, form=filled)
    return responder.done(url_for("admin_taxes.index"), _("The rate is in the table."), "taxes-changed")


def _add(filled: RateForm) -> None:
    rate_bp = tax_table.parse_rate(filled.rate.data or "")
    with unit_of_work():
        tax_table.add(
            filled.country.data, filled.label.data, rate_bp, filled.valid_from.data,
            actor=signed_in.actor(), now=clock.business(),
        )  # fmt: skip


@blueprint.route("/admin/taxes/<int:rate_id>/end", methods=["GET", "POST"])
@audience.staff(StaffKind.FINANCE)
def end(rate_id: int) -> Response:
    """A modal with the day on which a rate ends; empty lets it hold again."""
    row = tax_table.one(rate_id)
    filled = EndForm() if request.method == "POST" else EndForm(None, valid_until=row.valid_until)
    if request.method == "POST" and filled.validate():
        try:
            with unit_of_work():
                tax_table.end(rate_id, filled.valid_until.data, actor=signed_in.actor(), now=clock.business())
            return responder.done(url_for("admin_taxes.index"), _("The table is changed."), "taxes-changed")
        except Invalid as error:
            filled.refuse(error)
    status = 422 if filled.errors or filled.form_errors else 200
    return responder.respond(
        "admin/taxes/end.html", "modal", status=status, form=filled, row=row, country=countries.name,
        percent=paper_words.percent,
    )  # fmt: skip

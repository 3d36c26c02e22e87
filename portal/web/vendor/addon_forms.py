"""What a vendor enters for an add-on; which fields are shown depends on how the product is set up."""

from flask import Response, flash, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup, escape
from wtforms import IntegerField, RadioField, SelectField, StringField, TextAreaField
from wtforms.validators import Optional

from portal.addons import purchase
from portal.addons.purchase import Wish
from portal.addons.queries import Card, Had
from portal.kit.errors import Invalid, PortalError
from portal.kit.text import N_
from portal.web.kit import countries, responder
from portal.web.kit.forms import Form

NUMBER = N_("Please enter a number of at least 1.")


def refuse(form: Form, error: PortalError, code: str) -> None:
    """Put a refusal at the form; where an open invoice stands in the way, with the link to it."""
    form.refuse(in_words(error))
    if error.code in ("past_due", "invoice_unpaid") and form.form_errors:
        link = Markup(' <a href="{}">{}</a>').format(to_pay(code), _("To the open invoice"))
        form.form_errors[-1] = escape(form.form_errors[-1]) + link


def in_words(error: PortalError) -> PortalError:
    """The same refusal with its figures in the words at its fields, in the reader's language."""
    if error.params:
        error.fields = {name: _(words) % error.params for name, words in error.fields.items()}
    return error


def to_pay(code: str) -> str:
    """Where Billing says what is to be paid or confirmed, and leads to it."""
    return url_for("vendor_billing.index", code=code, _anchor="pay")


def confirms_first(code: str) -> Response:
    """The bank wants the payment confirmed: Billing explains it, with the way to do it."""
    flash(_("Your card must be confirmed first. Until then nothing changes."), "warning")
    return responder.go(to_pay(code))


class AddForm(Form):
    """Size or number, and what it is to be set up with. The room checks what was entered, so that the API agrees."""

    price = RadioField(_l("Size"), choices=[], coerce=str, validate_choice=False, validators=[Optional()])
    quantity = IntegerField(_l("How many"), validators=[Optional()])
    domain = StringField(_l("Domain"), description=_l("As people type it, such as www.myshop.com."))
    how = StringField(_l("How does it come here?"))
    domain_id = SelectField(_l("Domain of the addresses"), choices=[], coerce=str, validate_choice=False)
    company = StringField(_l("Company"), description=_l("As it is registered: the authority looks it up."))
    country = SelectField(_l("Country"), choices=countries.choices, validate_choice=False)
    note = TextAreaField(_l("What should we know?"))

    def offer(self, vendor_id: int, card: Card) -> None:
        """Fill the choices: the sizes that are sold, the domains that the vendor has."""
        self.price.choices = [(str(option.price_id), option.variant) for option in card.options]
        if self.price.data is None and card.options:
            self.price.data = str(card.options[0].price_id)
        if card.provisioning in ("mailboxes", "certificate"):
            mine = purchase.domains(vendor_id)
            self.domain_id.choices = [(str(domain.id), domain.shown) for domain in mine]
            if card.provisioning == "certificate" and not self.domain.data and mine:
                self.domain.data = mine[0].shown

    def sent(self) -> dict[str, str]:
        """What was entered, by field, as ``purchase.configured`` reads it."""
        fields = (self.domain, self.how, self.domain_id, self.company, self.note)
        entered = {field.name: (field.data or "").replace("\0", "") for field in fields}
        return {**entered, "country": countries.chosen(self.country)}

    def wish(self, vendor_id: int, card: Card) -> Wish:
        """What is wanted; Invalid at the fields for what does not do."""
        known = {str(option.price_id): option for option in card.options}
        if self.price.data is None and len(known) == 1:
            self.price.data = next(iter(known))
        if self.price.data not in known:
            raise Invalid(fields={"price": N_("Choose one of the sizes.")})
        config = purchase.configured(vendor_id, card.provisioning, self.sent())
        return Wish(known[self.price.data].price_id, self.count(card.provisioning), config)

    def count(self, provisioning: str) -> int:
        """How many; only storage is bought by the number."""
        if provisioning != "storage":
            return 1
        if self.quantity.data is None or self.quantity.errors or not 1 <= self.quantity.data <= 10**6:
            raise Invalid(fields={"quantity": NUMBER})
        return int(self.quantity.data)


class ResizeForm(Form):
    """Another size, or another number."""

    price = RadioField(_l("Size"), choices=[], coerce=str, validate_choice=False, validators=[Optional()])
    quantity = IntegerField(_l("How many"), validators=[Optional()])

    def wish(self, had: Had) -> Wish:
        """What is wanted; Invalid at the fields. The room knows which prices belong to the add-on."""
        chosen = self.price.data if had.provisioning == "mailboxes" else str(had.price_id)
        if chosen is None or not chosen.isascii() or not chosen.isdigit() or len(chosen) > 18:
            raise Invalid(fields={"price": N_("Choose one of the sizes.")})
        if had.provisioning == "mailboxes":
            return Wish(int(chosen), had.quantity)
        if self.quantity.data is None or self.quantity.errors or not 1 <= self.quantity.data <= 10**6:
            raise Invalid(fields={"quantity": NUMBER})
        return Wish(int(chosen), int(self.quantity.data))

"""The fields for a domain's name, for every form that asks for one (templates/vendor/domains/_name_field.html)."""

from flask_babel import lazy_gettext as _l
from wtforms import RadioField, StringField

from portal.addons.providers.own_domain import OWN, REGISTER
from portal.web.kit.forms import Form


class NameForm(Form):
    """A name; the rules are the room's (``domain_names.parse``), its refusal goes to this field by ``refuse``."""

    domain = StringField(_l("Domain name"))


class BuyNameForm(NameForm):
    """A name that is bought here, or that the vendor has elsewhere. ``how`` goes into the add-on's config."""

    how = RadioField(
        _l("How does it come here?"),
        choices=[(REGISTER, _l("Register it for me")), (OWN, _l("I have it already and point it here"))],
        default=REGISTER,
    )

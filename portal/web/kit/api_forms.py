"""The forms of the pages about API keys and webhooks."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectField, SelectMultipleField, StringField
from wtforms.validators import Length
from wtforms.widgets import CheckboxInput, ListWidget

from portal.gateways.outgoing import URL_MAX
from portal.identity.api_key_rules import LIFETIMES, NAME_MAX, REACH_NAMES
from portal.notifications.webhook_rules import KINDS
from portal.web.kit.forms import Form


class MultiCheckboxField(SelectMultipleField):
    """Several choices as boxes to tick."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class KeyForm(Form):
    """A new key. What is wrong with it the room says."""

    name = StringField(_l("Name"), validators=[Length(max=NAME_MAX, message=_l("This is too long."))])
    scopes = MultiCheckboxField(_l("The key may"), validate_choice=False)
    days = SelectField(_l("It ends"), validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scopes.choices = [(str(reach), f"{_(words)} ({reach})") for reach, words in REACH_NAMES.items()]
        self.days.choices = [(str(days or ""), _lifetime(days)) for days in LIFETIMES]

    @property
    def lifetime(self) -> int | None:
        """Days, or None for never; -1, which no room takes, for what cannot be chosen."""
        text = str(self.days.data or "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else (-1 if text else None)


def _lifetime(days: int | None) -> str:
    return _("never, until you revoke it") if days is None else _("after %(days)s days", days=days)


class EndpointForm(Form):
    """A new endpoint of outgoing webhooks."""

    url = StringField(_l("Address"), validators=[Length(max=URL_MAX, message=_l("This is too long."))])
    kinds = MultiCheckboxField(_l("Tell it when"), validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kinds.choices = [(kind, f"{_(words)} ({kind})") for kind, words in KINDS.items()]

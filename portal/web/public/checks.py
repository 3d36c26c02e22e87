"""What forms about a login check at their fields; the rules themselves are the identity room's."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import Field
from wtforms.validators import DataRequired, Length, ValidationError

from portal.accounts.service import NAME_MAX
from portal.identity import addresses, passwords
from portal.identity.rules import PASSWORD_MAX, PASSWORD_MIN
from portal.kit.errors import Invalid

#: Longer than any address or password may be; anything beyond is refused before a rule looks at it.
EMAIL_LENGTH = Length(max=254, message=_l("Use at most 254 characters."))
PASSWORD_LENGTH = Length(max=PASSWORD_MAX, message=_l("Use at most 200 characters."))
NAME_LENGTH = Length(max=NAME_MAX, message=_l("Use at most 120 characters."))


def needed(message: str) -> DataRequired:
    """The field must hold more than white space; ``message`` asks for what belongs there."""
    return DataRequired(message=message)


def email_address(_form: Any, field: Field) -> None:
    """An address that mail can reach."""
    try:
        addresses.checked(field.data)
    except Invalid as error:
        raise ValidationError(_(error.fields["email"])) from error


class NewPassword:
    """A password that is not easily guessed; ``about`` names fields whose words count as guessed."""

    def __init__(self, *about: str) -> None:
        self.about = about

    def __call__(self, form: Any, field: Field) -> None:
        """Put the fault at the field."""
        words = [str(form._fields[name].data or "")[:200] for name in self.about if name in form._fields]
        if fault := passwords.fault(field.data or "", words):
            raise ValidationError(_(fault))


def password_rules() -> list[dict[str, Any]]:
    """The rules as the page lists them, ticked as they are met."""
    return [
        {
            "text": _("At least %(number)s characters", number=PASSWORD_MIN),
            "min_length": PASSWORD_MIN,
        },
        {"text": _("Not easy to guess: a few unrelated words are best")},
    ]

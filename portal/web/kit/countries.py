"""Countries by name in the reader's language, for selects and papers; what is kept is their ISO 3166 code."""

import unicodedata
from typing import Any

from babel import Locale
from flask_babel import get_locale
from flask_babel import gettext as _
from wtforms import SelectChoice, ValidationError

#: Codes of the list of territories that are no country with a post of its own.
_NO_COUNTRY = frozenset({"EU", "EZ", "UN", "ZZ", "QO", "XA", "XB", "AC", "CP", "CQ", "DG", "EA", "IC", "TA"})


def name(code: str) -> str:
    """A country in the present language; a code that nobody knows as it is."""
    return str(_territories().get(code, code))


def known() -> list[tuple[str, str]]:
    """Every country by its code, in the reader's language and order."""
    found = {code: name for code, name in _territories().items() if len(code) == 2 and code.isalpha()}
    return sorted(((c, n) for c, n in found.items() if c not in _NO_COUNTRY), key=lambda pair: _place(pair[1]))


def _place(name: str) -> str:
    """Where a name stands in the alphabet: Ägypten and Österreich with A and O, not behind Z."""
    spelt = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in spelt if not unicodedata.combining(letter))


def choices() -> list[SelectChoice]:
    """For a select; the first is none."""
    return [SelectChoice("", _("Choose …")), *(SelectChoice(code, shown) for code, shown in known())]


def chosen(field: Any) -> str:
    """The code that a select was sent with; empty for what it does not offer."""
    return str(field.data) if field.data in dict(known()) else ""


def must_be_chosen(_form: Any, field: Any) -> None:
    """A validator: one of the countries, not none and nothing made up."""
    if not chosen(field):
        raise ValidationError(_("Choose a country."))


def _territories() -> Any:
    return Locale.parse(str(get_locale() or "en")).territories

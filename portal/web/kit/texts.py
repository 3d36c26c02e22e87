"""Texts in the reader's language."""

from babel.support import NullTranslations, Translations
from flask import g, has_app_context
from flask_babel import Babel, Domain


class Texts(Domain):
    """Looks for a language's texts once a request; the library does for every text, which was a tenth of a page."""

    def get_translations(self) -> Translations | NullTranslations:
        """What fits the present language. The library forgets the same attribute when the language changes."""
        held = g.get("_flask_babel") if has_app_context() else None
        found: Translations | NullTranslations | None = getattr(held, "babel_translations", None)
        if found is None:
            found = super().get_translations()
            if held is not None:
                held.babel_translations = found
        return found


def init_app(babel: Babel) -> None:
    """Let everything that translates ask here."""
    babel.domain_instance = Texts(domain="messages")

"""Lines of invoices in the reader's language. They are kept in the English of whoever wrote them, Stripe or us."""

import re
from datetime import UTC, datetime

from flask_babel import gettext as _

from portal.kit.money import Money, parse_minor
from portal.web.kit import filters

_TIMES = re.compile(r"(?:(?P<count>\d+) × )?(?P<name>.+?)(?: \((?P<detail>[^()]*)\))?", re.DOTALL)
_PART = re.compile(r"(?P<kind>Unused|Remaining) time on (?P<what>.+?)(?: after (?P<day>\d{1,2} [A-Z][a-z]{2} \d{4}))?")
_WHOLE = re.compile(r"(?P<what>.+) \(at (?P<price>[^()]+) / (?P<interval>month|year)\)")
_FREE = re.compile(r"(?:Free trial|Trial period) for (?P<what>.+)")
_PRICE = re.compile(r"(?P<sign>[€$£]|[A-Z]{3} )(?P<sum>[\d,]+(?:\.\d+)?)")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP"}


def said(text: str) -> str:
    """The line in words of today's reader; what is not one of the known sentences names a product or stays as it is."""
    if found := _PART.fullmatch(text):
        return _part(found["kind"] == "Unused", _what(found["what"]), _day(found["day"]))
    if found := _WHOLE.fullmatch(text):
        what, price = _what(found["what"]), _price(found["price"])
        if found["interval"] == "year":
            return _("%(what)s (at %(price)s / year)", what=what, price=price)
        return _("%(what)s (at %(price)s / month)", what=what, price=price)
    if found := _FREE.fullmatch(text):
        return _("Free trial for %(what)s", what=_what(found["what"]))
    return _what(text) if text else ""


def _part(unused: bool, what: str, day: str | None) -> str:
    if day is None:
        return _("Unused time on %(what)s", what=what) if unused else _("Remaining time on %(what)s", what=what)
    if unused:
        return _("Unused time on %(what)s after %(day)s", what=what, day=day)
    return _("Remaining time on %(what)s after %(day)s", what=what, day=day)


def _what(text: str) -> str:
    """A product with its size and number: its name may have a translation, the rest is figures."""
    found = _TIMES.fullmatch(text)
    if found is None:
        return text
    detail = f" ({found['detail']})" if found["detail"] is not None else ""
    count = f"{found['count']} × " if found["count"] else ""
    return f"{count}{filters.translated(found['name'])}{detail}"


def _day(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return filters.short_day(datetime.strptime(text, "%d %b %Y").replace(tzinfo=UTC).date())
    except ValueError:
        return text


def _price(text: str) -> str:
    """€99.00 as the reader writes it."""
    found = _PRICE.fullmatch(text)
    if found is None:
        return text
    currency = _SIGNS.get(found["sign"], found["sign"].strip())
    try:
        return filters.money(Money(parse_minor(found["sum"].replace(",", ""), currency), currency))
    except ValueError:
        return text

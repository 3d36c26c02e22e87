"""Money, dates and numbers are formatted here and nowhere else, in the reader's language and the vendor's time zone."""

from datetime import UTC, date, datetime
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal
from flask import Flask, g
from flask_babel import get_locale, gettext

from portal.kit.errors import PortalError
from portal.kit.money import Money, minor_digits
from portal.web.kit import dispute_words

ENGLISH = Locale("en")
#: Babel reads its patterns anew for every value; pages show the same few again and again.
_kept = lru_cache(maxsize=2048, typed=True)


def _locale() -> Locale:
    return get_locale() or ENGLISH


def _zone() -> ZoneInfo:
    return ZoneInfo(g.get("time_zone") or "UTC")


def _is_english(locale: Locale) -> bool:
    return bool(locale.language == "en")


def _date(moment: datetime | date) -> date:
    return moment.astimezone(_zone()).date() if isinstance(moment, datetime) else moment


def money(amount: Money, *, whole: bool = False) -> str:
    """€48.39; with ``whole`` no decimals where there are none to show (price cards: €99)."""
    return _money(amount.minor, amount.currency, whole, _locale())


@_kept
def _money(minor: int, currency: str, whole: bool, locale: Locale) -> str:
    digits = minor_digits(currency)
    value = Decimal(minor).scaleb(-digits)
    if not whole or value != value.to_integral_value():
        return format_currency(value, currency, locale=locale)
    pattern = None if digits == 0 else "¤#,##0" if _is_english(locale) else "#,##0 ¤"
    return format_currency(value, currency, pattern, locale=locale, currency_digits=False)


def day(moment: datetime | date) -> str:
    """15 February 2027, in words, in the vendor's time zone."""
    return _day(_date(moment), _locale())


@_kept
def _day(when: date, locale: Locale) -> str:
    return format_date(when, "d MMMM y" if _is_english(locale) else "long", locale=locale)


def short_day(moment: datetime | date) -> str:
    """15 Feb 2027: tables."""
    return _short_day(_date(moment), _locale())


@_kept
def _short_day(when: date, locale: Locale) -> str:
    return format_date(when, "d MMM y" if _is_english(locale) else "medium", locale=locale)


def day_month(moment: date) -> str:
    """15 Feb: under the bars of a chart."""
    return _day_month(moment, _locale())


@_kept
def _day_month(moment: date, locale: Locale) -> str:
    return format_date(moment, "d MMM" if _is_english(locale) else "d. MMM", locale=locale)


def moment(value: datetime) -> str:
    """15 February 2027, 14:05 UTC."""
    locale = _locale()
    pattern = "d MMMM y, HH:mm z" if _is_english(locale) else "d. MMMM y, HH:mm z"
    return format_datetime(value.astimezone(_zone()), pattern, locale=locale)


def iso(value: datetime) -> str:
    """Machine-readable, for ``<time datetime>``."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def number(value: int | float | Decimal) -> str:
    """10,000 in the reader's language."""
    return _number(value, _locale())


@_kept
def _number(value: int | float | Decimal, locale: Locale) -> str:
    return format_decimal(value, locale=locale)


def part_of_gigabyte(gigabytes: int | Decimal | None) -> str | None:
    """A size below ten megabytes in kilobytes or megabytes; None for what is written in gigabytes, and for 0."""
    if not isinstance(gigabytes, Decimal) or not 0 < gigabytes < Decimal("0.01"):
        return None
    kilobytes = (gigabytes * 1_000_000).quantize(Decimal(1), ROUND_UP)
    if kilobytes < 1_000:
        return f"{number(kilobytes)} KB"
    megabytes = (kilobytes / 1_000).quantize(Decimal("0.1"), ROUND_UP)
    return f"{number(megabytes)} MB"


def translated(text: str) -> str:
    """A text from the catalog or of the operator's own in the reader's language; a % in it means a per cent sign."""
    return str(gettext(text)) if text else ""


def error_text(error: PortalError) -> str:
    """A PortalError in the reader's language, its parameters filled in."""
    return str(gettext(error.message, **error.params))


def init_app(app: Flask) -> None:
    """Register the filters."""
    from portal.web.kit import line_words  # It formats with what stands here.

    app.jinja_env.filters.update(
        money=money,
        day=day,
        short_day=short_day,
        day_month=day_month,
        datetime=moment,
        iso=iso,
        number=number,
        part_of_gigabyte=part_of_gigabyte,
        error_text=error_text,
        translated=translated,
        dispute_reason=dispute_words.reason,
        line_words=line_words.said,
    )

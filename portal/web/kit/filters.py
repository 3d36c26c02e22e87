"""Money, dates and numbers are formatted here and nowhere else, in the reader's language and the vendor's time zone."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal
from flask import Flask, g
from flask_babel import get_locale, gettext

from portal.kit.errors import PortalError
from portal.kit.money import Money, minor_digits
from portal.web.kit import dispute_words


def _locale() -> str:
    return str(get_locale() or "en")


def _zone() -> ZoneInfo:
    return ZoneInfo(g.get("time_zone") or "UTC")


def money(amount: Money, *, whole: bool = False) -> str:
    """€48.39; with ``whole`` no decimals where there are none to show (price cards: €99)."""
    digits = minor_digits(amount.currency)
    value = Decimal(amount.minor).scaleb(-digits)
    if whole and value == value.to_integral_value():
        return (
            format_currency(value, amount.currency, locale=_locale(), format=None, currency_digits=False)
            if (digits == 0)
            else format_currency(
                value,
                amount.currency,
                "¤#,##0" if _locale().startswith("en") else "#,##0 ¤",
                locale=_locale(),
                currency_digits=False,
            )
        )
    return format_currency(value, amount.currency, locale=_locale())


def day(moment: datetime | date) -> str:
    """15 February 2027, in words, in the vendor's time zone."""
    when = moment.astimezone(_zone()).date() if isinstance(moment, datetime) else moment
    return format_date(when, "d MMMM y" if _locale().startswith("en") else "long", locale=_locale())


def short_day(moment: datetime | date) -> str:
    """15 Feb 2027: tables."""
    when = moment.astimezone(_zone()).date() if isinstance(moment, datetime) else moment
    return format_date(when, "d MMM y" if _locale().startswith("en") else "medium", locale=_locale())


def day_month(moment: date) -> str:
    """15 Feb: under the bars of a chart."""
    return format_date(moment, "d MMM" if _locale().startswith("en") else "d. MMM", locale=_locale())


def moment(value: datetime) -> str:
    """15 February 2027, 14:05 UTC."""
    pattern = "d MMMM y, HH:mm z" if _locale().startswith("en") else "d. MMMM y, HH:mm z"
    return format_datetime(value.astimezone(_zone()), pattern, locale=_locale())


def iso(value: datetime) -> str:
    """Machine-readable, for ``<time datetime>``."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def number(value: int | float | Decimal) -> str:
    """10,000 in the reader's language."""
    return format_decimal(value, locale=_locale())


def translated(text: str) -> str:
    """A text from the catalog or of the operator's own in the reader's language; a % in it means a per cent sign."""
    return str(gettext(text)) if text else ""


def error_text(error: PortalError) -> str:
    """A PortalError in the reader's language, its parameters filled in."""
    return str(gettext(error.message, **error.params))


def init_app(app: Flask) -> None:
    """Register the filters."""
    app.jinja_env.filters.update(
        money=money,
        day=day,
        short_day=short_day,
        day_month=day_month,
        datetime=moment,
        iso=iso,
        number=number,
        error_text=error_text,
        translated=translated,
        dispute_reason=dispute_words.reason,
    )

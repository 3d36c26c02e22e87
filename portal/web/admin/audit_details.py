"""What an act of the audit log was about, in words: a label and a value for each thing written down with it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from portal.kit.money import Money
from portal.web.admin import words
from portal.web.kit import filters

#: Sums in minor units, where a currency stands beside them; elsewhere such a number is a count (of credits, say).
_SUMS = frozenset({"amount", "amount_minor", "open"})


def shown(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each thing as (label, value); an amount and its currency are one."""
    currency = data.get("currency")
    sums = _SUMS & data.keys() if isinstance(currency, str) and len(currency) == 3 else frozenset()
    for key, value in data.items():
        if key == "currency" and sums:
            continue
        if key in sums and isinstance(value, int):
            yield _label(key), filters.money(Money(value, str(currency)))
        else:
            yield _label(key), _value(key, value)


def _label(key: str) -> str:
    """The key in words; one that nobody has named as it is."""
    return {
        "addon": _("Add-on"),
        "address": _("Address"),
        "after": _("After"),
        "amount": _("Amount"),
        "amount_minor": _("Amount"),
        "at_once": _("At once"),
        "before": _("Before"),
        "brand": _("Card"),
        "certificate": _("Certificate"),
        "change": _("Change"),
        "changes": _("Changes"),
        "code": _("Code"),
        "count": _("Number"),
        "country": _("Country"),
        "credit_note": _("Credit note"),
        "currency": _("Currency"),
        "cycle": _("Billing cycle"),
        "days": _("Days"),
        "detail": _("Details"),
        "differences": _("Differences"),
        "differs": _("What differs"),
        "dispute": _("Dispute"),
        "domain": _("Domain"),
        "email": _("Email"),
        "ends": _("Ends on"),
        "error": _("Error"),
        "event": _("Event"),
        "feedback": _("Why"),
        "fields": _("Fields"),
        "file": _("File"),
        "from": _("Before"),
        "invoice": _("Invoice"),
        "key": _("Key"),
        "last4": _("Last four digits"),
        "left": _("Codes left"),
        "name": _("Name"),
        "new": _("New bookings"),
        "note": _("Note"),
        "open": _("Still open"),
        "order": _("Order"),
        "origin": _("How it came"),
        "prefix": _("Begins with"),
        "price": _("Price"),
        "quantity": _("Quantity"),
        "rate_bp": _("Rate"),
        "reason": _("Reason"),
        "reference": _("Reference"),
        "refund": _("Refund"),
        "role": _("Role"),
        "run": _("Setting up"),
        "scopes": _("May"),
        "serial": _("Serial number"),
        "status": _("Status"),
        "step": _("Step"),
        "city": _("City"),
        "legal_name": _("Legal name"),
        "postcode": _("Postcode"),
        "street": _("Street"),
        "ticket": _("Question"),
        "tier": _("Tier"),
        "to": _("After"),
        "transfer": _("Reference"),
        "type": _("Kind"),
        "until": _("Until"),
        "user": _("Person"),
        "valid_from": _("Valid from"),
        "valid_until": _("Valid until"),
        "variant": _("Size"),
        "vat_id": _("VAT number"),
        "when": _("When"),
    }.get(key, key.replace("_", " ").capitalize())


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(part)}: {_value(part, each)}" for part, each in value.items()) or "–"
    if key == "fields" and isinstance(value, list):
        return ", ".join(map(_label, value)) or "–"
    if isinstance(value, list):
        return ", ".join(_value(key, each) for each in value) or "–"
    if key == "rate_bp" and isinstance(value, int):
        return f"{filters.number(value / 100)} %"
    return "–" if value is None else str(value)


def _text(key: str, text: str) -> str:
    """A code in words, a moment as a date; what people typed as they typed it."""
    if key in ("reason", "note", "name", "comment"):
        return text or "–"
    if key == "feedback":
        return words.feedback(text)
    if key in ("status", "before", "after") and (known := words.standing(text)) != text:
        return known
    if (moment := _moment(text)) is not None:
        return filters.day(moment)
    codes = {
        "monthly": _("Monthly"),
        "yearly": _("Yearly"),
        "now": _("at once"),
        "next": _("at the next billing cycle"),
        "owner": _("Owner"),
        "manager": _("Manager"),
        "member": _("Member"),
        "bought": _("Bought"),
        "included": _("Included in the tier"),
        "given": _("Given by staff"),
    }
    return codes.get(text, text) or "–"


def _moment(text: str) -> datetime | None:
    """Only what begins as a date is read: numbers and codes are none."""
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found

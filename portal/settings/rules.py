"""Every setting with its type, default and rule; pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import partial
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from portal.kit.errors import Invalid
from portal.kit.text import N_


class Verification(StrEnum):
    """Must a new address be confirmed before the product opens?"""

    REQUIRED = "required"
    OPTIONAL = "optional"
    OFF = "off"


class Offer(StrEnum):
    """How a payment method shows (SUB-11)."""

    LIVE = "live"
    COMING_SOON = "coming_soon"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """What the operator decides at run time, with the defaults of a new installation. Empty text: not set."""

    name: str = "Vendor Portal"
    accent: str = "#4f46e5"
    logo_url: str = ""
    support_email: str = ""
    help_url: str = ""
    terms_url: str = ""
    privacy_url: str = ""
    legal_name: str = ""
    legal_address: str = ""
    legal_country: str = ""
    legal_footer: str = ""
    vat_id: str = ""
    invoice_prefix: str = "INV"
    credit_note_prefix: str = "CN"
    proforma_prefix: str = "PF"
    invoice_note: str = ""
    stripe_tax: bool = False
    platform_domain: str = ""
    trial_days: int = 14
    trial_reminders: bool = True
    card_up_front: bool = False
    email_verification: Verification = Verification.REQUIRED
    staff_second_factor: bool = False
    grace_days: int = 7
    pay_by_stripe: Offer = Offer.LIVE
    pay_by_transfer: Offer = Offer.HIDDEN
    pay_by_paypal: Offer = Offer.COMING_SOON
    bank_holder: str = ""
    bank_iban: str = ""
    bank_bic: str = ""
    bank_name: str = ""
    transfer_days: int = 14
    renewal_ahead_days: int = 14
    second_approval_above_minor: int = 0


Value = str | int | bool
Parser = Callable[[object], Value]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_EMAIL = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\".]+")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")


class _WrongError(ValueError):
    """Why a value does not fit, as a message id."""


def _line(raw: object, most: int = 120) -> str:
    text = str(raw).strip()
    if len(text) > most:
        raise _WrongError(N_("This is too long."))
    if any(ord(c) < 32 for c in text):
        raise _WrongError(N_("This must be one line of text."))
    return text


def _name(raw: object) -> str:
    if not (text := _line(raw, 80)):
        raise _WrongError(N_("Please enter a name."))
    return text


def _block(raw: object) -> str:
    """Several lines, such as an address; line ends become plain ones."""
    text = "\n".join(line.strip() for line in str(raw).strip().splitlines())
    if len(text) > 500 or any(ord(c) < 32 and c != "\n" for c in text):
        raise _WrongError(N_("Please enter at most 500 characters of plain text."))
    return text


def _colour(raw: object) -> str:
    text = _line(raw).lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", text):
        raise _WrongError(N_("Please enter a colour such as #4f46e5."))
    return text


def _email(raw: object) -> str:
    text = _line(raw, 254)
    if text and not _EMAIL.fullmatch(text):
        raise _WrongError(N_("Please enter an email address such as help@example.com."))
    return text


def _address(raw: object) -> str:
    """A web address: https, or a path on our own origin; nothing that a browser would run."""
    text = _line(raw, 500)
    parts = urlsplit(text)
    own = text.startswith("/") and not text.startswith(("//", "/\\"))
    if text and not own and not (parts.scheme == "https" and parts.hostname):
        raise _WrongError(N_("Please enter an address that starts with https:// or with one slash."))
    return text


def _domain(raw: object) -> str:
    text = _line(raw, 253).lower().rstrip(".")
    if text and not _DOMAIN.fullmatch(text):
        raise _WrongError(N_("Please enter a domain such as example.com."))
    return text


def _country(raw: object) -> str:
    text = _line(raw).upper()
    if text and not re.fullmatch(r"[A-Z]{2}", text):
        raise _WrongError(N_("Please enter the two letters of a country, such as DE."))
    return text


def _prefix(raw: object) -> str:
    """What stands before the year in a number; it may be in a file name."""
    text = _line(raw).upper()
    if not re.fullmatch(r"[A-Z][A-Z0-9]{0,7}", text):
        raise _WrongError(N_("Please enter one to eight letters or digits that begin with a letter."))
    return text


def _iban(raw: object) -> str:
    """Kept without spaces; the check digits and the country's own form must fit."""
    from stdnum import iban

    text = _line(raw)
    if text and not iban.is_valid(text):
        raise _WrongError(N_("Please check this IBAN: a digit is wrong or missing."))
    return str(iban.compact(text))


def _bic(raw: object) -> str:
    from stdnum import bic

    text = _line(raw).upper().replace(" ", "")
    if text and not bic.is_valid(text):
        raise _WrongError(N_("Please enter a BIC of 8 or 11 letters and digits."))
    return text


def _number(raw: object, least: int, most: int) -> int:
    text = str(raw).strip()
    if isinstance(raw, bool) or not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise _WrongError(N_("Please enter a whole number within the range."))
    return int(text)


def _switch(raw: object) -> bool:
    text = str(raw).strip().lower()
    if text not in _TRUE | _FALSE:
        raise _WrongError(N_("Please choose yes or no."))
    return text in _TRUE


def _choice(raw: object, options: type[StrEnum]) -> str:
    try:
        return options(str(raw).strip())
    except ValueError as error:
        raise _WrongError(N_("Please choose one of the options.")) from error


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting as forms show it: its label, and what turns input into a value."""

    label: str
    parse: Parser


SPECS: Mapping[str, Spec] = {
    "name": Spec(N_("Name of the portal"), _name),
    "accent": Spec(N_("Accent colour"), _colour),
    "logo_url": Spec(N_("Address of the logo"), _address),
    "support_email": Spec(N_("Support email"), _email),
    "help_url": Spec(N_("Help page"), _address),
    "terms_url": Spec(N_("Terms"), _address),
    "privacy_url": Spec(N_("Privacy notice"), _address),
    "legal_name": Spec(N_("Legal name"), _line),
    "legal_address": Spec(N_("Legal address"), _block),
    "legal_country": Spec(N_("Country of the operator"), _country),
    "legal_footer": Spec(N_("Small print at the foot of invoices"), _block),
    "invoice_prefix": Spec(N_("First letters of invoice numbers"), _prefix),
    "credit_note_prefix": Spec(N_("First letters of credit note numbers"), _prefix),
    "proforma_prefix": Spec(N_("First letters of proforma numbers"), _prefix),
    "invoice_note": Spec(N_("Note on every invoice"), _block),
    "stripe_tax": Spec(N_("Let Stripe work out taxes on card payments"), _switch),
    "vat_id": Spec(N_("VAT number"), partial(_line, most=32)),
    "platform_domain": Spec(N_("Base domain of the platform"), _domain),
    "trial_days": Spec(N_("Days of trial for new tiers"), partial(_number, least=0, most=365)),
    "trial_reminders": Spec(N_("Remind vendors before a trial ends"), _switch),
    "card_up_front": Spec(N_("Ask for a card before the trial"), _switch),
    "email_verification": Spec(N_("Confirmation of email addresses"), partial(_choice, options=Verification)),
    "staff_second_factor": Spec(N_("Staff need two-step sign-in"), _switch),
    "grace_days": Spec(N_("Days of grace after a failed payment"), partial(_number, least=0, most=60)),
    "pay_by_stripe": Spec(N_("Card payments by Stripe"), partial(_choice, options=Offer)),
    "pay_by_transfer": Spec(N_("Bank transfer"), partial(_choice, options=Offer)),
    "pay_by_paypal": Spec(N_("PayPal"), partial(_choice, options=Offer)),
    "bank_holder": Spec(N_("Account holder for bank transfers"), partial(_line, most=70)),
    "bank_iban": Spec(N_("IBAN"), _iban),
    "bank_bic": Spec(N_("BIC"), _bic),
    "bank_name": Spec(N_("Bank"), partial(_line, most=80)),
    "transfer_days": Spec(N_("Days to pay by bank transfer"), partial(_number, least=1, most=60)),
    "renewal_ahead_days": Spec(N_("Days ahead that a renewal is invoiced"), partial(_number, least=3, most=27)),
    "second_approval_above_minor": Spec(
        N_("Transfers above this need a second approval, in the smallest unit of money (0: never)"),
        partial(_number, least=0, most=999_999_999),
    ),
}


def parse(key: str, raw: object) -> Value:
    """The value that ``raw`` (a form's text, or a typed value) stands for.

    Raises Invalid with the setting's key as the field: unknown setting, wrong type, out of range. PayPal takes
    nothing yet, so it cannot be made live (SUB-11).
    """
    spec = SPECS.get(key)
    if spec is None:
        raise Invalid(N_("There is no setting of this name."), fields={key: N_("There is no setting of this name.")})
    try:
        value = spec.parse(raw)
    except _WrongError as error:
        raise Invalid(fields={key: str(error)}) from error
    if key == "pay_by_paypal" and value == Offer.LIVE:
        raise Invalid(fields={key: N_("PayPal cannot take payments yet.")})
    return value


_TYPES: dict[str, Any] = get_type_hints(OperatorSettings)
KEYS = tuple(field.name for field in fields(OperatorSettings))


def build(stored: Mapping[str, Any]) -> OperatorSettings:
    """The defaults with what was stored over them; keys of another version are passed over."""
    return OperatorSettings(**{key: _TYPES[key](value) for key, value in stored.items() if key in _TYPES})

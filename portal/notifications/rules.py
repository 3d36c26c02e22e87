"""Which mails there are and what each must be told; pure.

Parameters are JSON: dates as ISO text, money as ``{"minor": 4900, "currency": "EUR"}``. They are formatted in the
recipient's language when the mail is rendered. Secrets are never among them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any


class WrongMailError(ValueError):
    """A mail was asked for that does not exist, or without what its text needs; always a bug of the caller."""


Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _date(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _maybe_date(value: Any) -> bool:
    return value is None or _date(value)


def _maybe_text(value: Any) -> bool:
    return value is None or _text(value)


def _money(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"minor", "currency"}:
        return False
    return _number(value["minor"]) and _text(value["currency"]) and len(value["currency"]) == 3


def _maybe_money(value: Any) -> bool:
    return value is None or _money(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(each) for each in value)


def _size(value: Any) -> bool:
    """Of an add-on: [unit, number]."""
    return isinstance(value, list | tuple) and len(value) == 2 and _text(value[0]) and _number(value[1])


def _named_addons(value: Any) -> bool:
    """[[name, which one, size], …]"""
    return isinstance(value, list) and all(
        len(each) == 3 and _text(each[0]) and _text(each[1]) and _size(each[2]) for each in value
    )


_LOGIN = {"user_id": _number}
_VENDOR = {"vendor_code": _text, "vendor_name": _text}
_ADDON = {"addon": _text, "addon_id": _number}
_THIS_ADDON = {**_VENDOR, "addon": _text, "detail": _text, "size": _size}
_TICKET = {"subject": _text, "body": _text, "by": _text}

KINDS: Mapping[str, Mapping[str, Check]] = MappingProxyType(
    {
        "verification": _LOGIN,
        "reset": _LOGIN,
        "first_password": _LOGIN,
        "email_change": {**_LOGIN, "new_email": _text},
        "email_changed": {"new_email": _text},
        "password_changed": {"at": _date},
        "second_factor_on": {"at": _date},
        "second_factor_off": {"at": _date},
        "recovery_code_used": {"at": _date, "left": _number},
        "welcome": {**_VENDOR, "tier": _text, "ends_at": _date, "credits": _number},
        "trial_used": {**_VENDOR, "tier": _text},
        "trial_ending": {**_VENDOR, "days": _number, "ends_at": _date, "awaited": _flag},
        "trial_ended": {**_VENDOR, "ended_at": _date, "awaited": _flag},
        "trial_extended": {**_VENDOR, "ends_at": _date},
        "trial_card_used": _VENDOR,
        "subscription_active": {**_VENDOR, "tier": _text, "amount": _money, "first_charge_at": _date},
        "receipt": {
            **_VENDOR,
            "invoice_id": _number,
            "number": _text,
            "total": _money,
            "paid": _money,
            "issued_at": _date,
        },
        "payment_failed": {
            **_VENDOR,
            "number": _text,
            "amount": _money,
            "next_attempt_at": _maybe_date,
            "confirm": _flag,
        },
        "payment_reminder": {
            **_VENDOR,
            "number": _text,
            "amount": _money,
            "day": _number,
            "closes_at": _date,
            "provider": _text,
            "confirm": _flag,
        },
        "suspended": {**_VENDOR, "number": _text, "amount": _maybe_money, "confirm": _flag},
        "reactivated": {**_VENDOR, "tier": _text},
        "cancel_scheduled": {**_VENDOR, "tier": _text, "by": _text, "deleted": _texts, "ends_at": _date},
        "cancelled": {
            **_VENDOR,
            "tier": _text,
            "by": _text,
            "cause": _text,
            "deleted": _texts,
            "ended_at": _date,
            "credit": _maybe_money,
        },
        "resumed": {**_VENDOR, "tier": _text, "by": _text, "continues_at": _date},
        "refunded": {**_VENDOR, "number": _text, "amount": _money, "provider": _text},
        "refund_failed": {**_VENDOR, "number": _text, "amount": _money},
        "dispute_opened": {**_VENDOR, "reason": _text, "amount": _money, "answer_by_at": _maybe_date},
        "dispute_closed": {**_VENDOR, "amount": _money, "status": _text},
        "tier_changed": {**_VENDOR, "before": _text, "after": _text, "by": _text, "due": _money},
        "transfer_instructions": {
            **_VENDOR,
            "transfer": _number,
            "number": _text,
            "amount": _money,
            "due_at": _date,
            "holder": _text,
            "iban": _text,
            "bic": _text,
            "reference": _text,
            "days_left": _number,
        },
        "transfer_received": {
            **_VENDOR,
            "transfer": _number,
            "number": _text,
            "amount": _money,
            "open": _money,
            "reference": _text,
        },
        "transfer_approved": {
            **_VENDOR,
            "transfer": _number,
            "number": _text,
            "amount": _money,
            "tier": _text,
            "until_at": _date,
        },
        "transfer_rejected": {
            **_VENDOR,
            "transfer": _number,
            "number": _text,
            "amount": _money,
            "reason": _text,
            "still_open": _number,
        },
        "change_scheduled": {**_VENDOR, "after": _text, "by": _text, "effective_at": _date},
        "change_failed": {**_VENDOR, "after": _text, "reason": _text},
        "change_failed_staff": {**_VENDOR, "after": _text},
        "addon_added": {**_THIS_ADDON, "by": _text},
        "addon_changed": {
            **_VENDOR,
            "addon": _text,
            "detail": _text,
            "before": _size,
            "after": _size,
            "by": _text,
            "from_at": _date,
        },
        "addon_ending": {**_THIS_ADDON, "by": _text, "ends_at": _date},
        "addon_resumed": {**_THIS_ADDON, "by": _text, "continues_at": _maybe_date},
        "addon_ended": {**_THIS_ADDON, "cause": _text, "ended_at": _date},
        "addon_unpaid": {**_THIS_ADDON, "amount": _maybe_money, "ends_at": _date},
        "addons_closing": {**_VENDOR, "addons": _named_addons, "ends_at": _date},
        "addon_ready": {**_VENDOR, **_ADDON},
        "addon_failed": {**_VENDOR, **_ADDON},
        "addon_late": {**_VENDOR, **_ADDON, "promised_at": _date},
        "addon_needs_you": {**_VENDOR, **_ADDON, "step": _text},
        "certificate_renewed": {**_VENDOR, **_ADDON, "name": _text, "ends_at": _date},
        "provisioning_for_staff": {
            **_VENDOR,
            "addon": _text,
            "run_id": _number,
            "why": _text,
            "step": _text,
            "due_at": _maybe_date,
        },
        "invitation": {
            "vendor_name": _text,
            "by": _text,
            "role": _text,
            "invitation_id": _number,
            "expires_at": _date,
        },
        "invitation_accepted": {**_VENDOR, "who": _text, "email": _text, "role": _text},
        "role_changed": {**_VENDOR, "by": _text, "role": _text},
        "member_removed": {"vendor_name": _text, "by": _text},
        "member_left": {**_VENDOR, "who": _text},
        "ownership_transferred": {**_VENDOR, "before": _text, "after": _text, "is_new": _number},
        "webhook_failing": {**_VENDOR, "host": _text, "since_at": _date},
        "webhook_failing_staff": {"host": _text, "since_at": _date},
        "limit_reached": {**_VENDOR, "metric": _text, "threshold": _number, "used": _number, "limit": _number},
        "limit_changed": {**_VENDOR, "what": _text, "limit": _maybe_text, "until_at": _maybe_date},
        "domain_active": {**_VENDOR, "domain": _text},
        "domain_failing": {**_VENDOR, "domain": _text, "since_at": _date},
        "domain_back": {**_VENDOR, "domain": _text},
        "domain_lost": {**_VENDOR, "domain": _text},
        "ticket_answered": {**_VENDOR, **_TICKET, "ticket_id": _number},
        "contact_answered": _TICKET,
        "ticket_for_staff": {**_TICKET, "ticket_id": _number, "sender": _text},
    }
)


def check(kind: str, params: Mapping[str, Any]) -> None:
    """Raise WrongMailError naming what is missing, too much or of the wrong shape."""
    if kind not in KINDS:
        raise WrongMailError(f"there is no mail {kind!r}")
    expected = KINDS[kind]
    wrong = sorted(set(expected) ^ set(params))
    wrong += sorted(name for name in expected.keys() & params.keys() if not expected[name](params[name]))
    if wrong:
        raise WrongMailError(f"mail {kind!r}: {', '.join(wrong)}")


def one_line(text: str) -> str:
    """Text for a header: no line breaks or control characters, so that nothing can be injected."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())

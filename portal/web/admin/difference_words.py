"""Differences between Stripe and the portal, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from portal.kit.money import Money
from portal.stripe_events.compare import Tariff
from portal.stripe_events.difference import Difference
from portal.subscriptions.rules import Status
from portal.web.admin import words
from portal.web.kit import filters


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table; ``note`` says why the portal cannot follow by itself, where it cannot."""

    field: str
    ours: str
    theirs: str
    note: str


def line(difference: Difference) -> Line:
    """One difference in words."""
    ours, theirs = _value(difference.ours), _value(difference.theirs)
    return Line(_field(difference), ours, theirs, _note(difference))


def _field(difference: Difference) -> str:
    known = {
        "status": _("Status"),
        "price": _("Tier and price"),
        "period_start": _("Period begins"),
        "period_end": _("Period ends"),
        "trial_ends_at": _("Trial ends"),
        "cancel_at_period_end": _("Ends with the period"),
        "cancel_at": _("Ends on another day"),
        "schedule": _("Planned change (schedule)"),
        "addon": _("Add-on %(name)s", name=filters.translated(difference.label)),
        "addon_price": _("Add-on %(name)s, price", name=filters.translated(difference.label)),
        "addon_period_end": _("Add-on %(name)s, period ends", name=filters.translated(difference.label)),
        "addon_ends": _("Add-on %(name)s, ends", name=filters.translated(difference.label)),
        "addon_unknown": _("An add-on that nobody bought here"),
        "card": _("Card"),
        "customer_balance": _("Balance at Stripe"),
        "payment_method": _("Payment method"),
        "payment_default": _("Payment method that pays"),
        "refunded": _("Invoice %(number)s, given back", number=difference.label),
        "credited": _("Invoice %(number)s, credited", number=difference.label),
        "disputed": _("Invoice %(number)s, payment disputed", number=difference.label),
        "change": _("Change of tier"),
        "subscription": _("Subscription"),
        "other_subscription": _("Another subscription at Stripe"),
        "order": _("Order %(number)s", number=difference.label),
        "invoice": _("Invoice %(number)s", number=difference.label),
        "invoice_total": _("Invoice %(number)s, total", number=difference.label),
        "invoice_paid": _("Invoice %(number)s, paid", number=difference.label),
        "invoice_rights": _("Invoice %(number)s, what it pays for", number=difference.label),
    }
    return known.get(difference.field, difference.field)


def _note(difference: Difference) -> str:
    if difference.repairable:
        return ""
    return {
        "addon_unknown": _("%(id)s was put on the subscription in Stripe. Take it off there, or sell it here.",
                           id=difference.subject),
        "subscription": _("Stripe does not know this subscription. Was another Stripe account connected?"),
        "other_subscription": _("%(id)s was not ordered here, so the portal does not follow it. Cancel it at Stripe if "
                                "nobody needs it.", id=difference.subject),
    }.get(difference.field, _("Stripe's price is not in the catalog. Add it, then compare again."))  # fmt: skip


def _value(value: Any) -> str:
    """By kind: codes become words, amounts and dates are written as everywhere."""
    if value is None:
        return _("nothing")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return filters.moment(value)
    if isinstance(value, Money):
        return filters.money(value)
    if isinstance(value, Tariff):
        return _("%(tier)s, %(rate)s", tier=value.tier, rate=words.rate(value.amount, value.cycle))
    if isinstance(value, Mapping):
        brand = str(value.get("brand") or _("Card")).capitalize()
        return _("%(brand)s ending in %(last4)s", brand=brand, last4=value.get("last4", ""))
    return words.standing(value) if isinstance(value, Status) else _code(str(value))


def _code(value: str) -> str:
    return {
        "draft": _("Draft"),
        "open": _("Open"),
        "paid": _("Paid"),
        "void": _("Void"),
        "uncollectible": _("Uncollectible"),
        "expired": _("Expired"),
        "waiting": _("not granted yet"),
        "awaiting_payment": _("waits for payment"),
        "active": _("Active"),
        "trialing": _("Trial"),
        "past_due": _("Past due"),
    }.get(value, value)

"""Words for invoices, alike for vendors and staff."""

from typing import Any

from flask_babel import gettext as _

from portal.billing.listing import InFull, Shown
from portal.web.kit import countries, paper_words

_TONES = {
    Shown.OPEN: "info",
    Shown.OVERDUE: "bad",
    Shown.PAID: "good",
    Shown.UNCOLLECTIBLE: "bad",
    Shown.REFUNDED: "warn",
    Shown.PARTLY_REFUNDED: "warn",
}


def status(shown: Shown) -> tuple[str, str]:
    """What has become of an invoice in a word, and the tone of its badge."""
    word = {
        Shown.OPEN: _("Open"),
        Shown.OVERDUE: _("Overdue"),
        Shown.PAID: _("Paid"),
        Shown.CREDIT: _("Credit"),
        Shown.CREDITED: _("Credited"),
        Shown.PARTLY_CREDITED: _("Partly credited"),
        Shown.REFUNDED: _("Refunded"),
        Shown.PARTLY_REFUNDED: _("Partly refunded"),
        Shown.VOID: _("Withdrawn"),
        Shown.UNCOLLECTIBLE: _("Given up"),
    }[shown]
    return word, _TONES.get(shown, "neutral")


def reason(code: str, shown: Shown) -> str:
    """What an invoice is for."""
    if shown == Shown.CREDIT:
        return _("Unused time, kept as credit")
    return {
        "subscription_create": _("First period"),
        "subscription_cycle": _("Renewal"),
        "subscription_update": _("Plan or add-ons changed"),
        "addon_create": _("Add-on"),
        "addon_cycle": _("Renewal of an add-on"),
        "addon_update": _("Add-on changed"),
        "manual": _("Single charge"),
    }.get(code, _("Other"))


def provider(code: str) -> str:
    """How it is paid."""
    return {"stripe": _("Card (Stripe)"), "transfer": _("Bank transfer")}.get(code, code)


def statuses() -> list[tuple[str, str]]:
    """The filter: word of the address, word for people; the first leaves nothing out."""
    return [("", _("All")), ("open", _("Open")), ("paid", _("Paid")), ("void", _("Withdrawn"))]


def payment(code: str) -> tuple[str, str]:
    """What became of a payment, and the tone of its badge."""
    return {
        "succeeded": (_("Received"), "good"),
        "failed": (_("Failed"), "bad"),
        "refunded": (_("Refunded"), "warn"),
    }.get(code, (code, "neutral"))


def refund(code: str) -> tuple[str, str]:
    """How far money that goes back has come, and the tone of its badge."""
    return {
        "requested": (_("Being sent back"), "info"),
        "pending": (_("On its way back"), "info"),
        "succeeded": (_("Sent back"), "good"),
        "failed": (_("Could not be sent back"), "bad"),
    }.get(code, (code, "neutral"))


def dispute(code: str) -> tuple[str, str]:
    """Where a dispute stands (Stripe's words), and the tone of its badge."""
    return {
        "won": (_("Decided for us"), "good"),
        "lost": (_("Decided against us"), "bad"),
        "under_review": (_("Under review at the bank"), "warn"),
        "warning_closed": (_("Closed"), "neutral"),
    }.get(code, (_("Needs an answer"), "bad"))


def of(full: InFull) -> dict[str, Any]:
    """What a page about one invoice is given."""
    number = full.listed.number or ""
    proforma = full.is_ours and not full.invoice.number
    name = _("Proforma %(number)s", number=number) if proforma else _("Invoice %(number)s", number=number)
    return {"full": full, "listed": full.listed, "invoice": full.invoice, "name": name.strip(), **helpers()}


def helpers() -> dict[str, Any]:
    """What the templates of invoices call."""
    return {
        "status_of": status,
        "reason_of": reason,
        "provider_of": provider,
        "payment_of": payment,
        "refund_of": refund,
        "dispute_of": dispute,
        "tax_label": paper_words.tax_label,
        "country_of": countries.name,
    }

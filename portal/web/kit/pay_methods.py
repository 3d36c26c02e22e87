"""The ways to pay, alike everywhere: live, coming soon, or not shown (SUB-11)."""

from dataclasses import dataclass

from flask_babel import gettext as _

from portal.checkout import transfer_flows
from portal.gateways import stripe
from portal.settings import queries as settings
from portal.settings.rules import Offer

STRIPE, TRANSFER, PAYPAL = "stripe", "transfer", "paypal"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to pay as pages show it."""

    code: str
    label: str
    text: str
    is_live: bool


def shown() -> list[Method]:
    """Every method that the operator shows, in the same order everywhere. What cannot work here is not shown."""
    return [Method(code, *_words(code), is_live=offer == Offer.LIVE) for code, offer in _offered()]


def _offered() -> list[tuple[str, Offer]]:
    operator = settings.current()
    offers = (
        (STRIPE, operator.pay_by_stripe, stripe.is_configured()),
        (TRANSFER, operator.pay_by_transfer, transfer_flows.is_offered()),
        (PAYPAL, operator.pay_by_paypal, False),
    )
    return [
        (code, offer) for code, offer, works in offers if offer == Offer.COMING_SOON or (offer == Offer.LIVE and works)
    ]


def _words(code: str) -> tuple[str, str]:
    return {
        STRIPE: (_("Card"), _("Paid at once on Stripe's page, and by itself from then on.")),
        TRANSFER: (_("Bank transfer"), _("You get an invoice and pay from your bank. The plan opens when it arrives.")),
        PAYPAL: (_("PayPal"), ""),
    }[code]


def live() -> list[str]:
    """Codes of the methods that take money here."""
    return [code for code, offer in _offered() if offer == Offer.LIVE]


def must_be_chosen() -> bool:
    """Is there a choice to make, or is the card not the way? Otherwise the card's page opens directly."""
    return transfer_flows.is_offered() or live() not in ([], [STRIPE])

"""Test cards: what each number does, as Stripe documents its own."""

import hashlib
from dataclasses import dataclass

DECLINES = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "expired_card": ("expired_card", "Your card has expired."),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
    "live_mode_test_card": (
        "card_declined",
        "Your card was declined. Your request was in test mode, but used a non test card. "
        "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    ),
}


@dataclass(frozen=True)
class Card:
    """How a number behaves: `attach` and `charge` are decline codes or None; `authenticate` is never, setup or always.

    "setup" asks the person once (on the page) and lets later charges through; "always" asks at every payment,
    so a charge without the person is refused. `refund` is "pending" (arrives later) or "fails" (later, too), empty
    for at once; `disputed` cards are followed by a dispute as soon as they have paid.
    """

    number: str
    label: str
    attach: str | None = None
    charge: str | None = None
    authenticate: str = "never"
    known: bool = True
    refund: str = ""
    disputed: bool = False

    @property
    def brand(self) -> str:
        """The network, from the first digits."""
        return {"4": "visa", "5": "mastercard", "3": "amex"}.get(self.number[0], "unknown")

    @property
    def fingerprint(self) -> str:
        """Stable for a number, whoever uses it."""
        return hashlib.sha256(f"sandbox card {self.number}".encode()).hexdigest()[:16]


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242", "Works"),
        Card("5555555555554444", "Works (Mastercard)"),
        Card("4000000000000002", "Declined", attach="generic_decline", charge="generic_decline"),
        Card("4000000000009995", "Insufficient funds", attach="insufficient_funds", charge="insufficient_funds"),
        Card("4000000000000069", "Expired", attach="expired_card", charge="expired_card"),
        Card("4000002500003155", "3-D Secure once", authenticate="setup"),
        Card("4000000000003220", "3-D Secure for this payment", authenticate="setup"),
        Card("4000002760003184", "3-D Secure every time", authenticate="always"),
        Card("4000008400001629", "3-D Secure, then refused", charge="generic_decline", authenticate="setup"),
        Card("4000000000000341", "Works now, every charge fails", charge="generic_decline"),
        Card("4000000000000259", "Works, then the payment is disputed", disputed=True),
        Card("4000000000007726", "Works, refunds take an hour", refund="pending"),
        Card("4000000000005126", "Works, refunds fail after an hour", refund="fails"),
    )
}

TOKENS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_threeDSecure2Required": "4000000000003220",
    "pm_card_threeDSecureRequired": "4000000000003220",
    "pm_card_threeDSecureRequiredChargeDeclined": "4000008400001629",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
}


def behaviour(number: str) -> Card:
    """The card with this number: 4242 cards all work, each is its own card; a real number is refused."""
    if number in CARDS:
        return CARDS[number]
    if number.startswith("4242"):
        return Card(number, "Works", known=False)
    return Card(number, "Not a test card", attach="live_mode_test_card", charge="live_mode_test_card", known=False)


def plausible(number: str) -> bool:
    """Whether the digits satisfy the check digit (Luhn) and a card's length."""
    if not number.isascii() or not number.isdigit() or not 13 <= len(number) <= 19:
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0

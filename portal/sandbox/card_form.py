"""The card fields of the hosted pages: what was typed, what is wrong with it, and the card that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portal.sandbox import cards, customers
from portal.sandbox.payments import Outcome
from portal.sandbox.tx import Doc, Tx


@dataclass
class CardForm:
    """The fields as typed; `errors` has a message for each wrong field."""

    number: str = "4242 4242 4242 4242"
    expiry: str = "12 / 34"
    cvc: str = "123"
    name: str = "Alex Example"
    email: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, number: str = "", name: str = "", email: str = "") -> "CardForm":
        """The form before anything was typed, filled so that one click pays."""
        digits = number if number in cards.CARDS else "4242424242424242"
        return cls(number=grouped(digits), name=name or "Alex Example", email=email)

    @classmethod
    def typed(cls, form: Mapping[str, str], now: int, *, wants_email: bool = False) -> "CardForm":
        """What was sent, checked as Stripe's page checks it."""
        number, expiry, cvc, name, email = (
            form.get(field, "").strip()[:200] for field in ("number", "expiry", "cvc", "name", "email")
        )
        made = cls(number, expiry, cvc, name, email)
        made._check(now, wants_email)
        return made

    def _check(self, now: int, wants_email: bool) -> None:
        if not cards.plausible(self.digits):
            self.errors["number"] = "Your card number is invalid."
        month, year = self.expires
        today = datetime.fromtimestamp(now, UTC)
        if not 1 <= month <= 12:
            self.errors["expiry"] = "Write the expiry date as MM / YY."
        elif (year, month) < (today.year, today.month):
            self.errors["expiry"] = "Your card's expiration date is in the past."
        if not (self.cvc.isascii() and self.cvc.isdigit() and len(self.cvc) in (3, 4)):
            self.errors["cvc"] = "Your card's security code is incomplete."
        if not self.name:
            self.errors["name"] = "Enter the name on the card."
        if wants_email and ("@" not in self.email or " " in self.email):
            self.errors["email"] = "Enter an email address."

    @property
    def digits(self) -> str:
        """The number without spaces."""
        return self.number.replace(" ", "")

    @property
    def expires(self) -> tuple[int, int]:
        """Month and year; month 0 when it cannot be read."""
        month, _, year = self.expiry.replace(" ", "").partition("/")
        if not (month.isascii() and month.isdigit() and year.isascii() and year.isdigit() and len(year) in (2, 4)):
            return 0, 0
        return int(month), int(year) + (2000 if len(year) == 2 else 0)

    def card(self, tx: Tx) -> Doc:
        """The payment method, attached to nobody yet."""
        month, year = self.expires
        return customers.new_card(tx, self.digits, month, year, self.name)


def grouped(digits: str) -> str:
    """A card number as it is printed on cards."""
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def refusal(outcome: Outcome) -> str:
    """What the page says about a refused card."""
    return cards.DECLINES[outcome.decline or "generic_decline"][1]


def buttons() -> list[tuple[str, str, str]]:
    """Digits, printed number and meaning of each test card."""
    return [(card.number, grouped(card.number), card.label) for card in cards.CARDS.values()]

"""What may be shown of a payment method, and when a card runs out; pure."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

#: A card counts as expiring in its last month and the one before, so that a monthly charge is not missed.
NOTICE_MONTHS = 1


class Expiry(StrEnum):
    """How long a card still works."""

    FINE = "fine"
    SOON = "soon"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Kept:
    """A payment method as Stripe keeps it, as far as it may be shown: no number, no fingerprint."""

    reference: str
    kind: str
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None

    def shown(self) -> dict[str, Any]:
        """What is stored of it."""
        return {"brand": self.brand, "last4": self.last4, "exp_month": self.exp_month, "exp_year": self.exp_year}


def read(document: dict[str, Any]) -> Kept:
    """Read a Stripe payment method of whatever kind."""
    kind = str(document["type"])
    part = document.get(kind) or {}
    return Kept(
        reference=document["id"],
        kind=kind,
        brand=str(part.get("brand") or kind.replace("_", " ")),
        last4=str(part.get("last4") or ""),
        exp_month=part.get("exp_month"),
        exp_year=part.get("exp_year"),
    )


def expiry(exp_month: int | None, exp_year: int | None, today: date) -> Expiry:
    """Whether a card has run out or is about to; it works until the last day of its month. None: never runs out."""
    if exp_month is None or exp_year is None:
        return Expiry.FINE
    left = (exp_year * 12 + exp_month) - (today.year * 12 + today.month)
    return Expiry.OVER if left < 0 else Expiry.SOON if left <= NOTICE_MONTHS else Expiry.FINE

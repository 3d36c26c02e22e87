"""Money in integer minor units with its currency: one rounding function, one allocator."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


def minor_digits(currency: str) -> int:
    """Digits after the decimal point (ISO 4217, as Stripe counts them)."""
    code = currency.upper()
    return 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2


def parse_minor(text: str, currency: str) -> int:
    """What somebody typed as minor units: digits, and behind a comma or point no more than the currency has.

    Raises ValueError for all else: signs, thousands separators (1,234 might be either), words, more than 12 digits.
    """
    found = re.fullmatch(r"([0-9]{1,12})(?:[.,]([0-9]+))?", text.strip(), re.ASCII)
    digits = minor_digits(currency)
    if found is None or len(found[2] or "") > digits:
        raise ValueError(f"not an amount in {currency}: {text!r}")
    return int(found[1] + (found[2] or "").ljust(digits, "0"))


def round_half_away(value: Fraction) -> int:
    """The one rounding of the product: to the nearest whole minor unit, halves away from zero."""
    sign = -1 if value < 0 else 1
    return sign * ((abs(value) * 2 + 1) // 2).__floor__()


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split ``total`` minor units by ``weights`` so that the parts sum to it exactly (largest remainder).

    Ties go to the earlier part. Raises ValueError when the weights do not sum to a positive number.
    """
    whole = sum(weights)
    if whole <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights must be non-negative and sum to a positive number")
    sign = -1 if total < 0 else 1
    shares = [Fraction(abs(total) * w, whole) for w in weights]
    parts = [share.__floor__() for share in shares]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - shares[i], i))
    for i in by_remainder[: abs(total) - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, yen …) of one currency (ISO 4217, upper case)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if len(self.currency) != 3 or not self.currency.isupper():
            raise ValueError(f"not an ISO 4217 code: {self.currency!r}")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add")
        return other.minor

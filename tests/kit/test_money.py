"""Cents: one rounding, one allocator, no mixing of currencies. Figures worked out by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.kit.money import Money, allocate, minor_digits, round_half_away

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(1, 2), 1),  # 0.5: halves go away from zero
        (Fraction(-1, 2), -1),
        (Fraction(5, 2), 3),  # 2.5 (the banker's rounding would say 2)
        (Fraction(-5, 2), -3),
        (Fraction(49, 100), 0),
        (Fraction(-49, 100), 0),
        (Fraction(19900 * 20, 30), 13267),  # 398,000 / 30 = 13,266.67
        (Fraction(7), 7),
    ],
)
def test_rounds_halves_away_from_zero(value: Fraction, expected: int) -> None:
    assert round_half_away(value) == expected


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),  # 33.33 each: one cent is left, the earliest gets it
        (-100, [1, 1, 1], [-34, -33, -33]),
        (10, [1, 2, 4], [1, 3, 6]),  # 1.43, 2.86, 5.71: two cents left, for .86 and .71
        (5, [0, 1], [0, 5]),
        (0, [3, 4], [0, 0]),
        (9900, [20, 10], [6600, 3300]),
    ],
)
def test_shares_out_every_cent_by_largest_remainder(total: int, weights: list[int], parts: list[int]) -> None:
    assert allocate(total, weights) == parts


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(sum))
def test_parts_sum_to_the_whole_and_none_is_a_cent_off(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


@pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
def test_refuses_weights_that_share_nothing_out(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(100, weights)


def test_adds_and_subtracts_within_one_currency_only() -> None:
    assert Money(9900, "EUR") + Money(100, "EUR") == Money(10000, "EUR")
    assert Money(100, "EUR") - Money(9900, "EUR") == Money(-9800, "EUR")
    with pytest.raises(ValueError, match="EUR and USD"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(ValueError, match="EUR and USD"):
        Money(1, "EUR") - Money(1, "USD")


@pytest.mark.parametrize("code", ["eur", "EURO", "", "E"])
def test_refuses_what_is_no_currency(code: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, code)


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("JPY", 0), ("jpy", 0), ("KWD", 3), ("USD", 2)])
def test_knows_how_many_digits_a_currency_has(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits

"""Figures and words of lists, by hand."""

import pytest

from portal.catalog.rules import Cycle
from portal.kit.money import Money
from portal.reporting.rules import code_part, per_month, recurring, search_words, spellings
from portal.subscriptions.rules import Status

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("minor", "cycle", "expected"),
    [
        (9900, Cycle.MONTHLY, 9900),
        # 99000 / 12 = 8250 exactly
        (99000, Cycle.YEARLY, 8250),
        # 100 / 12 = 8.33…, nearest 8
        (100, Cycle.YEARLY, 8),
        # 102 / 12 = 8.5, half away from zero: 9
        (102, Cycle.YEARLY, 9),
        (0, Cycle.YEARLY, 0),
    ],
)
def test_a_price_counts_by_the_month(minor, cycle, expected):
    assert per_month(Money(minor, "EUR"), cycle) == Money(expected, "EUR")


@pytest.mark.parametrize("status", list(Status))
def test_only_who_pays_or_is_about_to_recurs(status):
    counts = recurring(status, Money(9900, "EUR"), Cycle.MONTHLY) is not None
    assert counts == (status in (Status.ACTIVE, Status.PAST_DUE))


def test_nothing_recurs_without_a_price_or_a_subscription():
    assert recurring(Status.ACTIVE, None, None) is None
    assert recurring(None, Money(9900, "EUR"), Cycle.MONTHLY) is None


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (None, ""),
        ("  ", ""),
        (" Oak\t&  Iron ", "Oak & Iron"),
        ("nul\0byte", "nul byte"),
        ("x" * 5000, "x" * 100),
        ("‮evil", "evil"),
    ],
)
def test_what_is_typed_is_tidied(typed, expected):
    assert search_words(typed) == expected


def test_words_become_the_part_of_a_code_that_they_would_make():
    assert code_part("Café Über") == "cafe-uber"
    assert code_part("100%") == "100"
    assert code_part("%_") == ""
    assert code_part("магазин") == ""


def test_other_letters_than_ascii_are_spelt_in_every_case():
    assert spellings("oak") == ["oak"]
    assert spellings("öz") == ["öz", "ÖZ", "Öz"]

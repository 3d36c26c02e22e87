"""Which tax falls on whom, and how sums are rounded and shared out."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.billing import tax
from portal.billing.rules import (
    Category,
    Credited,
    Rate,
    Tax,
    TaxSum,
    rates_on,
    share_gross,
    share_out,
    sum_up,
    tax_for,
)

TABLE = {
    "DE": Rate("DE", "VAT", 1900, date(2020, 1, 1)),
    "FR": Rate("FR", "TVA", 2000, date(2020, 1, 1)),
    "CH": Rate("CH", "MWST", 810, date(2024, 1, 1)),
}


@pytest.mark.parametrize(
    ("seller", "buyer", "vat", "category", "rate", "country"),
    [
        ("DE", "DE", None, "S", 1900, "DE"),
        ("DE", "DE", "DE", "S", 1900, "DE"),
        ("DE", "DE", "FR", "S", 1900, "DE"),
        ("DE", None, None, "S", 1900, "DE"),
        ("DE", "FR", "FR", "AE", 0, "FR"),
        ("DE", "FR", "IT", "AE", 0, "FR"),
        # A number of the operator's own country shows no business abroad.
        ("DE", "FR", "DE", "S", 2000, "FR"),
        ("DE", "FR", None, "S", 2000, "FR"),
        ("DE", "IT", None, "S", 1900, "DE"),
        ("DE", "CH", None, "S", 810, "CH"),
        ("DE", "US", None, "O", 0, "US"),
        ("US", "FR", "FR", "S", 2000, "FR"),
        ("CH", "DE", "DE", "S", 1900, "DE"),
        ("CH", "IT", "IT", "O", 0, "IT"),
    ],
)
def test_who_pays_which_tax(
    seller: str, buyer: str | None, vat: str | None, category: str, rate: int, country: str
) -> None:
    found = tax_for(seller, buyer, vat, TABLE)
    assert found is not None
    assert (found.category, found.rate_bp, found.country) == (category, rate, country)


def test_an_empty_table_prints_nothing() -> None:
    assert tax_for("DE", "FR", "FR", {}) is None


def test_at_home_without_a_rate_nothing_is_charged() -> None:
    assert tax_for("AT", "AT", None, TABLE) is None


def test_a_rate_of_zero_is_said() -> None:
    found = tax_for("DE", "DE", None, {"DE": Rate("DE", "VAT", 0, date(2020, 1, 1))})
    assert found is not None
    assert found.category == Category.ZERO


def test_the_newest_rate_that_has_begun_holds_until_it_ends() -> None:
    table = [
        Rate("DE", "VAT", 2100, date(2027, 7, 1)),
        Rate("DE", "VAT", 1900, date(2020, 1, 1)),
        Rate("FR", "TVA", 2000, date(2020, 1, 1), valid_until=date(2027, 3, 1)),
    ]
    assert rates_on(date(2027, 6, 30), table)["DE"].rate_bp == 1900
    assert rates_on(date(2027, 7, 1), table)["DE"].rate_bp == 2100
    assert "FR" in rates_on(date(2027, 2, 28), table)
    assert "FR" not in rates_on(date(2027, 3, 1), table)


def test_each_tax_is_rounded_once_on_its_sum() -> None:
    vat = Tax(Category.STANDARD, "VAT", "DE", 1900)
    # 3 x 0.33 = 0.99; 19 % of 0.99 = 0.1881 -> 0.19. Line by line it would be 3 x 0.06 = 0.18.
    sums, positions = sum_up([33, 33, 33], [vat, vat, vat])
    assert [(s.base_minor, s.amount_minor) for s in sums] == [(99, 19)]
    assert positions == [0, 0, 0]


def test_halves_go_away_from_zero() -> None:
    half = Tax(Category.STANDARD, "VAT", "DE", 500)
    # 5 % of 0.10 = 0.005 -> 0.01; of -0.10 -> -0.01.
    assert sum_up([10], [half])[0][0].amount_minor == 1
    assert sum_up([-10], [half])[0][0].amount_minor == -1


@given(
    bases=st.lists(st.integers(1, 10**7), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 10**7), max_size=6),
    untaxed=st.integers(0, 10**5),
)
def test_credit_notes_add_up_to_the_invoice_however_it_is_cut(bases: list[int], cuts: list[int], untaxed: int) -> None:
    taxes = [
        TaxSum(Tax(Category.STANDARD, "VAT", "DE", r), b, (b * r + 5000) // 10_000)
        for b, r in zip(bases, (1900, 700, 333), strict=False)
    ]
    done, left, plain = [Credited(0, 0)] * len(taxes), sum(bases) + untaxed, untaxed
    for cut in (*cuts, 10**9):
        net = min(cut, left)
        if net == 0:
            break
        parts = share_out(net, taxes, done, plain)
        assert all(part.base_minor >= 0 for part in parts)
        plain -= net - sum(part.base_minor for part in parts)
        done = [
            Credited(d.base_minor + p.base_minor, d.amount_minor + p.amount_minor)
            for d, p in zip(done, parts, strict=True)
        ]
        left -= net
    assert [(d.base_minor, d.amount_minor) for d in done] == [(t.base_minor, t.amount_minor) for t in taxes]
    assert plain == 0


@given(bases=st.lists(st.integers(1, 10**6), min_size=1, max_size=2), cuts=st.lists(st.integers(1, 10**6), max_size=5))
def test_sums_that_went_back_are_credited_to_the_cent(bases: list[int], cuts: list[int]) -> None:
    """Each credit note comes to what was sent, and together they are the invoice."""
    taxes = [
        TaxSum(Tax(Category.STANDARD, "VAT", "DE", r), b, (b * r + 5000) // 10_000)
        for b, r in zip(bases, (1900, 700), strict=False)
    ]
    done, net_left = [Credited(0, 0)] * len(taxes), sum(bases)
    left = net_left + sum(tax.amount_minor for tax in taxes)
    for cut in (*cuts, 10**9):
        gross = min(cut, left)
        if gross == 0:
            break
        net, parts = share_gross(gross, taxes, done, 0)
        assert net + sum(part.amount_minor for part in parts) == gross
        assert net == sum(part.base_minor for part in parts)
        done = [
            Credited(d.base_minor + p.base_minor, d.amount_minor + p.amount_minor)
            for d, p in zip(done, parts, strict=True)
        ]
        left, net_left = left - gross, net_left - net
    assert [(d.base_minor, d.amount_minor) for d in done] == [(t.base_minor, t.amount_minor) for t in taxes]


def test_a_sum_that_no_net_amount_comes_to_has_an_odd_cent_of_tax() -> None:
    """At 19 % there is no net amount for 0.03: 0.02 has no tax (0.0038), 0.03 has 0.01 (0.0057)."""
    vat = [TaxSum(Tax(Category.STANDARD, "VAT", "DE", 1900), 10_000, 1900)]
    assert share_gross(3, vat, [Credited(0, 0)], 0) == (3, [Credited(3, 0)])


@pytest.mark.parametrize(
    ("number", "country", "kept"),
    [
        ("DE 136 695 976", "DE", "DE136695976"),
        ("de136695976", "DE", "DE136695976"),
        ("DE136695977", "DE", None),
        ("EL094259216", "GR", "EL094259216"),
        ("FR40303265045", "FR", "FR40303265045"),
        ("CHE-107.787.577 IVA", "CH", "CHE107787577IVA"),
        ("CHE107787578IVA", "CH", None),
        ("12-3456789", "US", "123456789"),
        ("nonsense!", "DE", None),
        ("A" * 21, "US", None),
    ],
)
def test_vat_numbers_are_checked_without_asking_anybody(number: str, country: str, kept: str | None) -> None:
    assert tax.clean_vat_id(number, country) == kept


def test_greece_writes_el() -> None:
    assert tax.vat_country("EL094259216") == "GR"
    assert tax.vat_country("DE136695976") == "DE"
    assert tax.vat_country("DE136695977") is None
    assert tax.vat_country("") is None

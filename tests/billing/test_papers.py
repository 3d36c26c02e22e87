"""Our own invoices: asked, paid, voided, corrected (BIL-4)."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from flask import Flask

from portal.billing import balance, papers
from portal.billing.models import BalanceEntry, Invoice, Payment, TaxRate
from portal.billing.papers import NewLine
from portal.kit import actor, clock, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from tests.support.tenants import make_vendor

SAM = actor.staff(7, "Sam Staff")


@pytest.fixture
def vendor_id(app: Flask) -> Iterator[int]:
    """A vendor of an operator in Germany (19 %)."""
    vendor_id = make_vendor()
    with unit_of_work():
        settings.change("legal_country", "DE", actor=SAM, now=clock.business())
    charges("DE", 1900)
    with tenancy.scoped(vendor_id):
        yield vendor_id


def charges(country: str, rate_bp: int, since: date = date(2020, 1, 1), label: str = "VAT") -> None:
    """A line of the operator's table."""
    with unit_of_work():
        db.session.add(TaxRate(country=country, label=label, rate_bp=rate_bp, valid_from=since))


def asks(vendor_id: int, *amounts: int, starts: list[datetime | None] | None = None) -> Invoice:
    """A proforma with one line for each amount."""
    now = clock.business()
    begun = starts or [None] * len(amounts)
    lines = [NewLine(f"Line {i}", a, period_start=s) for i, (a, s) in enumerate(zip(amounts, begun, strict=True))]
    with unit_of_work():
        return papers.issue_proforma(
            vendor_id, lines, "EUR", reason="subscription_create", due_at=now + timedelta(days=14), now=now
        )


def pays(invoice: Invoice, minor: int, reference: str) -> int:
    """Money comes in today."""
    with unit_of_work():
        return papers.receive(invoice, minor, reference=reference, at=clock.business(), now=clock.business())


def has(vendor_id: int, minor: int, cause: str = "gift") -> None:
    """The vendor has a balance."""
    with unit_of_work():
        balance.add(
            vendor_id, Money(minor, "EUR"), cause=cause, description="x", actor_label="Sam", now=clock.business()
        )


def credits(invoice: Invoice, *amounts: int, cause: str = "c1") -> int:
    """A credit note over net amounts (none: all that is left); gives its total."""
    lines = [NewLine("Unused time", a) for a in amounts] or None
    with unit_of_work():
        return papers.credit(
            invoice, lines, reason="Wrong tier", cause=cause, actor=SAM, now=clock.business()
        ).total_minor


def test_a_proforma_asks_for_net_and_tax_rounded_once(vendor_id: int) -> None:
    invoice = asks(vendor_id, 4950, 333, -100)
    # 4950 + 333 - 100 = 5183; 19 % of 5183 = 984.77 -> 985; line by line it would be 940.5 + 63.27 - 19 = 985 too,
    # but 941 + 63 - 19 rounded each by itself.
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (5183, 985, 6168)
    assert (invoice.status, invoice.proforma_number, invoice.number) == ("open", "PF-2027-00001", None)
    (row,) = papers.taxes_of(invoice)
    assert (row.category, row.rate_bp, row.base_minor, row.amount_minor) == ("S", 1900, 5183, 985)
    assert {line.tax_position for line in invoice.lines} == {0}


def test_a_line_whose_period_begins_under_a_new_rate_has_the_new_rate(vendor_id: int) -> None:
    charges("DE", 2100, date(2027, 2, 1))
    now = clock.business()
    invoice = asks(vendor_id, 10_000, 20_000, starts=[now, now + timedelta(days=20)])
    # 15 January: 19 % of 100.00 = 19.00; 4 February: 21 % of 200.00 = 42.00.
    assert [(t.rate_bp, t.base_minor, t.amount_minor) for t in papers.taxes_of(invoice)] == [
        (1900, 10_000, 1900),
        (2100, 20_000, 4200),
    ]
    assert [line.tax_position for line in invoice.lines] == [0, 1]
    assert invoice.total_minor == 36_100


def test_paid_in_parts_it_becomes_an_invoice_with_the_last(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    # 100.00 + 19.00 = 119.00; 50.00 and 60.00 come, then 15.00 of which 6.00 is too much.
    assert pays(invoice, 5000, "A") == 0
    assert pays(invoice, 6000, "B") == 0
    assert (invoice.status, invoice.number, invoice.paid_minor) == ("open", None, 11_000)
    assert pays(invoice, 1500, "C") == 600
    assert (invoice.status, invoice.number, invoice.paid_minor) == ("paid", "INV-2027-00001", 11_900)
    assert balance.balance(vendor_id, "EUR") == Money(600, "EUR")


def test_the_same_money_counts_once(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    assert pays(invoice, 20_000, "A") == 8100
    assert pays(invoice, 20_000, "A") == 0
    assert balance.balance(vendor_id, "EUR").minor == 8100
    assert db.session.query(Payment).filter_by(vendor_id=vendor_id).count() == 1


def test_money_for_a_paid_invoice_is_all_surplus(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    pays(invoice, 11_900, "A")
    assert pays(invoice, 11_900, "B") == 11_900
    assert (invoice.paid_minor, invoice.number) == (11_900, "INV-2027-00001")


def test_the_balance_is_used_and_may_pay_everything(vendor_id: int) -> None:
    has(vendor_id, 15_000)
    first = asks(vendor_id, 10_000)
    assert (first.status, first.number, first.due_minor, first.balance_applied_minor) == (
        "paid",
        "INV-2027-00001",
        0,
        -11_900,
    )
    second = asks(vendor_id, 10_000)
    # 150.00 - 119.00 = 31.00 is left; 119.00 - 31.00 = 88.00 to pay.
    assert (second.status, second.due_minor, second.balance_applied_minor) == ("open", 8800, -3100)
    assert pays(second, 8800, "A") == 0
    assert second.status == "paid"


def test_voiding_gives_back_what_was_used_and_what_came(vendor_id: int) -> None:
    has(vendor_id, 3100)
    invoice = asks(vendor_id, 10_000)
    pays(invoice, 1000, "A")
    for _ in range(2):
        with unit_of_work():
            papers.void(invoice, now=clock.business())
    assert invoice.status == "void"
    # 31.00 used + 10.00 that came.
    assert balance.balance(vendor_id, "EUR").minor == 4100


def test_a_paid_invoice_is_not_voided(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    pays(invoice, 11_900, "A")
    with pytest.raises(Conflict), unit_of_work():
        papers.void(invoice, now=clock.business())
    assert invoice.status == "paid"


def test_credit_notes_take_back_exactly_the_invoice_however_it_is_cut(vendor_id: int) -> None:
    charges("DE", 700, date(2027, 2, 1))
    now = clock.business()
    invoice = asks(vendor_id, 3333, 1111, starts=[now, now + timedelta(days=20)])
    # 19 % of 33.33 = 6.3327 -> 6.33; 7 % of 11.11 = 0.7777 -> 0.78; 44.44 + 7.11 = 51.55.
    assert invoice.total_minor == 5155
    pays(invoice, 5155, "A")
    # 10.00 of 44.44: 1000 x 3333/4444 = 750 exactly, 1000 x 1111/4444 = 250;
    # 633 x 750/3333 = 142.44 -> 142; 78 x 250/1111 = 17.55 -> 18; 1000 + 160.
    assert credits(invoice, 1000) == 1160
    # 10.01 more: left 2583 and 861; 1001 x 2583/3444 = 750.75, 1001 x 861/3444 = 250.25 -> 751 and 250;
    # 633 x 1501/3333 = 285.07 -> 285 - 142 = 143; 78 x 500/1111 = 35.10 -> 35 - 18 = 17; 1001 + 160.
    assert credits(invoice, 1001, cause="c2") == 1161
    # The rest: 5155 - 1160 - 1161.
    assert credits(invoice, cause="c3") == 2834
    assert invoice.credited_minor == invoice.total_minor
    notes = papers.notes_of(invoice)
    assert [note.number for note in notes] == ["CN-2027-00001", "CN-2027-00002", "CN-2027-00003"]
    assert [sum(note.taxes[i]["amount_minor"] for note in notes) for i in (0, 1)] == [633, 78]
    with pytest.raises(Conflict):
        credits(invoice, cause="c4")


def test_not_more_is_credited_than_is_left_and_once_per_cause(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    with pytest.raises(Conflict):
        credits(invoice)
    pays(invoice, 11_900, "A")
    for wrong in (0, -5, 10_001):
        with pytest.raises(Invalid) as refused:
            credits(invoice, wrong)
        assert "amount" in refused.value.fields
    assert credits(invoice, 6000) == credits(invoice, 6000) == 7140
    with pytest.raises(Invalid):
        credits(invoice, 4001, cause="c2")
    assert invoice.credited_minor == 7140


def test_no_rate_no_tax(app: Flask) -> None:
    vendor_id = make_vendor()
    with tenancy.scoped(vendor_id):
        invoice = asks(vendor_id, 10_000)
        assert (invoice.total_minor, papers.taxes_of(invoice)) == (10_000, [])
        pays(invoice, 10_000, "A")
        assert credits(invoice, 2500) == 2500
        assert credits(invoice, cause="rest") == 7500


def test_the_balance_never_goes_below_zero_and_counts_a_cause_once(vendor_id: int) -> None:
    has(vendor_id, 500)
    has(vendor_id, 500)
    assert balance.balance(vendor_id, "EUR").minor == 500
    assert balance.balance(vendor_id, "USD").minor == 0
    with pytest.raises(Conflict):
        has(vendor_id, -501, "too much")
    assert db.session.query(BalanceEntry).filter_by(vendor_id=vendor_id).count() == 1


def test_a_paper_keeps_both_sides_as_they_were(vendor_id: int) -> None:
    invoice = asks(vendor_id, 10_000)
    with unit_of_work():
        settings.change("legal_country", "AT", actor=SAM, now=clock.business())
    found = db.session.get_one(Invoice, invoice.id, populate_existing=True)
    assert found.seller is not None and found.seller["country"] == "DE"
    assert found.buyer is not None and found.buyer["name"] == "Kilim House"

"""Many hands at one invoice: money counts once, no more is credited than was asked, the books balance."""

import random
from typing import Any

from flask import Flask
from sqlalchemy import func, select

from portal.billing import balance, papers
from portal.billing.models import BalanceEntry, CreditNote, Invoice, Payment
from portal.billing.papers import NewLine
from portal.identity.models import Vendor
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from tests.billing.test_numbering import side_by_side
from tests.billing.test_papers import SAM, asks, credits, pays, vendor_id

__all__ = ["vendor_id"]


def under_lock(vendor: int, invoice_id: int) -> Invoice:
    """The invoice with its vendor locked, as every caller does it."""
    db.session.execute(select(Vendor.id).where(Vendor.id == vendor).with_for_update())
    found = papers.locked(invoice_id, vendor)
    assert found is not None
    return found


def test_the_same_transfer_booked_by_twenty_counts_once(app: Flask, vendor_id: int) -> None:
    asked = asks(vendor_id, 10_000)

    def book(_: int) -> int:
        now = clock.business()
        with unit_of_work():
            return papers.receive(under_lock(vendor_id, asked.id), 12_000, reference="one", at=now, now=now)

    # 120.00 for 119.00: one of twenty sees the surplus.
    assert sorted(side_by_side(app, book, 20)) == [0] * 19 + [100]
    db.session.rollback()
    paid = db.session.get_one(Invoice, asked.id, populate_existing=True)
    assert (paid.status, paid.number, paid.paid_minor) == ("paid", "INV-2027-00001", 11_900)
    assert db.session.scalar(select(func.count(Payment.id))) == 1
    assert balance.balance(vendor_id, "EUR") == Money(100, "EUR")


def test_twenty_credit_notes_take_back_no_more_than_there_is(app: Flask, vendor_id: int) -> None:
    asked = asks(vendor_id, 10_000)
    pays(asked, 11_900, "one")

    def take(n: int) -> bool:
        try:
            with unit_of_work():
                invoice = under_lock(vendor_id, asked.id)
                lines = [NewLine("", 900)]
                papers.credit(invoice, lines, reason="x", cause=f"c{n}", actor=SAM, now=clock.business())
            return True
        except (Invalid, Conflict):
            return False

    # 100.00 / 9.00: eleven fit, 1.00 is left.
    assert sum(side_by_side(app, take, 20)) == 11
    db.session.rollback()
    notes = db.session.scalars(select(CreditNote).order_by(CreditNote.id)).all()
    assert [note.number for note in notes] == [f"CN-2027-{n:05d}" for n in range(1, 12)]
    assert credits(db.session.get_one(Invoice, asked.id, populate_existing=True), cause="rest") == 119


def test_whatever_happens_the_books_balance(vendor_id: int) -> None:
    dice = random.Random(2027)
    asked: list[Invoice] = []
    came = used_up = 0
    for step in range(60):
        what = dice.choice(["ask", "ask", "pay", "pay", "void", "credit"])
        if what == "ask" or not asked:
            asked.append(asks(vendor_id, dice.randint(1, 20_000), dice.randint(0, 500)))
        elif what == "pay":
            minor = dice.randint(1, 25_000)
            pays(dice.choice(asked), minor, f"r{step}")
            came += minor
        else:
            used_up += _tries(what, dice.choice(asked), step, dice)
        _balanced(vendor_id, asked, came, used_up)


def _tries(what: str, invoice: Invoice, step: int, dice: random.Random) -> int:
    """Void, or credit with the money to the balance; gives what was credited. Refusals change nothing."""
    try:
        with unit_of_work():
            if what == "void":
                papers.void(invoice, now=clock.business())
                return 0
            lines: Any = [NewLine("", dice.randint(1, 9000))] if dice.random() < 0.7 else None
            note = papers.credit(invoice, lines, reason="x", cause=f"c{step}", actor=SAM, now=clock.business())
            given = Money(note.total_minor, "EUR")
            balance.add(
                invoice.vendor_id, given, cause=f"credit:{note.id}", description="x", actor_label="Sam",
                now=clock.business(),
            )  # fmt: skip
            return note.total_minor
    except (Invalid, Conflict):
        return 0


def _balanced(vendor: int, asked: list[Invoice], came: int, credited: int) -> None:
    """What came in and what was credited is what paid invoices took and what is left."""
    db.session.rollback()
    rows = [db.session.get_one(Invoice, each.id, populate_existing=True) for each in asked]
    for row in rows:
        assert 0 <= row.paid_minor <= row.due_minor <= row.total_minor
        assert row.total_minor == row.due_minor - row.balance_applied_minor
        assert (row.status == "paid") == (row.number is not None)
        assert row.status != "paid" or row.paid_minor == row.due_minor
    left = balance.balance(vendor, "EUR").minor
    assert left == (db.session.scalar(select(func.sum(BalanceEntry.amount_minor))) or 0) >= 0
    held = sum(row.paid_minor - row.balance_applied_minor for row in rows if row.status != "void")
    assert came + credited == held + left
    numbers = sorted(row.number for row in rows if row.number)
    assert numbers == [f"INV-2027-{n:05d}" for n in range(1, len(numbers) + 1)]

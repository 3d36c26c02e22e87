"""The order of spending, pure."""

from portal.catalog.rules import CreditPolicy
from portal.credits.rules import Lot, LotKind, Part, lot_expiry, spending_order, take
from tests.credits.steps import day


def lot(number: int, remaining: int, *, expires: int | None = None, created: int = 0) -> Lot:
    until = None if expires is None else day(expires)
    return Lot(number, LotKind.GRANT, 100, remaining, f"lot {number}", until, day(created))


def test_what_expires_first_is_spent_first_then_the_oldest() -> None:
    lots = [lot(1, 10), lot(2, 10, expires=9), lot(3, 10, created=-5), lot(4, 10, expires=2), lot(5, 10, expires=9)]
    # Day 2, then day 9 (same age: the lower number), then those without end: the one created five days earlier first.
    assert [each.id for each in spending_order(lots)] == [4, 2, 5, 3, 1]


def test_an_amount_is_taken_across_lots() -> None:
    lots = [lot(1, 30), lot(2, 20, expires=5)]
    # 45 = 20 that expire + 25 of the 30 that do not.
    assert take(lots, 45, day(0)) == [Part(2, 20), Part(1, 25)]


def test_all_or_nothing() -> None:
    lots = [lot(1, 30), lot(2, 20, expires=5)]
    assert take(lots, 50, day(0)) == [Part(2, 20), Part(1, 30)]
    assert take(lots, 51, day(0)) == []
    assert take([], 1, day(0)) == []


def test_an_expired_lot_gives_nothing() -> None:
    lots = [lot(1, 30), lot(2, 20, expires=5)]
    assert take(lots, 31, day(5)) == []
    assert take(lots, 30, day(5)) == [Part(1, 30)]


def test_included_credits_expire_with_their_period_only_where_nothing_is_carried_over() -> None:
    assert lot_expiry(CreditPolicy.RESET, day(30)) == day(31)
    assert lot_expiry(CreditPolicy.ROLLOVER, day(30)) is None

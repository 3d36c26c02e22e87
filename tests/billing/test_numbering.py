"""Numbers have no gaps and no doubles, whoever asks at the same time and whatever is rolled back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from portal.billing.numbering import next_number
from portal.billing.rules import Series
from portal.kit import actor, clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings

NOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)


def number(series: Series = Series.INVOICE, now: datetime = NOW) -> str:
    """The next one, committed."""
    with unit_of_work():
        return next_number(series, now)


def side_by_side(app: Flask, work: Callable[[int], Any], count: int) -> list[Any]:
    """Run ``work(n)`` in threads that begin together."""
    gate = Barrier(count)

    def one(n: int) -> Any:
        with app.app_context(), tenancy.unscoped("a test"):
            gate.wait(10)
            try:
                return work(n)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_each_series_counts_by_itself_and_anew_every_year(app: Flask) -> None:
    assert [number(), number(Series.CREDIT_NOTE), number(), number(Series.PROFORMA)] == [
        "INV-2027-00001",
        "CN-2027-00001",
        "INV-2027-00002",
        "PF-2027-00001",
    ]
    assert number(now=datetime(2028, 1, 1, tzinfo=UTC)) == "INV-2028-00001"


def test_twenty_at_once_leave_no_gap_even_when_every_third_fails(app: Flask) -> None:
    def take(n: int) -> str | None:
        try:
            with unit_of_work():
                taken = next_number(Series.INVOICE, NOW)
                if n % 3 == 0:
                    raise LookupError
                return taken
        except LookupError:
            return None

    taken = [found for found in side_by_side(app, take, 20) if found]
    # 0, 3, 6 … 18 fail: seven of twenty.
    assert sorted(taken) == [f"INV-2027-{n:05d}" for n in range(1, 14)]


def test_two_series_in_any_order_never_wait_for_each_other(app: Flask) -> None:
    def both(n: int) -> list[str]:
        order = [Series.INVOICE, Series.CREDIT_NOTE][:: 1 if n % 2 else -1]
        with unit_of_work():
            return [next_number(series, NOW) for series in order]

    taken = sorted(found for pair in side_by_side(app, both, 10) for found in pair)
    assert taken == [f"{p}-2027-{n:05d}" for p in ("CN", "INV") for n in range(1, 11)]


def test_a_new_prefix_counts_on(app: Flask) -> None:
    number()
    with unit_of_work():
        settings.change("invoice_prefix", "re", actor=actor.SYSTEM, now=clock.business())
    assert number() == "RE-2027-00002"


@pytest.mark.parametrize("wrong", ["", "1A", "A/B", "TOOLONGXY"])
def test_a_prefix_fits_into_a_file_name(app: Flask, wrong: str) -> None:
    from portal.kit.errors import Invalid

    with pytest.raises(Invalid), unit_of_work():
        settings.change("invoice_prefix", wrong, actor=actor.SYSTEM, now=clock.business())

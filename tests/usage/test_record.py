"""Usage is counted once per key; counters and days are sums of events."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from portal.catalog.rules import Metric
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.usage import queries, service
from portal.usage.models import UsageCounter, UsageDaily, UsageEvent
from tests.support.tenants import make_vendor

JANUARY = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def vendor_id(app: Flask) -> Iterator[int]:
    """A vendor; afterwards every counter must equal the sum of its events."""
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        yield vendor
        for metric, used in db.session.execute(
            select(UsageCounter.metric, func.sum(UsageCounter.used))
            .where(UsageCounter.vendor_id == vendor)
            .group_by(UsageCounter.metric)
        ):
            mine = (UsageEvent.vendor_id == vendor) & (UsageEvent.metric == metric)
            assert used == db.session.scalar(select(func.sum(UsageEvent.quantity)).where(mine))


def record(
    vendor_id: int,
    metric: Metric,
    quantity: int,
    key: str,
    *,
    at: datetime = JANUARY,
    period_start: datetime = JANUARY,
    subject: str | None = None,
) -> bool:
    with unit_of_work():
        return service.record(vendor_id, metric, quantity, key=key, at=at, period_start=period_start, subject=subject)


def days(vendor_id: int) -> list[tuple[str, str, int]]:
    statement = select(UsageDaily.metric, UsageDaily.day, UsageDaily.quantity).where(UsageDaily.vendor_id == vendor_id)
    return [(metric, day.isoformat(), quantity) for metric, day, quantity in db.session.execute(statement)]


def test_events_add_up(vendor_id: int) -> None:
    assert record(vendor_id, Metric.ORDERS, 2, "o1") is True
    assert record(vendor_id, Metric.ORDERS, 3, "o2", subject="shop-1") is True
    assert queries.counters(vendor_id, JANUARY) == {"orders": 5}
    assert days(vendor_id) == [("orders", "2027-01-15", 5)]


def test_the_same_key_counts_once_whatever_it_says_the_second_time(vendor_id: int) -> None:
    record(vendor_id, Metric.ORDERS, 2, "o1")
    assert record(vendor_id, Metric.ORDERS, 2, "o1") is False
    assert record(vendor_id, Metric.PRODUCTS, 9, "o1") is False
    assert queries.counters(vendor_id, JANUARY) == {"orders": 2}
    assert days(vendor_id) == [("orders", "2027-01-15", 2)]


def test_another_vendor_may_use_the_same_key(vendor_id: int) -> None:
    record(vendor_id, Metric.ORDERS, 2, "o1")
    other = make_vendor("tea-house")
    with tenancy.scoped(other):
        assert record(other, Metric.ORDERS, 7, "o1") is True
        assert queries.counters(other, JANUARY) == {"orders": 7}
    assert queries.counters(vendor_id, JANUARY) == {"orders": 2}


def test_a_new_period_counts_anew_and_levels_stay(vendor_id: int) -> None:
    record(vendor_id, Metric.ORDERS, 80, "o1")
    record(vendor_id, Metric.PRODUCTS, 12, "p1")
    record(vendor_id, Metric.ORDERS, 3, "o2", at=FEBRUARY, period_start=FEBRUARY)
    record(vendor_id, Metric.PRODUCTS, 4, "p2", at=FEBRUARY, period_start=FEBRUARY)
    # Orders per period: 80, then 3. Products are a level: 12 + 4 = 16 whenever one looks.
    assert queries.counters(vendor_id, JANUARY) == {"orders": 80, "products": 16}
    assert queries.counters(vendor_id, FEBRUARY) == {"orders": 3, "products": 16}


def test_never_counted_is_not_zero(vendor_id: int) -> None:
    assert queries.counters(vendor_id, JANUARY) == {}
    record(vendor_id, Metric.SITES, 1, "s1")
    record(vendor_id, Metric.SITES, -1, "s2")
    assert queries.counters(vendor_id, JANUARY) == {"sites": 0}


def test_a_level_never_falls_below_zero(vendor_id: int) -> None:
    record(vendor_id, Metric.SITES, 2, "s1")
    with pytest.raises(Invalid) as refused:
        record(vendor_id, Metric.SITES, -3, "s2")
    assert refused.value.fields.keys() == {"quantity"}
    assert queries.counters(vendor_id, JANUARY) == {"sites": 2}
    assert record(vendor_id, Metric.SITES, -2, "s2") is True, "what was refused left no trace of its key"


@pytest.mark.parametrize(
    ("metric", "quantity", "key", "subject", "field"),
    [
        (Metric.ORDERS, 0, "k", None, "quantity"),
        (Metric.ORDERS, -1, "k", None, "quantity"),
        (Metric.SITES, 10**12, "k", None, "quantity"),
        (Metric.SITES, -(10**12), "k", None, "quantity"),
        (Metric.ORDERS, 1, "", None, "key"),
        (Metric.ORDERS, 1, "k" * 121, None, "key"),
        (Metric.ORDERS, 1, "k", "s" * 121, "subject"),
    ],
)
def test_what_cannot_be_counted_is_refused_at_its_field(
    vendor_id: int, metric: Metric, quantity: int, key: str, subject: str | None, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        record(vendor_id, metric, quantity, key, subject=subject)
    assert refused.value.fields.keys() == {field}
    assert queries.counters(vendor_id, JANUARY) == {}


def test_a_day_is_a_day_in_utc(vendor_id: int) -> None:
    zone = datetime(2027, 1, 31, 23, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    record(vendor_id, Metric.ORDERS, 1, "o1", at=zone)
    record(vendor_id, Metric.ORDERS, 1, "o2", at=zone + timedelta(hours=1))
    assert sorted(days(vendor_id)) == [("orders", "2027-01-31", 1), ("orders", "2027-02-01", 1)]


def test_counters_take_one_query(vendor_id: int) -> None:
    record(vendor_id, Metric.ORDERS, 1, "o1")
    db.session.commit()
    seen: list[str] = []
    count = lambda *args: seen.append(args[2])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", count)
    queries.counters(vendor_id, JANUARY)
    event.remove(db.engine, "before_cursor_execute", count)
    assert len([statement for statement in seen if "SELECT" in statement]) == 1


def test_eight_at_once_lose_no_count_and_count_one_key_once(app: Flask, vendor_id: int) -> None:
    gate, answers = threading.Barrier(8), []

    def work(number: int) -> None:
        with app.app_context(), tenancy.scoped(vendor_id):
            gate.wait()
            answers.append(record(vendor_id, Metric.ORDERS, 1, "same"))
            record(vendor_id, Metric.ORDERS, 10, f"own-{number}")
            db.session.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Eight times ten, and one for the key that all of them sent.
    assert queries.counters(vendor_id, JANUARY) == {"orders": 81}
    assert sorted(answers) == [False] * 7 + [True]

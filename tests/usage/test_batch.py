"""Events by the thousand: a result for each, the good ones count, a key counts once, counters are sums of events."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event as sa_event
from sqlalchemy import func, select

from portal.catalog.rules import Metric
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.usage import batch, levels, queries
from portal.usage.models import UsageDaily, UsageEvent
from portal.usage.rules import Event, Outcome, Result, Wrong
from tests.support.tenants import make_vendor

NOW = datetime(2027, 1, 20, 12, 0, tzinfo=UTC)
WINDOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
COUNTED, KNOWN = Result(Outcome.COUNTED), Result(Outcome.KNOWN)


def refused(code: Wrong) -> Result:
    return Result(Outcome.REFUSED, code)


@pytest.fixture
def vendor_id(app: Flask) -> Iterator[int]:
    """A vendor; afterwards counters and days must equal the sums of their events."""
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        yield vendor
        assert_books_agree(vendor)


def assert_books_agree(vendor_id: int) -> None:
    db.session.rollback()
    events = select(UsageEvent.metric, func.sum(UsageEvent.quantity)).where(UsageEvent.vendor_id == vendor_id)
    days = select(UsageDaily.metric, func.sum(UsageDaily.quantity)).where(UsageDaily.vendor_id == vendor_id)
    happened = _summed(events.group_by(UsageEvent.metric))
    assert {metric: n for metric, n in queries.counters(vendor_id, WINDOW).items() if n} == happened
    assert _summed(days.group_by(UsageDaily.metric)) == happened


def _summed(statement: Any) -> dict[str, int]:
    return {metric: int(n) for metric, n in db.session.execute(statement) if n}


def happened(key: str, metric: str = "orders", quantity: int = 1, at: datetime = NOW, **more: str) -> Event:
    return Event(key, metric, quantity, at, **more)


def send(vendor_id: int, *events: Event) -> list[Result]:
    with unit_of_work():
        return batch.record_batch(vendor_id, events, window=WINDOW, now=NOW).results


def test_each_event_gets_its_answer_and_the_good_ones_count(vendor_id: int) -> None:
    answers = send(
        vendor_id,
        happened("a", quantity=2),
        happened("b", "nothing"),
        happened("c", quantity=0),
        happened("d", quantity=-1),
        happened("e", quantity=10**10),
        happened("f", at=NOW + timedelta(minutes=5)),
        happened("g", at=NOW + timedelta(minutes=5, seconds=1)),
        happened("h", at=WINDOW),
        happened("i", at=WINDOW - timedelta(seconds=1)),
        happened(""),
        happened("k" * 121),
        happened("l", subject="s" * 121),
        happened("m\0"),
        happened("n", "products", 3),
    )
    assert answers == [
        COUNTED,
        refused(Wrong.UNKNOWN_METRIC),
        refused(Wrong.QUANTITY),
        refused(Wrong.QUANTITY),
        refused(Wrong.QUANTITY),
        COUNTED,
        refused(Wrong.IN_FUTURE),
        COUNTED,
        refused(Wrong.TOO_LATE),
        refused(Wrong.KEY),
        refused(Wrong.KEY),
        refused(Wrong.SUBJECT),
        refused(Wrong.KEY),
        COUNTED,
    ]
    # Orders: 2 + 1 (five minutes ahead) + 1 (at the window's first moment) = 4.
    assert queries.counters(vendor_id, WINDOW) == {"orders": 4, "products": 3}


def test_sent_again_everything_is_known_and_nothing_moves(vendor_id: int) -> None:
    events = [happened(f"o{n}", quantity=n) for n in range(1, 11)]
    assert send(vendor_id, *events) == [COUNTED] * 10
    assert send(vendor_id, *events) == [KNOWN] * 10
    # 1 + 2 + … + 10 = 55
    assert queries.counters(vendor_id, WINDOW) == {"orders": 55}


def test_a_key_twice_in_one_batch_counts_once(vendor_id: int) -> None:
    again = happened("a", at=NOW - timedelta(hours=1))
    answers = send(vendor_id, happened("a"), again, happened("a", quantity=2), happened("b"))
    assert answers == [COUNTED, KNOWN, refused(Wrong.KEY_REUSED), COUNTED]
    assert queries.counters(vendor_id, WINDOW) == {"orders": 2}


def test_what_is_wrong_does_not_use_its_key_up(vendor_id: int) -> None:
    assert send(vendor_id, happened("a", quantity=0), happened("a")) == [refused(Wrong.QUANTITY), COUNTED]


@pytest.mark.parametrize("other", [{"quantity": 2}, {"metric": "products"}, {"subject": "shop 2"}])
def test_a_key_that_stands_for_something_else_is_refused(vendor_id: int, other: dict) -> None:
    send(vendor_id, happened("a", subject="shop 1"))
    assert send(vendor_id, happened("a", **{"subject": "shop 1", **other}), happened("b")) == [
        refused(Wrong.KEY_REUSED),
        COUNTED,
    ]
    assert queries.counters(vendor_id, WINDOW) == {"orders": 2}


def test_a_level_that_would_fall_below_zero_refuses_what_takes_away(vendor_id: int) -> None:
    # 2 - 5 is below zero, so the 5 are refused; the 1 that came with them counts: 2 + 1 = 3.
    send(vendor_id, happened("a", "sites", 2))
    answers = send(vendor_id, happened("b", "sites", -5), happened("c", "sites", 1), happened("d"))
    assert answers == [refused(Wrong.BELOW_ZERO), COUNTED, COUNTED]
    assert queries.counters(vendor_id, WINDOW) == {"sites": 3, "orders": 1}
    assert send(vendor_id, happened("b", "sites", -3)) == [COUNTED], "what was refused left no trace of its key"


def test_the_same_of_two_vendors_are_two(vendor_id: int) -> None:
    other = make_vendor("tea-house")
    send(vendor_id, happened("a"))
    with tenancy.scoped(other):
        assert send(other, happened("a", quantity=7)) == [COUNTED]
    assert queries.counters(vendor_id, WINDOW) == {"orders": 1}


def test_a_thousand_take_as_many_statements_as_one(vendor_id: int) -> None:
    def statements(*events: Event) -> int:
        seen: list[str] = []
        count = lambda *args: seen.append(args[2])  # noqa: E731
        sa_event.listen(db.engine, "before_cursor_execute", count)
        send(vendor_id, *events)
        sa_event.remove(db.engine, "before_cursor_execute", count)
        return len([s for s in seen if not s.startswith(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"))])

    # Events, the counter of orders, the day.
    assert statements(happened("one")) == 3
    assert statements(*(happened(f"k{n}") for n in range(1000))) == 3
    with pytest.raises(ValueError, match="split"):
        send(vendor_id, *(happened(f"x{n}") for n in range(1001)))


def test_no_events_are_no_work(vendor_id: int) -> None:
    assert send(vendor_id) == []


class Failing(Exception):
    """The store gives up."""


def send_all(vendor_id: int, number: int, size: int) -> int:
    """Send so many events in batches, every one twice, while every third transaction dies before its commit.

    Gives how many died. What died is sent again, as a sender would.
    """
    died = 0
    todo = [list(range(start, min(start + size, number))) for start in range(0, number, size)] * 2
    attempt = 0
    while todo:
        keys = todo.pop(0)
        attempt += 1
        try:
            with unit_of_work():
                batch.record_batch(vendor_id, [event_of(n) for n in keys], window=WINDOW, now=NOW)
                if attempt % 3 == 0:
                    raise Failing
        except Failing:
            died += 1
            todo.append(keys)
    return died


def event_of(number: int) -> Event:
    """Orders and products in turn, over five days, each of a quantity of one to three."""
    at = WINDOW + timedelta(days=number % 5)
    return Event(f"e{number}", "orders" if number % 2 else "products", 1 + number % 3, at)


def assert_exact(vendor_id: int, number: int, died: int) -> None:
    expected = {"orders": 0, "products": 0}
    for n in range(number):
        expected["orders" if n % 2 else "products"] += 1 + n % 3
    assert queries.counters(vendor_id, WINDOW) == expected
    assert died > 0
    assert_books_agree(vendor_id)


def test_five_thousand_sent_twice_with_a_failing_store_count_exactly(vendor_id: int) -> None:
    """Tried once without the unique key (inserting plainly): every counter was twice as high."""
    assert_exact(vendor_id, 5_000, send_all(vendor_id, 5_000, 500))


@pytest.mark.soak
def test_a_hundred_thousand_sent_twice_with_a_failing_store_count_exactly(vendor_id: int) -> None:
    assert_exact(vendor_id, 100_000, send_all(vendor_id, 100_000, 1000))


def test_batches_that_share_keys_and_metrics_at_once_neither_deadlock_nor_count_twice(
    app: Flask, vendor_id: int
) -> None:
    gate, answers, failures = threading.Barrier(6), [], []

    def work(turn: int) -> None:
        events = [happened(f"k{n}", "orders" if n % 2 else "products") for n in range(60)]
        with app.app_context(), tenancy.scoped(vendor_id):
            gate.wait()
            try:
                answers.extend(send(vendor_id, *(events if turn % 2 else events[::-1])))
            except Exception as error:
                failures.append(error)
            db.session.remove()

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answers.count(COUNTED) == 60
    assert queries.counters(vendor_id, WINDOW) == {"orders": 30, "products": 30}


def set_level(vendor_id: int, value: int, at: datetime, metric: Metric = Metric.PRODUCTS) -> tuple[int, int] | None:
    with unit_of_work():
        moved = levels.set_level(vendor_id, metric, value, at=at, now=NOW)
    return (moved.before, moved.after) if moved else None


def test_the_newest_measurement_counts_whatever_order_they_come_in(vendor_id: int) -> None:
    hour = timedelta(hours=1)
    assert set_level(vendor_id, 40, NOW - 2 * hour) == (0, 40)
    assert set_level(vendor_id, 25, NOW) == (40, 25)
    assert set_level(vendor_id, 99, NOW - hour) is None
    assert set_level(vendor_id, 25, NOW) is None
    assert queries.counters(vendor_id, WINDOW) == {"products": 25}


def test_a_measurement_and_events_together_stay_the_sum_of_events(vendor_id: int) -> None:
    send(vendor_id, happened("a", "products", 10))
    set_level(vendor_id, 7, NOW)
    send(vendor_id, happened("b", "products", 5))
    # 10, measured as 7 (so 3 fewer), and 5 more: 12.
    assert queries.counters(vendor_id, WINDOW) == {"products": 12}


@pytest.mark.parametrize(
    ("metric", "value", "at", "field"),
    [
        (Metric.ORDERS, 5, NOW, "metric"),
        (Metric.SITES, -1, NOW, "value"),
        (Metric.SITES, 10**10, NOW, "value"),
        (Metric.SITES, 5, NOW + timedelta(minutes=6), "at"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused_at_its_field(
    vendor_id: int, metric: Metric, value: int, at: datetime, field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        set_level(vendor_id, value, at, metric)
    assert refusal.value.fields.keys() == {field}
    assert queries.counters(vendor_id, WINDOW) == {}

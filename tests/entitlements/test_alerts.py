"""A vendor is told at 50, 80 and 100 % of a limit, once in a month of usage, in the transaction that counts (LIM-6)."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from portal.catalog.rules import Metric
from portal.entitlements import gate, metering, service
from portal.kit import tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks
from portal.notifications.models import Notification, SentMail, WebhookDelivery
from portal.usage import alerts as muting
from portal.usage.models import UsageAlert
from portal.usage.rules import Event, crossed
from tests.support import people
from tests.support.travel import Travel

NOW = Travel.START + timedelta(minutes=1)
GB = 10**9


@pytest.fixture
def vendor_id(catalog: Flask) -> Iterator[int]:
    """A vendor in its trial of Essential: 100 orders, 200 products, 1 site, 1 GB."""
    who = people.register(tier="essential")
    with tenancy.scoped(who.vendor_id):
        yield who.vendor_id


def order(vendor_id: int, quantity: int, key: str, now: datetime = NOW, metric: Metric = Metric.ORDERS) -> None:
    with unit_of_work():
        gate.admit(vendor_id, metric, quantity, key=key, now=now)


def raised(vendor_id: int) -> list[tuple[str, int]]:
    db.session.rollback()
    rows = select(UsageAlert.metric, UsageAlert.threshold).where(UsageAlert.vendor_id == vendor_id)
    return [(row.metric, row.threshold) for row in db.session.execute(rows.order_by(UsageAlert.id))]


def noted(vendor_id: int) -> list[int]:
    rows = select(Notification).where(Notification.vendor_id == vendor_id, Notification.kind == "usage_alert")
    return [note.params["threshold"] for note in db.session.scalars(rows.order_by(Notification.id))]


def mailed(vendor_id: int) -> list[int]:
    rows = select(SentMail).where(SentMail.vendor_id == vendor_id, SentMail.kind == "limit_reached")
    return [mail.params["threshold"] for mail in db.session.scalars(rows.order_by(SentMail.id))]


@pytest.mark.parametrize(
    ("before", "after", "limit", "expected"),
    [
        (0, 49, 100, []),
        (49, 50, 100, [50]),
        (50, 51, 100, []),
        (0, 80, 100, [50, 80]),
        (79, 100, 100, [80, 100]),
        (100, 150, 100, []),
        (0, 150, 100, [50, 80, 100]),
        # Of 3: half is 1.5, so two are past it; 80 % is 2.4, so it takes all three.
        (1, 2, 3, [50]),
        (2, 3, 3, [80, 100]),
        (90, 40, 100, []),
        (0, 1, 1, []),
        (0, 5, 0, []),
        (0, 5, None, []),
    ],
)
def test_what_is_crossed_on_the_way(before: int, after: int, limit: int | None, expected: list[int]) -> None:
    assert crossed(before, after, limit) == expected


def test_each_threshold_is_told_once_and_mails_begin_at_eighty(vendor_id: int) -> None:
    for turn, quantity in enumerate((49, 1, 29, 1, 19, 1)):
        order(vendor_id, quantity, f"o{turn}")
    # 49, 50, 79, 80, 99, 100
    assert raised(vendor_id) == [("orders", 50), ("orders", 80), ("orders", 100)]
    assert noted(vendor_id) == [50, 80, 100]
    assert mailed(vendor_id) == [80, 100]


def test_a_leap_over_several_is_told_by_the_highest(vendor_id: int) -> None:
    order(vendor_id, 100, "all")
    assert raised(vendor_id) == [("orders", 50), ("orders", 80), ("orders", 100)]
    assert (noted(vendor_id), mailed(vendor_id)) == ([100], [100])


def test_falling_and_rising_again_in_the_same_month_is_not_told_again(vendor_id: int) -> None:
    order(vendor_id, 100, "a", metric=Metric.PRODUCTS)
    with unit_of_work():
        gate.give_back(vendor_id, Metric.PRODUCTS, 60, key="a", now=NOW)
    order(vendor_id, 60, "b", metric=Metric.PRODUCTS)
    # 100 of 200 is half; 40; 100 again.
    assert raised(vendor_id) == [("products", 50)]


def test_the_next_month_tells_anew(vendor_id: int) -> None:
    order(vendor_id, 50, "a")
    february = NOW.replace(month=2)
    order(vendor_id, 50, "b", now=february)
    assert raised(vendor_id) == [("orders", 50), ("orders", 50)]
    assert noted(vendor_id) == [50, 50]


def test_storage_is_told_in_gigabytes(vendor_id: int) -> None:
    with unit_of_work():
        service.grant_addon(vendor_id, "addon:1", {Metric.STORAGE_GB: 9}, now=NOW)
    order(vendor_id, 8 * GB + 5, "a", metric=Metric.STORAGE_GB)
    # 1 GB of the tier and 9 of the add-on: 8 GB and a little are 80 %.
    note = db.session.scalars(select(Notification).where(Notification.vendor_id == vendor_id)).one()
    assert (note.params["used"], note.params["limit"], note.params["threshold"]) == (8, 10, 80)


def test_a_batch_and_a_measured_level_are_told_of_too(vendor_id: int) -> None:
    with unit_of_work():
        metering.record_batch(vendor_id, [Event(f"e{n}", "orders", 1, NOW) for n in range(85)], now=NOW)
        metering.set_level(vendor_id, Metric.PRODUCTS, 110, at=NOW, now=NOW)
    assert raised(vendor_id) == [("orders", 50), ("orders", 80), ("products", 50)]


def test_what_is_muted_is_kept_and_not_told(vendor_id: int) -> None:
    orders = [Metric.ORDERS]
    with unit_of_work():
        muting.choose(vendor_id, orders, [(Metric.ORDERS, 50), (Metric.ORDERS, 100)])
    order(vendor_id, 80, "a")
    assert raised(vendor_id) == [("orders", 50), ("orders", 80)]
    assert (noted(vendor_id), mailed(vendor_id)) == ([], [])
    with unit_of_work():
        muting.choose(vendor_id, orders, [(Metric.ORDERS, 80)])
    order(vendor_id, 80, "b", now=NOW.replace(month=2))
    assert mailed(vendor_id) == [80]


def test_programs_that_listen_hear_of_each_threshold_once(vendor_id: int) -> None:
    with unit_of_work():
        webhooks.add(vendor_id, "https://shop.example/hook", ["usage.alert"], actor=SYSTEM, now=NOW)
    order(vendor_id, 80, "a")
    order(vendor_id, 80, "a")
    told = db.session.scalars(select(WebhookDelivery).where(WebhookDelivery.vendor_id == vendor_id)).all()
    assert [row.payload["data"]["threshold"] for row in told] == [50, 80]
    assert told[1].payload["data"]["usage"] == 80


def test_what_is_rolled_back_told_nobody(vendor_id: int) -> None:
    with pytest.raises(RuntimeError), unit_of_work():
        gate.admit(vendor_id, Metric.ORDERS, 90, key="a", now=NOW)
        raise RuntimeError
    assert (raised(vendor_id), noted(vendor_id), mailed(vendor_id)) == ([], [], [])


def test_many_at_once_tell_once(catalog: Flask, vendor_id: int) -> None:
    """The counter moves row by row, so each crossing belongs to exactly one of them."""
    gate_opens, failures = threading.Barrier(8), []

    def work(turn: int) -> None:
        with catalog.app_context(), tenancy.scoped(vendor_id):
            gate_opens.wait()
            try:
                order(vendor_id, 10, f"k{turn}")
            except Exception as error:
                failures.append(error)
            db.session.remove()

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # 8 × 10 = 80: half is passed by the fifth, 80 % by the last.
    assert raised(vendor_id) == [("orders", 50), ("orders", 80)]
    assert sorted(noted(vendor_id)) == [50, 80]

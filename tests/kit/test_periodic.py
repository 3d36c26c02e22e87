"""Each period once, however many schedulers there are and however long nobody was there."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from portal.kit import clock, periodic, tasks
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.tasks import Periodic
from portal.kit.unit_of_work import unit_of_work
from tests.kit.conftest import Ledger
from tests.kit.test_outbox_parallel import with_hands
from tests.support.travel import Travel

HOUR = timedelta(hours=1)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2027, 1, 15, hour, minute, tzinfo=UTC)


@pytest.mark.once
@pytest.mark.parametrize(
    ("moment", "every", "start"),
    [
        (at(12, 59), HOUR, at(12)),
        (at(13), HOUR, at(13)),  # half-open
        (at(12, 59), timedelta(days=1), at(0)),
        (at(12, 59), timedelta(hours=6), at(12)),
    ],
)
def test_periods_count_from_the_epoch(moment: datetime, every: timedelta, start: datetime) -> None:
    assert periodic.period_of(moment, every) == start


@pytest.mark.once
@pytest.mark.parametrize(
    ("missed", "last", "now", "due"),
    [
        ("latest", None, at(12, 30), [at(12)]),
        ("latest", at(12), at(12, 59), []),
        ("latest", at(12), at(13), [at(13)]),
        ("latest", at(12), at(17, 5), [at(17)]),  # an outage of hours: only the present one
        ("every", at(12), at(15, 5), [at(13), at(14), at(15)]),
        ("every", None, at(15, 5), [at(15)]),
        ("every", at(15), at(12), []),  # a clock that was set back does nothing twice
    ],
)
def test_an_outage_is_made_up_for_as_the_task_wants(missed, last, now, due) -> None:
    assert periodic.due_periods(last, now, Periodic("x", HOUR, "wall", missed)) == due


@pytest.fixture
def hourly(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only test.verb is periodic, every hour of business time, every missed period."""
    only = {"test.verb": Periodic("test.verb", HOUR, "business", "every")}
    monkeypatch.setattr(tasks, "_periodic", only)


def insert() -> int:
    with unit_of_work():
        return periodic.insert_due()


def keys() -> list[str]:
    db.session.rollback()
    return [str(row.dedupe_key)[-25:-9] for row in db.session.query(OutboxJob).order_by(OutboxJob.id)]


@pytest.mark.usefixtures("hourly")
def test_each_hour_is_served_once(travel: Travel) -> None:
    assert [insert(), insert()] == [1, 0]
    travel.to(travel.START + timedelta(hours=3, minutes=20))
    assert [insert(), insert()] == [3, 0]
    assert keys() == ["2027-01-15T12:00", "2027-01-15T13:00", "2027-01-15T14:00", "2027-01-15T15:00"]


@pytest.mark.usefixtures("hourly")
def test_several_schedulers_insert_each_period_once(app: Flask, travel: Travel) -> None:
    first = with_hands(app, lambda _: insert())
    assert sum(first) == 1
    travel.on(hours=2)
    assert sum(with_hands(app, lambda _: insert())) == 2
    assert len(keys()) == len(set(keys())) == 3


def test_every_periodic_task_of_the_portal_is_served_in_one_go(app: Flask, travel: Travel) -> None:
    assert insert() == len(tasks.all_periodic()) >= 2
    assert clock.business() >= travel.START

"""The frame of a vendor's rights follows its subscription, whatever changes it; what could pass by is refused.

Whole lives are looked at after every step in test_machine.
"""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal.entitlements import queries as entitlements
from portal.entitlements.models import EntitlementVersion
from portal.entitlements.rules import Refusal
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import history, rules
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Restriction, Status
from tests.subscriptions.test_machine import assert_framed
from tests.support import people
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def vendor_id(catalog: Flask) -> int:
    return people.register(tier="essential").vendor_id


def change(vendor_id: int, **values: object) -> None:
    """What no verb does: columns set as they come."""
    with unit_of_work():
        subscription = history.lock(vendor_id)
        for name, value in values.items():
            setattr(subscription, name, value)


def version(vendor_id: int) -> int:
    db.session.rollback()
    return db.session.scalars(select(EntitlementVersion.version).filter_by(vendor_id=vendor_id)).one()


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("days", [None, 0, 2, 3, 8])
def test_every_standing_is_at_the_gate_what_the_rules_say(vendor_id: int, status: Status, days: int | None) -> None:
    since = None if days is None else clock.business() - timedelta(days=days)
    change(vendor_id, status=status, past_due_since=since)
    assert_framed(vendor_id)
    now = clock.business()
    barred = entitlements.frame(vendor_id, now).bars_creating(now)
    assert (barred is not None) == (Restriction.CREATE in rules.restrictions(status, since, now))


def test_a_period_that_moves_moves_the_months_of_usage(vendor_id: int) -> None:
    begins = Travel.START + timedelta(days=14)
    change(vendor_id, period_start=begins, period_end=begins + timedelta(days=31))
    later = begins + timedelta(days=3)
    assert entitlements.frame(vendor_id, later).window(later) == begins


def test_closed_stays_closed_since_it_was_and_opens_without_a_trace(vendor_id: int, travel: Travel) -> None:
    change(vendor_id, status=Status.SUSPENDED)
    closed = entitlements.frame(vendor_id, clock.business()).open_until
    travel.on(days=5)
    change(vendor_id, status=Status.CANCELLED)
    frame = entitlements.frame(vendor_id, clock.business())
    assert (frame.open_until, frame.closed(clock.business())) == (closed, Refusal.CANCELLED)
    change(vendor_id, status=Status.ACTIVE)
    assert entitlements.frame(vendor_id, clock.business()).open_until is None


def test_another_standing_is_another_version_and_another_period_is_not(vendor_id: int) -> None:
    before = version(vendor_id)
    change(vendor_id, status=Status.PAST_DUE, past_due_since=clock.business())
    assert version(vendor_id) == before + 1
    change(vendor_id, period_end=clock.business() + timedelta(days=40))
    change(vendor_id, cancel_comment="thinking")
    assert version(vendor_id) == before + 1


def test_one_that_has_ended_leaves_no_plan(vendor_id: int) -> None:
    change(vendor_id, ended_at=clock.business())
    now = clock.business()
    assert entitlements.frame(vendor_id, now).closed(now) == Refusal.NO_PLAN


def test_nobody_writes_subscriptions_past_the_session() -> None:
    """``update()`` and ``insert()`` do not flush objects, so the frame would not follow them."""
    portal = Path(__file__).resolve().parents[2] / "portal"
    past = re.compile(r"\b(?:update|insert|insert_once|delete)\(\s*VendorSubscription\b")
    assert [str(path) for path in portal.rglob("*.py") if past.search(path.read_text())] == []
    assert past.search(f"update({VendorSubscription.__name__})")

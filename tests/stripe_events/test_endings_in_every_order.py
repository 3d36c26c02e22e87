"""Two stories that end: trial to cancel, fail and cancel. Whatever the order of events and whichever comes twice, the
end is the same; every figure is worked out by hand.
"""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.kit import jobs
from portal.subscriptions import ending_flows, queries
from portal.subscriptions.endings import Wish
from tests.kit.conftest import pass_time
from tests.stripe_events.life import Cohort, Life, Schedule, every_order, sampled, with_duplicates, with_page
from tests.stripe_events.test_orders_of_events import RNG, now_has_a_card_that_fails
from tests.support.servers import Sandbox
from tests.support.stories import portrait, push_catalog
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
NO_RIGHTS: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


@pytest.fixture
def cohort(client: FlaskClient, sandbox: Sandbox) -> Cohort:
    push_catalog()
    return Cohort(client, sandbox)


def check(cohort: Cohort, expected: dict[str, Any], mails: dict[str, int], *, also: tuple[str, ...] = ()) -> None:
    """``also``: mails that depend on when it was heard of; each goes out at most once."""
    for life in cohort.lives:
        found = portrait(life.who)
        written = found.pop("mails")
        assert all(written.pop(kind, 0) <= 1 for kind in also), life.sent
        assert found == expected, life.sent
        assert written == mails, life.sent


#: Free until 29 January, then ended as asked: nothing was ever charged. The 2,000 starting credits end with it.
LEFT = {
    "subscription": ("cancelled", "professional", "stripe", "2027-01-15", "2027-01-29", "2027-01-29", True),
    "rights": NO_RIGHTS,
    "credits": (0, [("expiry", -2000, 0), ("grant", 2000, 2000)]),
    "books agree": True,
    "invoices": [("subscription_create", "paid", 0, 0, [(0, False)])],
    "payments": [],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "unfinished": [],
    "events": [],
}
LEFT_MAILS = {"welcome": 1, "subscription_active": 1, "cancel_scheduled": 1, "cancelled": 1}
#: At Checkout (heard of before somebody can cancel here), when it is cancelled, when the trial is over.
TO_CANCEL = (("session", "subscription", "invoice 1"), ("subscription",), ("subscription",))


def cancels(life: Life) -> None:
    version = queries.held(life.who.id).version
    wish = Wish(at_once=False, feedback="unused")
    ending_flows.cancel(life.who.id, wish, actor=life.who.actor, base_version=version)


def live_to_cancel(cohort: Cohort, travel: Travel, schedules: list[Schedule]) -> None:
    cohort.begin(schedules)
    for life in cohort.lives:
        if not life.schedule[0]:  # nothing was heard: the success page tells first, else there is nothing to cancel
            cohort.handle(life, "page")
    cohort.stage(0)
    for life in cohort.lives:
        cancels(life)
    cohort.listen()
    cohort.stage(1)
    travel.to(travel.START + timedelta(days=14, minutes=10))
    cohort.sandbox.run_due()
    cohort.listen()
    cohort.stage(2)
    pass_time(60)  # the jobs that would have carried on where a request died come too, and change nothing
    jobs.run_all()


def ways_to_cancel(count: int) -> list[Schedule]:
    first = [order for (order,) in every_order(TO_CANCEL[0])]
    plain: list[Schedule] = [(order, last, ("subscription",)) for order in first for last in ((), ("subscription",))]
    spread = sampled(TO_CANCEL, count, RNG)
    return [*plain, *with_duplicates(spread, RNG), *with_page(spread, RNG)]


@pytest.mark.thorough
def test_trial_to_cancel_ends_in_one_state(cohort: Cohort, travel: Travel) -> None:
    live_to_cancel(cohort, travel, ways_to_cancel(4))
    check(cohort, LEFT, LEFT_MAILS)


#: The renewal of 29 January is never collected; Stripe gives up on 5 February and ends it. The first period was free,
#: so the 2,000 starting credits are all there is, and they end.
FAILED = {
    "subscription": ("cancelled", "professional", "stripe", "2027-01-29", "2027-02-28", "2027-01-29", False),
    "rights": NO_RIGHTS,
    "credits": (0, [("expiry", -2000, 0), ("grant", 2000, 2000)]),
    "books agree": True,
    "invoices": [
        ("subscription_create", "paid", 0, 0, [(0, False)]),
        ("subscription_cycle", "open", 9900, 0, [(9900, False)]),
    ],
    "payments": [],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "unfinished": [],
    "events": [],
}
FAILED_MAILS = {"welcome": 1, "subscription_active": 1, "cancelled": 1}
#: At Checkout, when the first charge fails, when Stripe gives up.
TO_FAIL = (
    ("session", "subscription", "invoice 1"),
    ("subscription", "invoice 2"),
    ("subscription", "invoice 2"),
)


def live_to_failure(cohort: Cohort, travel: Travel, schedules: list[Schedule]) -> None:
    cohort.sandbox.post("/_sandbox/settings", after_retries="cancel")
    cohort.begin(schedules)
    cohort.stage(0)
    for life in cohort.lives:
        now_has_a_card_that_fails(cohort.sandbox, life.customer)
    cohort.listen()
    travel.to(travel.START + timedelta(days=14, minutes=80))
    cohort.sandbox.run_due()
    cohort.listen()
    cohort.stage(1)
    travel.on(days=7)
    cohort.sandbox.run_due()
    cohort.listen()
    cohort.stage(2)


LATE = ("session", "subscription", "invoice 1", "invoice 2")


def ways_to_fail(late: int, count: int) -> list[Schedule]:
    orders = [order for (order,) in every_order(LATE)]
    heard_at_last: list[Schedule] = [((), (), order) for order in orders[:: max(1, len(orders) // late)]]
    spread = sampled(TO_FAIL, count, RNG)
    return [TO_FAIL, *heard_at_last, *spread, *with_duplicates(spread, RNG), *with_page(spread, RNG)]


@pytest.mark.thorough
def test_fail_and_cancel_ends_in_one_state(cohort: Cohort, travel: Travel) -> None:
    live_to_failure(cohort, travel, ways_to_fail(6, 4))
    check(cohort, FAILED, FAILED_MAILS, also=("payment_failed", "payment_reminder", "suspended"))
    for life in cohort.lives:
        in_time = {"subscription", "invoice 2"} & set(life.schedule[1])
        assert portrait(life.who)["mails"].get("payment_failed", 0) == bool(in_time), life.schedule


@pytest.mark.soak
def test_trial_to_cancel_in_every_order_and_hundreds_of_ways_to_be_late(cohort: Cohort, travel: Travel) -> None:
    live_to_cancel(cohort, travel, ways_to_cancel(200))
    check(cohort, LEFT, LEFT_MAILS)


@pytest.mark.soak
def test_fail_and_cancel_in_every_order_and_hundreds_of_ways_to_be_late(cohort: Cohort, travel: Travel) -> None:
    live_to_failure(cohort, travel, ways_to_fail(24, 300))
    check(cohort, FAILED, FAILED_MAILS, also=("payment_failed", "payment_reminder", "suspended"))

"""Refund or dispute: whatever the order in which Stripe tells of them, and whichever comes twice or never, the books
end alike. Every figure is worked out by hand.
"""

import random
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.billing import methods
from portal.billing.models import Dispute, Invoice, Refund
from portal.kit.db import db
from portal.stripe_events import compare, reconcile
from tests.stripe_events.life import Cohort, Life, Schedule, every_order, sampled, with_duplicates, with_page
from tests.stripe_events.test_lost_events import reconciled
from tests.stripe_events.test_orders_of_events import BOUGHT, BOUGHT_MAILS
from tests.support.servers import Sandbox
from tests.support.stories import portrait, push_catalog, stripe_get, stripe_post

pytestmark = pytest.mark.usefixtures("unscoped")
RNG = random.Random(20270116)
#: Bought for 99.00; 30.00 of it go back in Stripe's dashboard; then the bank asks for all of it, and wins.
STAGES = (("session", "subscription", "invoice 1", "payment"), ("refund",), ("dispute",))
ALL = ("session", "subscription", "invoice 1", "payment", "refund", "dispute")


@pytest.fixture
def cohort(client: FlaskClient, sandbox: Sandbox) -> Cohort:
    """Vendors who share nothing."""
    push_catalog()
    return Cohort(client, sandbox)


def charge_of(cohort: Cohort, life: Life) -> dict[str, Any]:
    found: dict[str, Any] = stripe_get(cohort.sandbox, "charges", customer=life.customer)["data"][0]
    return found


def live(cohort: Cohort, schedules: list[Schedule]) -> None:
    """Everybody buys, gets 30.00 back, and loses a dispute; events come as each one's schedule says."""
    cohort.begin(schedules, trial=False)
    cohort.stage(0)
    for life in cohort.lives:
        stripe_post(cohort.sandbox, "refunds", charge=charge_of(cohort, life)["id"], amount="3000")
    cohort.listen()
    cohort.stage(1)
    for life in cohort.lives:
        cohort.sandbox.post(f"/_sandbox/objects/{charge_of(cohort, life)['id']}/dispute")
        dispute = stripe_get(cohort.sandbox, "disputes", payment_intent=charge_of(cohort, life)["payment_intent"])
        cohort.sandbox.post(f"/_sandbox/objects/{dispute['data'][0]['id']}/lose")
    cohort.listen()
    cohort.stage(2)


def check(cohort: Cohort) -> None:
    """99.00 came in, 30.00 went back once, the dispute is lost; the plan and its credits stay."""
    for life in cohort.lives:
        found = portrait(life.who)
        assert found.pop("mails") == {**BOUGHT_MAILS, "refunded": 1}, life.sent
        assert found == BOUGHT, life.sent
        vendor = life.who.id
        (refund,) = db.session.query(Refund).filter_by(vendor_id=vendor)
        (dispute,) = db.session.query(Dispute).filter_by(vendor_id=vendor)
        (invoice,) = db.session.query(Invoice).filter_by(vendor_id=vendor)
        assert (refund.state, refund.amount_minor, invoice.refunded_minor) == ("succeeded", 3000, 3000), life.sent
        assert (dispute.status, dispute.amount_minor) == ("lost", 9900), life.sent
        assert compare.compare(vendor) == [], life.sent


@pytest.mark.thorough
def test_refund_and_dispute_end_in_one_state(cohort: Cohort) -> None:
    plain: list[Schedule] = [STAGES, *(((), (), order) for (order,) in RNG.sample(every_order(ALL), 4))]
    twice = with_duplicates(sampled(STAGES, 4, RNG), RNG)
    live(cohort, [*plain, *twice, *with_page(sampled(STAGES, 3, RNG), RNG)])
    settle_methods(cohort)
    check(cohort)


def settle_methods(cohort: Cohort) -> None:
    """Events of payment methods are no class of this story: they are heard at the end."""
    for life in cohort.lives:
        assert reconcile.repair(life.who.id) is not None
        assert [m.is_default for m in methods.of_vendor(life.who.id)] == [True]


@pytest.mark.parametrize("heard", [STAGES[0], ()])
def test_a_lost_refund_and_a_lost_dispute_are_found(cohort: Cohort, heard: tuple[str, ...]) -> None:
    schedule: Schedule = (heard, (), ())
    live(cohort, [schedule, schedule])
    named = {each.field for each in compare.compare(cohort.lives[0].who.id)}
    assert named == {"refunded", "disputed"} if heard else named >= {"order", "invoice", "payment_method"}
    reconciled()
    check(cohort)
    for life in cohort.lives:
        assert compare.compare(life.who.id) == []


@pytest.mark.soak
def test_refund_and_dispute_in_every_order(cohort: Cohort) -> None:
    """All 720 orders of the six classes, and three hundred ways to be late, some of them twice."""
    everything: list[Schedule] = [((), (), order) for (order,) in every_order(ALL)]
    ways = sampled(STAGES, 300, RNG)
    live(cohort, [*everything, *ways, *with_duplicates(ways[:150], RNG)])
    settle_methods(cohort)
    check(cohort)

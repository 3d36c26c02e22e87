"""Whatever the order in which Stripe's events arrive, and whichever comes twice, a story ends in one state.

Every figure of the end states is worked out by hand.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.stripe_events.life import PAGE, Cohort, Schedule, every_order, sampled, with_duplicates, with_page
from tests.support.servers import Sandbox
from tests.support.stories import pays, portrait, push_catalog, stripe_get, stripe_post
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
RNG = random.Random(20270115)
#: Professional: 99.00 EUR a month, 2,000 credits; monthly limits and features as the preset says.
RIGHTS = (
    {"orders": 500, "products": None, "team_members": 3, "sites": 3, "storage_gb": 5},
    {
        "analytics": "advanced",
        "support": "priority",
        "custom_branding": "yes",
        "module_sites": "yes",
        "module_planner": "yes",
        "module_writer": "yes",
        "module_automation": "yes",
    },
)
STARTED = ("grant", 2000, 2000)


@pytest.fixture
def cohort(client: FlaskClient, sandbox: Sandbox) -> Cohort:
    push_catalog()
    return Cohort(client, sandbox)


def check(cohort: Cohort, expected: dict[str, Any], mails: dict[str, int]) -> None:
    for life in cohort.lives:
        found = portrait(life.who)
        written = {kind: n for kind, n in found.pop("mails").items() if kind != "payment_failed"}
        assert found == expected, life.sent
        assert written == mails, life.sent


#: Charged at once, since the trial was over: 15 January to 15 February. The period's credits follow the starting
#: credits, of which none were spent: 2,000 lapse, 2,000 are granted (newest first).
BOUGHT = {
    "subscription": ("active", "professional", "stripe", "2027-01-15", "2027-02-15", None, False),
    "rights": RIGHTS,
    "credits": (2000, [("grant", 2000, 2000), ("expiry", -2000, 0), STARTED]),
    "books agree": True,
    "invoices": [("subscription_create", "paid", 9900, 9900, [(9900, False)])],
    "payments": [("succeeded", 9900, "EUR")],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "unfinished": [],
    "events": [],
}
BOUGHT_MAILS = {"welcome": 1, "trial_ended": 1, "subscription_active": 1, "receipt": 1}
AT_CHECKOUT = ("session", "subscription", "invoice 1", "payment")


@pytest.mark.thorough
def test_checkout_ends_in_one_state(cohort: Cohort) -> None:
    """Every third of the 24 orders, with one event twice or with the success page somewhere; all are proved in
    test_every_order.
    """
    orders = every_order(AT_CHECKOUT)[::3]
    run_checkout(cohort, [*with_duplicates(orders[::2], RNG), *with_page(orders[1::2], RNG)])


def run_checkout(cohort: Cohort, schedules: list[Schedule]) -> None:
    cohort.begin(schedules, trial=False)
    cohort.stage(0)
    check(cohort, BOUGHT, BOUGHT_MAILS)


#: The trial's last days stay free; then 29 January to 28 February is charged, an hour after it began.
CHARGED = {
    "subscription": ("active", "professional", "stripe", "2027-01-29", "2027-02-28", "2027-01-29", False),
    "rights": RIGHTS,
    "credits": (2000, [("grant", 2000, 2000), ("expiry", -2000, 0), STARTED]),
    "books agree": True,
    "invoices": [
        ("subscription_create", "paid", 0, 0, [(0, False)]),
        ("subscription_cycle", "paid", 9900, 9900, [(9900, False)]),
    ],
    "payments": [("succeeded", 9900, "EUR")],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "unfinished": [],
    "events": [],
}
CHARGED_MAILS = {"welcome": 1, "subscription_active": 1, "receipt": 1}
#: What happens at Checkout, when the trial ends, and when the draft becomes a paid invoice.
TO_PAID = (("session", "subscription", "invoice 1"), ("subscription", "invoice 2"),
           ("subscription", "invoice 2", "payment"))  # fmt: skip
#: At Checkout, when the first charge fails, and when it is paid on the hosted page.
RECOVERY = TO_PAID
LATE = ("session", "subscription", "invoice 1", "invoice 2", "payment")


def late(count: int) -> list[Schedule]:
    """Nothing is heard until the end, then everything at once, in so many of its 120 orders."""
    orders = every_order(LATE)
    return [((), (), order) for (order,) in (orders if count >= 120 else RNG.sample(orders, count))]


def spread(count: int) -> list[Schedule]:
    """Events that are heard early, late, twice, around the success page; in order and never early among them."""
    plain: list[Schedule] = [TO_PAID, *late(count // 4), *sampled(TO_PAID, count // 4, RNG)]
    twice = with_duplicates(sampled(TO_PAID, count // 4, RNG), RNG)
    return plain + twice + with_page(sampled(TO_PAID, count // 4, RNG), RNG)


def live_to_paid(cohort: Cohort, travel: Travel, schedules: list[Schedule]) -> None:
    cohort.begin(schedules)
    cohort.stage(0)
    go_on(cohort, travel, minutes=10)
    cohort.stage(1)
    go_on(cohort, travel, minutes=80)
    cohort.stage(2)


def go_on(cohort: Cohort, travel: Travel, *, minutes: int) -> None:
    """To so many minutes after the trials' end, 29 January at noon."""
    travel.to(travel.START + timedelta(days=14, minutes=minutes))
    cohort.sandbox.run_due()
    cohort.listen()


def live_to_recovery(cohort: Cohort, travel: Travel, schedules: list[Schedule]) -> None:
    cohort.begin(schedules)
    cohort.stage(0)
    for life in cohort.lives:
        now_has_a_card_that_fails(cohort.sandbox, life.customer)
    cohort.listen()
    go_on(cohort, travel, minutes=80)
    cohort.stage(1)
    for life in cohort.lives:
        invoice = stripe_get(cohort.sandbox, f"invoices/{life.invoices[1]}")
        assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
        assert pays(invoice["hosted_invoice_url"], life.card).status_code == 303
    cohort.listen()
    cohort.stage(2)


def now_has_a_card_that_fails(sandbox: Sandbox, customer: str) -> None:
    """4000 0000 0000 0341 takes the place of the good card, as in Stripe's own dashboard."""
    method = stripe_post(sandbox, "payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)["id"]
    held = stripe_get(sandbox, "subscriptions", customer=customer)["data"][0]["id"]
    stripe_post(sandbox, f"subscriptions/{held}", default_payment_method=method)


@pytest.mark.thorough
def test_trial_to_paid_ends_in_one_state(cohort: Cohort, travel: Travel) -> None:
    live_to_paid(cohort, travel, spread(16))
    check(cohort, CHARGED, CHARGED_MAILS)


@pytest.mark.thorough
def test_fail_and_recover_ends_in_one_state(cohort: Cohort, travel: Travel) -> None:
    live_to_recovery(cohort, travel, spread(16))
    check(cohort, CHARGED, CHARGED_MAILS)
    for life in cohort.lives:
        told = portrait(life.who)["mails"].get("payment_failed", 0)
        heard_in_time = {"subscription", "invoice 2"} & set(life.schedule[1])
        assert told <= 1
        assert told == 1 or not heard_in_time, life.schedule


@pytest.mark.soak
def test_checkout_in_every_order_with_every_duplicate_and_every_place_of_the_page(
    cohort: Cohort,
) -> None:
    """24 orders; 120 with the page; for each of four classes the 60 orders in which it comes twice: 384 lives."""
    orders = {*every_order(AT_CHECKOUT), *every_order((*AT_CHECKOUT, PAGE))}
    orders |= {order for twice in AT_CHECKOUT for order in every_order((*AT_CHECKOUT, twice))}
    assert len(orders) == 24 + 120 + 4 * 60
    run_checkout(cohort, sorted(orders))


@pytest.mark.soak
@pytest.mark.parametrize("live", [live_to_paid, live_to_recovery])
def test_longer_stories_in_every_order_and_a_thousand_ways_to_be_late(
    cohort: Cohort, travel: Travel, live: Callable[..., None]
) -> None:
    live(cohort, travel, [*late(120), *spread(1000)])
    check(cohort, CHARGED, CHARGED_MAILS)

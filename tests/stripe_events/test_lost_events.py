"""Events that never come, or come an hour late: asking Stripe leads to the same end."""

import random
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import jobs as inbox
from portal.stripe_events import reconcile
from portal.stripe_events.reconcile import text
from tests.stripe_events.life import Cohort, Schedule, post
from tests.stripe_events.test_orders_of_events import (
    BOUGHT,
    BOUGHT_MAILS,
    CHARGED,
    CHARGED_MAILS,
    check,
    go_on,
    now_has_a_card_that_fails,
)
from tests.support.servers import Sandbox
from tests.support.stories import pays, portrait, push_catalog, stripe_get, stripe_post
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SILENCE = ((), (), ())


@pytest.fixture
def cohort(client: FlaskClient, sandbox: Sandbox) -> Cohort:
    """Two vendors who share nothing."""
    push_catalog()
    return Cohort(client, sandbox)


def reconciled() -> None:
    """As the nightly task does it, for everybody that Stripe knows."""
    with unit_of_work():
        inbox.reconcile_all()
    jobs.run_all()


def test_a_lost_checkout_is_found(cohort: Cohort) -> None:
    cohort.begin([SILENCE, SILENCE], trial=False)
    reconciled()
    check(cohort, BOUGHT, BOUGHT_MAILS)
    assert reconcile.compare(cohort.lives[0].who.id) == []


@pytest.mark.parametrize("nights", ["every night", "only the last"])
def test_a_lost_charge_is_found(cohort: Cohort, travel: Travel, nights: str) -> None:
    cohort.begin([SILENCE, SILENCE])
    if nights == "every night":
        reconciled()
    go_on(cohort, travel, minutes=10)
    go_on(cohort, travel, minutes=80)
    reconciled()
    check(cohort, CHARGED, CHARGED_MAILS)


def test_a_lost_failure_and_its_recovery_are_found(cohort: Cohort, travel: Travel) -> None:
    cohort.begin([SILENCE, SILENCE])
    reconciled()
    for life in cohort.lives:
        now_has_a_card_that_fails(cohort.sandbox, life.customer)
    go_on(cohort, travel, minutes=80)
    reconciled()
    assert {portrait(life.who)["subscription"][0] for life in cohort.lives} == {"past_due"}
    assert {portrait(life.who)["mails"]["payment_failed"] for life in cohort.lives} == {1}
    for life in cohort.lives:
        invoice = stripe_get(cohort.sandbox, f"invoices/{life.invoices[1]}")
        pays(invoice["hosted_invoice_url"], life.card)
    travel.on(days=1)
    reconciled()
    check(cohort, CHARGED, CHARGED_MAILS)


def test_what_differs_is_named_and_only_once(cohort: Cohort) -> None:
    cohort.begin([SILENCE], trial=False)
    vendor = cohort.lives[0].who.id
    for _ in range(2):  # looking changes nothing
        found = {d.field: (text(d.ours), text(d.theirs)) for d in reconcile.compare(vendor)}
        assert found["status"] == ("trial_ended", "active")
        assert found["order"] == ("open", "paid")
        assert found["invoice"] == ("nothing", "paid")
    gone = {d.field for d in reconcile.repair(vendor)}
    jobs.run_all()
    assert gone == set(found)
    assert reconcile.repair(vendor) == []
    audited = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "stripe.reconciled")).all()
    assert [(a.vendor_id, a.actor_kind, len(a.data["differences"])) for a in audited] == [
        (vendor, "system", len(found))
    ]
    assert {"what": "status", "before": "trial_ended", "after": "active"} in audited[0].data["differences"]


def test_everything_an_hour_late_and_all_of_it_twice(cohort: Cohort, travel: Travel) -> None:
    cohort.begin([SILENCE, SILENCE], trial=False)
    travel.on(hours=1)
    for life in cohort.lives:
        for _ in range(2):
            for events in reversed(life.events.values()):
                for event in reversed(events):
                    assert post(cohort.client, event).status_code == 200
    jobs.run_all()
    check(cohort, BOUGHT, BOUGHT_MAILS)


# Every subset of lost events ------------------------------------------------------------------------------------------
#: At Checkout, when the first month is charged, and when somebody upgrades in Stripe's dashboard: eight events.
HEARD_OR_LOST = (
    (0, "session"), (0, "subscription"), (0, "invoice 1"),
    (1, "subscription"), (1, "invoice 2"), (1, "payment"),
    (2, "subscription"), (2, "invoice 3"),
)  # fmt: skip
#: 29 January to 28 February is 30 days. Upgraded at noon of day 10, 20 of 30 days are left: of Professional (99.00)
#: 66.00 come back, for Business (199.00) 132.67 are paid: 66.67 more. Credits: the trial's 2,000 lapse, 2,000 are
#: granted for the month, and of the 8,000 that Business has more, 20/30: 5,333. Left: 7,333.
#: Whoever hears nothing until the end learns of the newest invoice first: the ledger's lines are the same, in another
#: order, so they are compared sorted, without the balance after each.
UPGRADED = {
    "subscription": ("active", "business", "stripe", "2027-01-29", "2027-02-28", "2027-01-29", False),
    "rights": (
        {"orders": 2000, "products": None, "team_members": 10, "sites": 10, "storage_gb": 20},
        {
            "analytics": "advanced",
            "support": "priority",
            "custom_branding": "yes",
            "api_access": "yes",
            "module_sites": "yes",
            "module_planner": "yes",
            "module_writer": "yes",
            "module_automation": "yes",
        },
    ),
    "credits": (7333, [("expiry", -2000), ("grant", 2000), ("grant", 2000), ("grant", 5333)]),
    "books agree": True,
    "invoices": [
        ("subscription_create", "paid", 0, 0, [(0, False)]),
        ("subscription_cycle", "paid", 9900, 9900, [(9900, False)]),
        ("subscription_update", "paid", 6667, 6667, [(-6600, True), (13267, True)]),
    ],
    "payments": [("succeeded", 6667, "EUR"), ("succeeded", 9900, "EUR")],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "mails": {"receipt": 2, "subscription_active": 1, "welcome": 1},
    "unfinished": [],
    "events": [],
}


def subset_of(lost: int) -> Schedule:
    """The schedule of somebody who hears what is not lost; ``lost`` has a bit for each of the eight events."""
    stages: list[list[str]] = [[], [], []]
    for number, (stage, name) in enumerate(HEARD_OR_LOST):
        if not lost >> number & 1:
            stages[stage].append(name)
    return tuple(tuple(stage) for stage in stages)


def live_to_upgrade(cohort: Cohort, travel: Travel, schedules: list[Schedule]) -> None:
    """Everybody lives the same eight events; each hears some of them, in time."""
    cohort.begin(schedules)
    cohort.stage(0)
    go_on(cohort, travel, minutes=80)
    cohort.stage(1)
    travel.to(travel.START + timedelta(days=24))
    for life in cohort.lives:
        upgrades_at_stripe(cohort.sandbox, life.customer)
    cohort.listen()
    cohort.stage(2)


def upgrades_at_stripe(sandbox: Sandbox, customer: str) -> None:
    """To Business at once, paid at once, in Stripe's own dashboard."""
    held = stripe_get(sandbox, "subscriptions", customer=customer)["data"][0]
    price = catalog.offer("business", Cycle.MONTHLY)
    assert price is not None
    changes = {"items[0][id]": held["items"]["data"][0]["id"], "items[0][price]": str(price.stripe_price_id)}
    noon = int((Travel.START + timedelta(days=24)).timestamp())
    stripe_post(sandbox, f"subscriptions/{held['id']}", **changes, proration_behavior="always_invoice",
                proration_date=str(noon))  # fmt: skip


def check_subsets(cohort: Cohort, travel: Travel, subsets: list[int]) -> None:
    """One vendor per subset, all in the same days; afterwards one night's reconcile."""
    live_to_upgrade(cohort, travel, [subset_of(lost) for lost in subsets])
    reconciled()
    for lost, life in zip(subsets, cohort.lives, strict=True):
        found = portrait(life.who)
        balance, ledger = found["credits"]
        found["credits"] = (balance, sorted((kind, amount) for kind, amount, _after in ledger))
        found["payments"] = sorted(found["payments"])
        assert found == UPGRADED, f"lost {lost:08b}, heard {life.sent}"
        assert reconcile.compare(life.who.id) == [], f"lost {lost:08b}"


@pytest.mark.thorough
def test_whatever_is_lost_a_night_later_all_is_well(cohort: Cohort, travel: Travel) -> None:
    """Nothing lost; everything; the first charge, so that the upgrade is heard of first; and 13 of those between."""
    check_subsets(cohort, travel, [0, 255, 0b00111000, *random.Random(20270208).sample(range(1, 255), 13)])


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_all_256_subsets_of_lost_events_are_made_up_for(cohort: Cohort, travel: Travel, part: int) -> None:
    """In eight parts of thirty-two, so that the sandbox has no more to do at once than it answers in time."""
    check_subsets(cohort, travel, list(range(part, 256, 8)))

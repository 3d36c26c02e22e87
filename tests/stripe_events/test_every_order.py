"""Eight life stories end in one state, whatever the order of their events, whichever come twice, late or never.

Not a choice of orders but all of them (see automaton). Every figure of the end states is worked out by hand. Tried once
with mails that have no cause of their own (another ``dedupe_key`` each time): there was no end of states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.billing import methods
from portal.billing.models import Dispute, Invoice, Refund
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.models import Order
from portal.kit import jobs, tenancy
from portal.kit.db import db
from portal.stripe_events import reconcile
from portal.subscriptions import change_flows, ending_flows, queries
from portal.subscriptions.endings import Wish
from portal.subscriptions.rules import ChangeState, When
from tests.kit.conftest import pass_time
from tests.stripe_events.automaton import Explorer
from tests.stripe_events.life import end_trial
from tests.stripe_events.test_endings_in_every_order import FAILED, FAILED_MAILS, LEFT, LEFT_MAILS
from tests.stripe_events.test_lost_events import UPGRADED, upgrades_at_stripe
from tests.stripe_events.test_orders_of_events import (
    BOUGHT,
    BOUGHT_MAILS,
    CHARGED,
    CHARGED_MAILS,
    now_has_a_card_that_fails,
)
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    opens_checkout,
    pays,
    portrait,
    push_catalog,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

#: What a state is does not depend on the database; lives that are lived in sequence run on both.
pytestmark = [pytest.mark.usefixtures("unscoped", "asked_directly"), pytest.mark.once]
NOON = Travel.START
TRIAL_OVER = NOON + timedelta(days=14)
#: After the renewal of so many minutes ago: drafted, and charged an hour later.
DRAFTED, COLLECTED = timedelta(minutes=10), timedelta(minutes=80)
#: By kinds of events; and by every single event, which must lead to what the newest of its kind leads to.
SHORT = pytest.mark.parametrize("each", [False, pytest.param(True, marks=pytest.mark.thorough)])
LONG = pytest.mark.parametrize(
    "each", [pytest.param(False, marks=pytest.mark.thorough), pytest.param(True, marks=pytest.mark.soak)]
)


@dataclass
class Story:
    """One vendor at the beginning of a story, and what can be done with it."""

    explorer: Explorer
    sandbox: Sandbox
    who: Somebody

    @property
    def customer(self) -> str:
        return str(
            queries.held(self.who.id).stripe_customer_id or stripe_get(self.sandbox, "customers")["data"][0]["id"]
        )

    def page(self) -> None:
        """The success page is loaded."""
        with tenancy.scoped(self.who.id):
            checkout.fulfil(db.session.query(Order).filter_by(vendor_id=self.who.id).one().id)

    def is_held(self) -> bool:
        """Does the portal hold the subscription yet?"""
        return queries.held(self.who.id).stripe_subscription_id is not None

    def ends_as(self, expected: dict[str, Any], mails: dict[str, int], *, also: tuple[str, ...] = (),
                look: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        """Whatever was heard in whatever order; and, asked a night later, whatever was lost. ``also``: mails that
        depend on when it was heard of; each goes out at most once.
        """
        for lost, states in ((False, self.explorer.ends()), (True, self.explorer.last())):
            assert states
            for state in states:
                self.explorer.go_to(state)
                if lost:
                    reconcile.repair(self.who.id)
                pass_time(60)  # the jobs that would have carried on where a request died come too, and change nothing
                jobs.run_all()
                self._check(expected, mails, also)
                look()
                assert reconcile.compare(self.who.id) == []

    def _check(self, expected: dict[str, Any], mails: dict[str, int], also: tuple[str, ...]) -> None:
        found = portrait(self.who)
        written = found.pop("mails")
        assert all(written.pop(kind, 0) <= 1 for kind in also)
        balance, ledger = found["credits"]
        found["credits"] = (balance, sorted((kind, amount) for kind, amount, *_after in ledger))
        found["payments"] = sorted(found["payments"])
        assert found == {**expected, "credits": (expected["credits"][0], sorted(
            (kind, amount) for kind, amount, *_after in expected["credits"][1]))}  # fmt: skip
        assert written == mails


@pytest.fixture
def story(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene) -> Callable[..., Story]:
    """``story(each, trial=…)``: somebody paid at Checkout, and nothing was heard of it yet."""

    def begun(each: bool, *, trial: bool = True) -> Story:
        push_catalog()
        sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000_000)
        who = signs_up()
        if not trial:
            end_trial(who)
        assert pays(opens_checkout(who)).status_code == 303
        told = Story(Explorer(client, sandbox, travel, scene.stage.cleaner, each=each), sandbox, who)
        told.explorer.beside["page"] = told.page
        told.explorer.begin(NOON)
        return told

    return begun


@SHORT
def test_checkout(story: Callable[..., Story], each: bool) -> None:
    """Session, subscription, invoice, its payment, card, customer, and what is not needed: 7! = 5,040 orders."""
    told = story(each, trial=False)
    assert told.explorer.orders() == 5040
    told.ends_as(BOUGHT, BOUGHT_MAILS)


@LONG
def test_trial_to_paid(story: Callable[..., Story], each: bool) -> None:
    told = story(each)
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + DRAFTED)
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + COLLECTED)
    told.ends_as(CHARGED, CHARGED_MAILS)


@SHORT
def test_trial_to_cancel(story: Callable[..., Story], each: bool) -> None:
    told = story(each)

    def cancels() -> None:
        wish, version = Wish(at_once=False, feedback="unused"), queries.held(told.who.id).version
        ending_flows.cancel(told.who.id, wish, actor=told.who.actor, base_version=version)

    told.explorer.here_and_there(cancels, NOON + timedelta(days=1), when=told.is_held)
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + DRAFTED)
    told.ends_as(LEFT, LEFT_MAILS)


def fails_to_be_charged(told: Story) -> None:
    """The renewal of 29 January is refused."""
    told.explorer.at_stripe(lambda: now_has_a_card_that_fails(told.sandbox, told.customer), NOON + timedelta(days=1))
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + COLLECTED)


@LONG
def test_fail_and_recover(story: Callable[..., Story], each: bool) -> None:
    told = story(each)
    fails_to_be_charged(told)

    def is_paid() -> None:
        (owed,) = stripe_get(told.sandbox, "invoices", customer=told.customer, status="open")["data"]
        assert pays(owed["hosted_invoice_url"]).status_code == 303

    told.explorer.at_stripe(is_paid, TRIAL_OVER + timedelta(days=1))
    told.ends_as(CHARGED, CHARGED_MAILS, also=("payment_failed", "payment_reminder"))


@LONG
def test_fail_and_cancel(story: Callable[..., Story], each: bool, sandbox: Sandbox) -> None:
    sandbox.post("/_sandbox/settings", after_retries="cancel")
    told = story(each)
    fails_to_be_charged(told)
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + timedelta(days=7) + COLLECTED)
    told.ends_as(FAILED, FAILED_MAILS, also=("payment_failed", "payment_reminder", "suspended"))


@LONG
def test_upgrade(story: Callable[..., Story], each: bool) -> None:
    told = story(each)
    told.explorer.at_stripe(told.sandbox.run_due, TRIAL_OVER + COLLECTED)
    told.explorer.at_stripe(lambda: upgrades_at_stripe(told.sandbox, told.customer), NOON + timedelta(days=24))
    mails: Any = UPGRADED["mails"]
    told.ends_as({name: value for name, value in UPGRADED.items() if name != "mails"}, mails)


#: Essential from 15 February on: 49.00 EUR a month. The 2,000 starting credits lapsed with the first payment, the
#: 2,000 of January with January; 500 are granted for the new month.
DOWNGRADED: dict[str, Any] = {
    "subscription": ("active", "essential", "stripe", "2027-02-15", "2027-03-15", None, False),
    "rights": (
        {"orders": 100, "products": 200, "team_members": 1, "sites": 1, "storage_gb": 1},
        {
            "analytics": "basic",
            "support": "email",
            "module_sites": "yes",
            "module_planner": "yes",
            "module_writer": "yes",
        },
    ),
    "credits": (500, [("grant", 2000), ("expiry", -2000), ("grant", 2000), ("expiry", -2000), ("grant", 500)]),
    "books agree": True,
    "invoices": [
        ("subscription_create", "paid", 9900, 9900, [(9900, False)]),
        ("subscription_cycle", "paid", 4900, 4900, [(4900, False)]),
    ],
    "payments": [("succeeded", 4900, "EUR"), ("succeeded", 9900, "EUR")],
    "orders": [("fulfilled", 9900)],
    "purchases": [("Professional", 9900)],
    "unfinished": [],
    "events": [],
}
DOWNGRADED_MAILS = {"welcome": 1, "trial_ended": 1, "subscription_active": 1, "receipt": 2, "change_scheduled": 1,
                    "tier_changed": 1}  # fmt: skip


@LONG
def test_downgrade(story: Callable[..., Story], each: bool) -> None:
    told = story(each, trial=False)

    def wants_less() -> None:
        price = catalog.offer("essential", Cycle.MONTHLY)
        assert price is not None
        version = queries.held(told.who.id).version
        state = change_flows.change_tier(told.who.id, price.id, When.NEXT, actor=told.who.actor, base_version=version)
        assert state == ChangeState.SCHEDULED

    told.explorer.here_and_there(wants_less, NOON + timedelta(days=10), when=told.is_held)
    told.explorer.at_stripe(told.sandbox.run_due, NOON + timedelta(days=31) + COLLECTED)
    told.ends_as(DOWNGRADED, DOWNGRADED_MAILS)


@LONG
def test_refund_and_dispute(story: Callable[..., Story], each: bool) -> None:
    """Bought for 99.00; 30.00 of it go back in Stripe's dashboard; then the bank asks for all of it, and wins."""
    told = story(each, trial=False)

    def charge() -> dict[str, Any]:
        found: dict[str, Any] = stripe_get(told.sandbox, "charges", customer=told.customer)["data"][0]
        return found

    def is_disputed() -> None:
        told.sandbox.post(f"/_sandbox/objects/{charge()['id']}/dispute")
        dispute = stripe_get(told.sandbox, "disputes", payment_intent=charge()["payment_intent"])["data"][0]
        told.sandbox.post(f"/_sandbox/objects/{dispute['id']}/lose")

    def look() -> None:
        (refund,) = db.session.query(Refund).filter_by(vendor_id=told.who.id)
        (dispute,) = db.session.query(Dispute).filter_by(vendor_id=told.who.id)
        (invoice,) = db.session.query(Invoice).filter_by(vendor_id=told.who.id)
        assert (refund.state, refund.amount_minor, invoice.refunded_minor) == ("succeeded", 3000, 3000)
        assert (dispute.status, dispute.amount_minor) == ("lost", 9900)
        assert [method.is_default for method in methods.of_vendor(told.who.id)] == [True]

    told.explorer.at_stripe(
        lambda: stripe_post(told.sandbox, "refunds", charge=charge()["id"], amount="3000"), NOON + timedelta(days=1)
    )
    told.explorer.at_stripe(is_disputed, NOON + timedelta(days=2))
    told.ends_as(BOUGHT, {**BOUGHT_MAILS, "refunded": 1}, look=look)

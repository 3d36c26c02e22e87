"""A subscription against a plain model: whatever people and Stripe do, in any order, both say the same.

The model knows nothing of rows or events: a tier, a status, a wish for the next cycle, what was paid.
"""

from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.kit import clock, jobs, tasks
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import reconcile
from portal.subscriptions import change_flows, ending_flows, queries
from portal.subscriptions.endings import Wish
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import ChangeState, Restriction, When, add_months, restrictions
from tests.kit.conftest import pass_time
from tests.subscriptions.books import assert_apart, papers, trials
from tests.subscriptions.conftest import ADMIN
from tests.support.scenes import Scene
from tests.support.servers import Sandbox, deliver
from tests.support.stories import (
    Somebody,
    opens_checkout,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped", "asked_directly")
#: Cents a month.
TIERS = {"essential": 4900, "professional": 9900, "business": 19900}
#: Orders a month that each tier allows.
ORDERS = {"essential": 100, "professional": 500, "business": 2000}
RUNNING = ("active", "past_due", "suspended")
OPEN = ("trial", "active", "past_due")
GRACE = timedelta(days=7)
#: Hours.
BESIDE = 3
#: The periodic tasks that find something here. The nightly comparison with Stripe is left out on purpose: it would make
#: up for an event that led to nothing. It is asked at the end of each life.
TENDED = ("subscriptions.tend_trials", "subscriptions.tend_past_due", "subscriptions.end_due",
          "subscriptions.recheck_changes")  # fmt: skip


class Life(RuleBasedStateMachine):
    """One vendor's life; ``tier``, ``status``, ``planned``, ``leaving``, ``fails`` and ``owes_since`` are the model.

    What somebody does in the portal is seen at once. What Stripe tells of it is heard late, with what comes next: only
    where Stripe alone knows what happened (somebody paid, time has passed) is it heard before anybody looks.
    """

    client: FlaskClient
    sandbox: Sandbox
    travel: Travel
    #: Every life begins in the same small world, with a vendor who has just signed up and nobody beside it.
    scene: Scene
    #: Hours after which somebody looks: a day, or (0) only when the time is over.
    looks: int
    #: Has any time passed since it was bought? Buying and ending again at once would be half of what happens.
    has_lasted: bool

    @initialize(tier=st.sampled_from(sorted(TIERS)))
    def begin(self, tier: str) -> None:
        self.who: Somebody = signed_up(self.scene, self.sandbox, self.client, self.travel, tier)
        self.tier, self.status, self.planned = tier, "trial", ""
        self.leaving, self.fails = False, False
        self.owes_since: datetime | None = None
        self.has_lasted = False
        self.methods: dict[str, str] = {}

    def _step_aside(self) -> None:
        """Days are counted in whole ones from here, and what began just now ends a few hours beside them."""
        self.travel.on(hours=BESIDE)

    def _settle(self) -> None:
        """Until nothing new happens: what Stripe tells is heard, and what follows from it is done."""
        jobs.run_all()
        while deliver(self.sandbox, self.client, newest=True):
            jobs.run_all()

    @precondition(lambda self: self.status in ("trial", "trial_ended"))
    @rule()
    def adds_payment(self) -> None:
        self._buys(self.tier)

    @precondition(lambda self: self.status == "cancelled")
    @rule(tier=st.sampled_from(sorted(TIERS)))
    def comes_again(self, tier: str) -> None:
        self._buys(tier)

    def _buys(self, tier: str) -> None:
        assert pays(opens_checkout(self.who, tier)).status_code == 303
        self._settle()
        self.tier, self.status, self.planned = tier, "active", ""
        self.leaving, self.fails, self.owes_since = False, False, None
        self.has_lasted = False
        self._step_aside()

    @rule(days=st.sampled_from([1, 5, 12, 33]))
    def time_passes(self, days: int) -> None:
        end, credit = queries.held(self.who.id).period_end, self._credit()
        self.has_lasted = True
        for _ in range(24 * days // (self.looks or 24 * days)):
            self.travel.on(hours=self.looks or 24 * days)
            self.sandbox.run_due()
            tend()
            self._settle()
        while self.travel.now > end + timedelta(hours=2) and self.status in ("trial", *RUNNING):
            credit = self._period_is_over(end, credit)
            end = add_months(end, 1)
        if self.owes_since and self.status == "past_due" and self.travel.now >= self.owes_since + GRACE:
            self.status = "suspended"

    def _credit(self) -> int:
        """What Stripe owes the vendor for unused time; renewals are paid from it first."""
        return -int(stripe_get(self.sandbox, f"customers/{self._customer}")["balance"])

    def _period_is_over(self, end: datetime, credit: int) -> int:
        """Gives what is left of the credit."""
        if self.status == "trial":
            self.status = "trial_ended"
            return credit
        if self.leaving:
            self.status, self.leaving, self.fails, self.owes_since = "cancelled", False, False, None
            return credit
        self.tier, self.planned = self.planned or self.tier, ""
        if self.fails and self.status == "active" and credit < TIERS[self.tier]:
            # The renewal is billed at the period's end and collected an hour later.
            self.status, self.owes_since = "past_due", end + timedelta(hours=1)
        return max(0, credit - TIERS[self.tier])

    @precondition(lambda self: self.status == "active" and not (self.planned or self.fails or self.leaving))
    @rule(tier=st.sampled_from(sorted(TIERS)), when=st.sampled_from(When))
    def changes_tier(self, tier: str, when: When) -> None:
        if tier == self.tier:
            return
        price = catalog_queries.offer(tier, Cycle.MONTHLY)
        assert price is not None
        version = queries.held(self.who.id).version
        state = change_flows.change_tier(self.who.id, price.id, when, actor=ADMIN, base_version=version)
        assert state == (ChangeState.APPLIED if when == When.NOW else ChangeState.SCHEDULED)
        if when == When.NOW:
            self.tier = tier
        else:
            self.planned = tier

    @precondition(lambda self: self.planned and self.status == "active")
    @rule()
    def undoes(self) -> None:
        change_flows.undo_change(self.who.id, actor=ADMIN, base_version=queries.held(self.who.id).version)
        self.planned = ""

    @precondition(lambda self: self.status in RUNNING and not self.leaving)
    @rule()
    def cancels(self) -> None:
        self._cancel(Wish(at_once=False, feedback="unused"), self.who.actor)
        self.leaving, self.planned = True, ""

    @precondition(lambda self: self.status in (*RUNNING, "trial") and self.has_lasted)
    @rule()
    def is_ended_at_once(self) -> None:
        self._cancel(Wish(at_once=True, comment="Asked by mail"), ADMIN)
        self.status, self.planned = "cancelled", ""
        self.leaving, self.fails, self.owes_since = False, False, None

    def _cancel(self, wish: Wish, by: Actor) -> None:
        ending_flows.cancel(self.who.id, wish, actor=by, base_version=queries.held(self.who.id).version)

    @precondition(lambda self: self.leaving)
    @rule(clicks=st.integers(1, 2))
    def resumes(self, clicks: int) -> None:
        for _ in range(clicks):
            version = queries.held(self.who.id).version
            ending_flows.resume(self.who.id, actor=self.who.actor, base_version=version)
        self.leaving = False

    @precondition(lambda self: self.status == "active" and not self.fails)
    @rule()
    def card_breaks(self) -> None:
        self._card("pm_card_chargeCustomerFail")
        self.fails = True

    @precondition(lambda self: self.fails)
    @rule()
    def card_is_mended(self) -> None:
        """Whoever owes pays what is open; everything opens at once."""
        for invoice in stripe_get(self.sandbox, "invoices", customer=self._customer, status="open")["data"]:
            pays(invoice["hosted_invoice_url"])
        self._card("pm_card_visa")
        self._settle()
        self.status, self.fails, self.owes_since = "active", False, None

    @property
    def _customer(self) -> str:
        return str(queries.held(self.who.id).stripe_customer_id)

    def _card(self, method: str) -> None:
        """Another of the customer's cards is to pay; one that it does not have yet is added."""
        held = queries.held(self.who.id)
        if method not in self.methods:
            to = f"payment_methods/{method}/attach"
            self.methods[method] = stripe_post(self.sandbox, to, customer=str(held.stripe_customer_id))["id"]
        path = f"subscriptions/{held.stripe_subscription_id}"
        stripe_post(self.sandbox, path, default_payment_method=self.methods[method])

    @rule()
    def jobs_that_waited_come(self) -> None:
        pass_time(60)
        self._settle()

    def teardown(self) -> None:
        """Events alone have told everything: a comparison with Stripe finds nothing."""
        if hasattr(self, "who"):
            self._settle()
            assert reconcile.compare(self.who.id) == []

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "who"):
            return
        db.session.rollback()
        held = queries.overview(self.who.id)
        assert held is not None
        planned = held.pending.tier_name.lower() if held.pending else ""
        assert (str(held.status), held.tier_code, planned) == (self.status, self.tier, self.planned)
        assert (held.cancel_at_period_end and held.status != "cancelled") == self.leaving
        assert (held.past_due_since is not None) == (self.owes_since is not None)
        assert held.amount is not None
        assert held.amount.minor == TIERS[self.tier]

    @invariant()
    def rights_follow_the_state(self) -> None:
        if not hasattr(self, "who"):
            return
        limits = entitlements.rights(self.who.id, clock.business()).limits
        assert limits.get("orders", 0) == (ORDERS[self.tier] if self.status in OPEN else 0)
        if self.status == "cancelled":
            assert credits.balance(self.who.id) == 0, "included credits end, and none are granted afterwards"

    @invariant()
    def the_gate_knows_what_the_rules_say(self) -> None:
        """Tried once without the listener in subscriptions.frames: the first step already differs."""
        if hasattr(self, "who"):
            assert_framed(self.who.id)

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "who"):
            return
        assert credits.verify() == []
        assert trials(self.who.id) == 1
        found = papers(self.who.id)
        assert all(paper.total == paper.parts for paper in found)
        assert_apart([period for paper in found for period in paper.periods])


def signed_up(scene: Scene, sandbox: Sandbox, client: FlaskClient, travel: Travel, tier: str) -> Somebody:
    """A vendor who has just begun the trial of a tier; nothing that Stripe tells is unheard."""

    def catalog() -> None:
        push_catalog()
        settle(sandbox, client)

    def begun() -> Somebody:
        scene("Stripe has told of its catalog", catalog)
        who = signs_up(tier)
        settle(sandbox, client)
        travel.on(hours=BESIDE)
        return who

    return scene(f"begins the trial of {tier}", begun)


def tend() -> None:
    """What the clock brings to a subscription."""
    with unit_of_work():
        for task in TENDED:
            tasks.find(task).handler()
    tasks.find("credits.expire").handler()


def assert_framed(vendor_id: int) -> None:
    """The frame of the vendor's rights is its subscription's, and says at any time what the rules say."""
    held, now = queries.held(vendor_id), clock.business()
    frame = entitlements.frame(vendor_id, now)
    assert (frame.standing, frame.period_start, frame.period_end) == (held.status, held.period_start, held.period_end)
    since = db.session.get_one(VendorSubscription, held.id).past_due_since
    for days in range(9):
        then = now + timedelta(days=days)
        closed = restrictions(held.status, since, then)
        assert (frame.bars_creating(then) is not None) == (Restriction.CREATE in closed)
        assert (frame.closed(then) is not None) == (Restriction.PRODUCT in closed)


def run(scene: Scene, *, examples: int, steps: int, looks: int = 0, seed: int = 0) -> None:
    around = {"client": scene.client, "sandbox": scene.stage.sandbox, "travel": scene.stage.travel}
    values = {**around, "scene": scene, "looks": looks}
    machine = seeded(seed)(type("LifeHere", (Life,), values)) if not looks else type("LifeHere", (Life,), values)
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet,
            print_blob=True,
        ),
    )  # fmt: skip


#: Lives, steps of each, and which part it is: several processes share them. What differs between the databases the
#: first ten lives meet.
PARTS = [
    pytest.param(10, 30, 1),
    *(pytest.param(10, 30, part, marks=pytest.mark.once) for part in range(2, 6)),
    *(pytest.param(25, 50, part, marks=[pytest.mark.thorough, pytest.mark.once]) for part in range(6, 26)),
    *(pytest.param(100, 50, part, marks=pytest.mark.soak) for part in range(26, 76)),
]


@pytest.mark.parametrize(("lives", "steps", "part"), PARTS)
def test_a_life_is_what_a_plain_model_says(scene: Scene, lives: int, steps: int, part: int) -> None:
    """Fifty lives of thirty steps at a desk, five hundred of fifty in CI, five thousand under soak."""
    run(scene, examples=lives, steps=steps, seed=part)


@pytest.mark.soak
def test_many_lives_are_what_a_plain_model_says(scene: Scene) -> None:
    """The same, looked at every day."""
    run(scene, examples=500, steps=50, looks=24)

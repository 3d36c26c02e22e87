"""A subscription against a plain model: whatever people and Stripe do, in any order, both say the same.

The model knows nothing of rows or events: a tier, a status, a wish for the next cycle, what was paid.
Full size under make soak.
"""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portal.billing.models import Invoice
from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.kit.db import db
from portal.subscriptions import change_flows, queries
from portal.subscriptions.models import Trial
from portal.subscriptions.rules import ChangeState, When
from tests.kit.conftest import pass_time
from tests.subscriptions.conftest import ADMIN
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    lives_on,
    opens_checkout,
    own_card,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
#: Cents a month.
TIERS = {"essential": 4900, "professional": 9900, "business": 19900}
NUMBERS = itertools.count(1)


class Life(RuleBasedStateMachine):
    """One vendor's life; ``tier``, ``status``, ``planned`` and ``fails`` are the model."""

    client: FlaskClient
    sandbox: Sandbox
    travel: Travel

    @initialize(tier=st.sampled_from(sorted(TIERS)))
    def begin(self, tier: str) -> None:
        number = next(NUMBERS)
        self.who: Somebody = signs_up(tier, f"v{number}@shop.example", f"Shop {number}")
        self.card = own_card(number)
        self.tier, self.status, self.planned, self.fails = tier, "trial", "", False
        self.trial_left = 14

    @precondition(lambda self: self.status in ("trial", "trial_ended"))
    @rule()
    def adds_payment(self) -> None:
        assert pays(opens_checkout(self.who, self.tier), self.card).status_code == 303
        settle(self.sandbox, self.client)
        self.status = "active"

    @rule(days=st.sampled_from([1, 5, 12, 33]))
    def time_passes(self, days: int) -> None:
        before = queries.held(self.who.id).period_end
        lives_on(self.sandbox, self.client, self.travel, step=24, days=days)
        renewed = self.travel.now > before + timedelta(hours=2)
        if self.status == "trial" and renewed:
            self.status = "trial_ended"
        elif self.status in ("active", "past_due") and renewed:
            self.tier, self.planned = self.planned or self.tier, ""
            self.status = "past_due" if self.fails else self.status

    @precondition(lambda self: self.status == "active" and not self.planned and not self.fails)
    @rule(tier=st.sampled_from(sorted(TIERS)), when=st.sampled_from(When))
    def changes_tier(self, tier: str, when: When) -> None:
        if tier == self.tier:
            return
        price = catalog_queries.offer(tier, Cycle.MONTHLY)
        assert price is not None
        version = queries.held(self.who.id).version
        state = change_flows.change_tier(self.who.id, price.id, when, actor=ADMIN, base_version=version)
        settle(self.sandbox, self.client)
        assert state == (ChangeState.APPLIED if when == When.NOW else ChangeState.SCHEDULED)
        if when == When.NOW:
            self.tier = tier
        else:
            self.planned = tier

    @precondition(lambda self: self.planned and self.status == "active")
    @rule()
    def undoes(self) -> None:
        change_flows.undo_change(self.who.id, actor=ADMIN, base_version=queries.held(self.who.id).version)
        settle(self.sandbox, self.client)
        self.planned = ""

    @precondition(lambda self: self.status == "active" and not self.fails)
    @rule()
    def card_breaks(self) -> None:
        self._card("pm_card_chargeCustomerFail")
        self.fails = True

    @precondition(lambda self: self.fails)
    @rule()
    def card_is_mended(self) -> None:
        for invoice in stripe_get(self.sandbox, "invoices", customer=self._customer, status="open")["data"]:
            pays(invoice["hosted_invoice_url"], self.card)
        self._card("pm_card_visa")
        settle(self.sandbox, self.client)
        self.status, self.fails = "active", False

    @property
    def _customer(self) -> str:
        return str(queries.held(self.who.id).stripe_customer_id)

    def _card(self, method: str) -> None:
        made = stripe_post(self.sandbox, f"payment_methods/{method}/attach", customer=self._customer)["id"]
        held = queries.held(self.who.id).stripe_subscription_id
        stripe_post(self.sandbox, f"subscriptions/{held}", default_payment_method=made)
        settle(self.sandbox, self.client)

    @rule()
    def jobs_that_waited_come(self) -> None:
        pass_time(60)
        settle(self.sandbox, self.client)

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "who"):
            return
        db.session.rollback()
        held = queries.overview(self.who.id)
        assert held is not None
        planned = held.pending.tier_name.lower() if held.pending else ""
        assert (str(held.status), held.tier_code, planned) == (self.status, self.tier, self.planned)
        assert held.amount is not None
        assert held.amount.minor == TIERS[self.tier]

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "who"):
            return
        assert credits.verify() == []
        assert db.session.query(Trial).filter_by(vendor_id=self.who.id).count() == 1
        for invoice in db.session.query(Invoice).filter_by(vendor_id=self.who.id):
            assert invoice.total_minor == sum(line.amount_minor for line in invoice.lines) + invoice.tax_minor
        assert_apart(list(self._paid_periods()))

    def _paid_periods(self) -> Iterator[tuple]:
        rows = db.session.query(Invoice).filter_by(vendor_id=self.who.id, reason="subscription_cycle", status="paid")
        for invoice in rows:
            yield from ((n.period_start, n.period_end) for n in invoice.lines if not n.proration)


def assert_apart(periods: list[tuple]) -> None:
    """Paid periods never overlap."""
    for (_, end), (start, _) in itertools.pairwise(sorted(periods)):
        assert end <= start


def run(client: FlaskClient, sandbox: Sandbox, travel: Travel, *, examples: int, steps: int) -> None:
    push_catalog()
    machine = type("LifeHere", (Life,), {"client": client, "sandbox": sandbox, "travel": travel})
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet,
            derandomize=examples < 50,
        ),
    )  # fmt: skip


def test_a_life_is_what_a_plain_model_says(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    run(client, sandbox, travel, examples=3, steps=8)


@pytest.mark.soak
def test_many_lives_are_what_a_plain_model_says(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    run(client, sandbox, travel, examples=50, steps=30)

"""A table of changes worked out by hand: preview, charge, Stripe's invoice and ours agree to the last minor unit.

Every period begins at noon UTC. What is unused of the old price is credited, the rest of the new one charged, each to
the second and rounded half away from zero; amounts are in minor units.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog import service as prices
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.identity import queries as identity
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows, queries
from portal.subscriptions.change_flows import Preview
from portal.subscriptions.rules import ChangeState, When
from tests.subscriptions.conftest import ADMIN
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, pays, push_catalog, settle, signs_up, stripe_get, stripe_post
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
M, Y = Cycle.MONTHLY, Cycle.YEARLY
APRIL = datetime(2027, 4, 1, 12, tzinfo=UTC)  # to 1 May: 30 days of 86,400 s = 2,592,000 s


@dataclass(frozen=True)
class Case:
    """From a price held since ``start`` to another one, ``after`` into the period.

    ``balance``: the customer's before (negative: credit); ``left``: after.
    """

    start: datetime
    old: tuple[str, Cycle]
    new: tuple[str, Cycle]
    after: timedelta
    lines: list[int]
    due: int
    balance: int = 0
    left: int = 0
    currency: str = "EUR"
    zone: str = field(default="UTC")


CASES = {
    # 15 of 30 days left. 9900 × 15/30 = 4950 back, 19900 × 15/30 = 9950 to pay: 9950 - 4950 = 5000.
    "up in the middle of the month": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=15), [-4950, 9950], 5000
    ),
    # 2,592,000 - (864,000 + 3,601) = 1,724,399 s left. 9900 × 1724399/2592000 = 6586.246 → 6586;
    # 19900 × 1724399/2592000 = 13239.02 → 13239: 13239 - 6586 = 6653.
    "up at an odd second": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=10, seconds=3601), [-6586, 13239], 6653
    ),
    # 3 days 18 hours = 324,000 s = 1/8 left. 9900/8 = 1237.5 → 1238; 19900/8 = 2487.5 → 2488: 2488 - 1238 = 1250.
    "halves are rounded away from zero": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=26, hours=6), [-1238, 2488], 1250
    ),
    # At the very start nothing is used: 9900 back, 19900 to pay.
    "up in the first second": Case(APRIL, ("professional", M), ("business", M), timedelta(), [-9900, 19900], 10000),
    # 60 s of 2,592,000 left: 9900 × 60/2592000 = 0.23 → 0, 19900 × 60/2592000 = 0.46 → 0.
    "up in the last minute": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=30, seconds=-60), [0, 0], 0
    ),
    # 15 of 30 days left. 9900 × 1/2 = 4950 back, 4900 × 1/2 = 2450 to pay: 2500 stay as credit.
    "down at once by an admin": Case(
        APRIL, ("professional", M), ("essential", M), timedelta(days=15), [-4950, 2450], 0, left=-2500
    ),
    # 31 January to 28 February: 28 days, 14 left. 4900/2 = 2450 back, 9900/2 = 4950 to pay: 2500.
    "a period from the end of a month": Case(
        datetime(2027, 1, 31, 12, tzinfo=UTC), ("essential", M), ("professional", M), timedelta(days=14),
        [-2450, 4950], 2500,
    ),
    # 15 February to 15 March 2028: 29 days; on 29 February 15 are left. 9900 × 15/29 = 5120.69 → 5121;
    # 19900 × 15/29 = 10293.10 → 10293: 10293 - 5121 = 5172.
    "on the leap day": Case(
        datetime(2028, 2, 15, 12, tzinfo=UTC), ("professional", M), ("business", M), timedelta(days=14),
        [-5121, 10293], 5172,
    ),
    # 15 March to 15 April: 31 days by UTC, whatever Berlin's clocks do on 28 March; 18 left.
    # 9900 × 18/31 = 5748.39 → 5748; 19900 × 18/31 = 11554.84 → 11555: 11555 - 5748 = 5807.
    "on the day when clocks change": Case(
        datetime(2027, 3, 15, 12, tzinfo=UTC), ("professional", M), ("business", M), timedelta(days=13),
        [-5748, 11555], 5807, zone="Europe/Berlin",
    ),
    # 15 of 30 days left: 4950 back; a year begins anew: 99000. 99000 - 4950 = 94050.
    "monthly to yearly": Case(
        APRIL, ("professional", M), ("professional", Y), timedelta(days=15), [-4950, 99000], 94050
    ),
    # 1 April 2027 to 1 April 2028: 366 days; 61 are used, 305 = 5/6 left. 199000 × 5/6 = 165833.33 → 165833 back;
    # a month begins anew: 19900. 19900 - 165833 = -145933 stay as credit.
    "yearly to monthly by an admin": Case(
        APRIL, ("business", Y), ("business", M), timedelta(days=61), [-165833, 19900], 0, left=-145933
    ),
    # 5000 as above, less a credit of 2000: 3000.
    "with a credit": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=15), [-4950, 9950], 3000, balance=-2000
    ),
    # 5000 as above; 8000 of credit pay it all, 3000 are left.
    "with more credit than is due": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=15), [-4950, 9950], 0, balance=-8000, left=-3000
    ),
    # 5000 as above, and 700 that were owed from before: 5700.
    "with a debt from before": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=15), [-4950, 9950], 5700, balance=700
    ),
    # Yen have no decimals. 20 of 30 days left. 980 × 2/3 = 653.33 → 653; 1980 × 2/3 = 1320: 1320 - 653 = 667.
    "in yen": Case(
        APRIL, ("professional", M), ("business", M), timedelta(days=10), [-653, 1320], 667, currency="JPY"
    ),
}  # fmt: skip


def price_of(tier: str, cycle: Cycle, currency: str) -> int:
    found = catalog.offer(tier, cycle, currency)
    assert found is not None
    return found.id


def price_in_yen() -> None:
    for code, minor in (("professional", 980), ("business", 1980)):
        tier = catalog.tier_by_code(code)
        assert tier is not None
        with unit_of_work():
            prices.change_price(tier.id, M, "JPY", minor, actor=ADMIN, now=clock.business())


def pays_since(case: Case, sandbox: Sandbox, client: FlaskClient, travel: Travel) -> Somebody:
    """A vendor whose first paid period of the old price begins at ``start``; its trial lies behind it."""
    travel.to(case.start - timedelta(days=20))
    if case.currency == "JPY":
        price_in_yen()
    push_catalog()
    who = signs_up(case.old[0])
    if case.zone != "UTC":
        with unit_of_work():
            vendor = identity.vendor(who.id)
            assert vendor is not None
            vendor.time_zone = case.zone
    travel.to(case.start)
    back = f"http://localhost/vendor/{who.code}/billing"
    addresses = Addresses(f"{back}/done?session_id={{CHECKOUT_SESSION_ID}}", back)
    with tenancy.scoped(who.id):
        assert pays(checkout.start(who.id, price_of(*case.old, case.currency), addresses, actor=who.actor)).ok
    settle(sandbox, client)
    return who


@dataclass
class Till:
    """Where a case is played: the vendor, and what was shown and charged."""

    who: Somebody
    sandbox: Sandbox
    client: FlaskClient
    travel: Travel

    def shown(self, price_id: int, after: timedelta) -> Preview:
        """The preview for exactly this moment of the period, looked at two seconds later."""
        moment = queries.held(self.who.id).period_start + after
        self.travel.to(moment + timedelta(seconds=2) if after else moment + timedelta(seconds=1))
        return change_flows.preview_change(self.who.id, price_id, When.NOW, moment)

    def confirms(self, shown: Preview) -> None:
        version = queries.held(self.who.id).version
        state = change_flows.change_tier(
            self.who.id, shown.price.id, When.NOW, actor=ADMIN, base_version=version,
            proration_at=shown.proration_at, shown=shown.due,
        )  # fmt: skip
        assert state == ChangeState.APPLIED
        settle(self.sandbox, self.client)

    @property
    def customer(self) -> str:
        return str(queries.held(self.who.id).stripe_customer_id)

    def charged(self) -> dict:
        """Stripe's newest invoice of a change."""
        found = stripe_get(self.sandbox, "invoices", customer=self.customer, limit="100")["data"]
        return next(i for i in found if i["billing_reason"] == "subscription_update")


@pytest.fixture
def till(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene):
    """``till(case)``: the shop of a case, as it stands after the first payment."""

    def opened(case: Case) -> Till:
        name = f"pays {case.old} in {case.currency} since {case.start:%Y-%m-%d} in {case.zone.replace('/', ' ')}"
        return Till(scene(name, lambda: pays_since(case, sandbox, client, travel)), sandbox, client, travel)

    return opened


@pytest.mark.parametrize("name", list(CASES))
def test_preview_charge_sandbox_and_the_sum_by_hand_agree(name: str, till) -> None:
    case = CASES[name]
    shop = till(case)
    if case.balance:
        stripe_post(shop.sandbox, f"customers/{shop.customer}", balance=str(case.balance))
    shown = shop.shown(price_of(*case.new, case.currency), case.after)
    assert [amount.minor for _label, amount in shown.lines] == case.lines
    assert shown.due == Money(case.due, case.currency)
    assert sum(case.lines) + shown.tax.minor + shown.balance.minor == case.due, "the lines explain the sum"
    shop.confirms(shown)
    charged = shop.charged()
    assert [line["amount"] for line in charged["lines"]["data"]] == case.lines
    assert (charged["amount_due"], charged["amount_paid"], charged["status"]) == (case.due, case.due, "paid")
    assert stripe_get(shop.sandbox, f"customers/{shop.customer}")["balance"] == case.left
    ours = db.session.query(Invoice).filter_by(stripe_invoice_id=charged["id"]).one()
    assert (ours.due_minor, ours.currency, ours.status) == (case.due, case.currency, "paid")
    assert [line.amount_minor for line in ours.lines] == case.lines
    held = queries.overview(shop.who.id)
    assert held is not None and (held.tier_code, held.cycle) == case.new


def test_up_and_up_again_credits_what_was_really_paid(till) -> None:
    shop = till(Case(APRIL, ("essential", M), ("professional", M), timedelta(days=10), [], 0))
    # 20 of 30 days left. 4900 × 20/30 = 3266.67 → 3267 back, 9900 × 20/30 = 6600 to pay: 3333.
    first = shop.shown(price_of("professional", M, "EUR"), timedelta(days=10))
    assert ([m.minor for _l, m in first.lines], first.due.minor) == ([-3267, 6600], 3333)
    shop.confirms(first)
    assert shop.charged()["amount_paid"] == 3333
    # 10 of 30 days left: half of the 6600 that were paid for 20 days = 3300 back, 19900 × 10/30 = 6633.33 → 6633: 3333.
    second = shop.shown(price_of("business", M, "EUR"), timedelta(days=20))
    assert ([m.minor for _l, m in second.lines], second.due.minor) == ([-3300, 6633], 3333)
    shop.confirms(second)
    paid = [i["amount_paid"] for i in stripe_get(shop.sandbox, "invoices", customer=shop.customer)["data"]]
    assert paid == [3333, 3333, 4900]


def test_the_next_charge_is_told_with_its_date(till) -> None:
    """The same cycle keeps its day, another one begins on the day of the change."""
    shop = till(CASES["up in the middle of the month"])
    start = queries.held(shop.who.id).period_start
    same = shop.shown(price_of("business", M, "EUR"), timedelta(days=15))
    assert (
        same.next_at
        == queries.held(shop.who.id).period_end
        == datetime(2027, 5, 1, 12, tzinfo=UTC).replace(second=start.second)
    )
    yearly = shop.shown(price_of("professional", Y, "EUR"), timedelta(days=15))
    assert yearly.next_at.date() == datetime(2028, 4, 16, tzinfo=UTC).date()
    shop.confirms(yearly)
    assert abs(queries.held(shop.who.id).period_end - yearly.next_at) < timedelta(minutes=1)


def test_for_the_next_cycle_nothing_is_due(till) -> None:
    shop = till(CASES["down at once by an admin"])
    shown = change_flows.preview_change(shop.who.id, price_of("essential", M, "EUR"), When.NEXT)
    assert (shown.lines, shown.due.minor, shown.effective_at) == ((), 0, queries.held(shop.who.id).period_end)

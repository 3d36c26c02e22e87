"""A table of changes worked out by hand: preview, charge, Stripe's invoice and ours agree to the last minor unit.

Every period begins at noon UTC. What is unused of the old price is credited, the rest of the new one charged, each to
the second and rounded half away from zero; amounts are in minor units.
"""

from datetime import UTC, datetime, timedelta

import pytest

from portal.billing.models import Invoice
from portal.kit.db import db
from portal.kit.money import Money
from portal.subscriptions import change_flows, queries
from portal.subscriptions.rules import When
from tests.subscriptions.shop import APRIL, Case, M, Y, price_of
from tests.support.stories import stripe_get, stripe_post

pytestmark = pytest.mark.usefixtures("unscoped")
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

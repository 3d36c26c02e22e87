"""Add-ons on the tier's subscription, worked out by hand: preview, charge, Stripe's invoice and ours agree.

Every period begins at noon UTC. Extra storage costs 500 a month, an email package of five 500 and of 25 mailboxes 1900,
a certificate 4900 a year; amounts are in minor units. In April a month has 2,592,000 s, the year from 1 April 2027 has
366 days.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from portal.billing.models import Invoice
from portal.catalog.models import AddonPrice, AddonProduct
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.kit import clock
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import item_flows, queries
from portal.subscriptions.item_flows import ItemState
from tests.subscriptions.shop import APRIL, Case, M, Till, Y, price_of
from tests.support.stories import push_catalog, settle, stripe_get, stripe_post

pytestmark = pytest.mark.usefixtures("unscoped")
STORAGE, FIVE, MANY, CERTIFICATE = (
    ("extra-storage", "", M), ("email-package", "5", M), ("email-package", "25", M), ("premium-ssl", "", Y),
)  # fmt: skip
Addon = tuple[str, str, Cycle]


def addon_price(addon: Addon, currency: str = "EUR") -> str:
    """Its price at Stripe."""
    code, variant, cycle = addon
    found = db.session.scalar(
        select(AddonPrice.stripe_price_id).join(AddonProduct).where(
            AddonProduct.code == code, AddonPrice.variant == variant, AddonPrice.cycle == cycle,
            AddonPrice.currency == currency,
        )
    )  # fmt: skip
    db.session.rollback()
    assert found is not None
    return found


def storage_in_yen() -> None:
    with unit_of_work() as session:
        addon = session.scalars(select(AddonProduct).where(AddonProduct.code == "extra-storage")).one()
        session.add(
            AddonPrice(addon_id=addon.id, cycle=M, currency="JPY", amount_minor=80, valid_from=clock.business())
        )
    push_catalog()


def has(shop: Till, addon: Addon, quantity: int, currency: str = "EUR") -> str:
    """The add-on stands on the subscription since the first second of the period; gives its item."""
    start = queries.held(shop.who.id).period_start
    had = item_flows.add_item(
        shop.who.id, addon_price(addon, currency), quantity, key=f"has-{addon[0]}-{shop.who.id}", at=start, shown=None,
        now=clock.business(),
    )  # fmt: skip
    assert had.item is not None
    settle(shop.sandbox, shop.client)
    return had.item.id


def moment(shop: Till, after: timedelta) -> datetime:
    """So far into the period, looked at two seconds later."""
    at = queries.held(shop.who.id).period_start + after
    shop.travel.to(at + timedelta(seconds=2))
    return at


@dataclass(frozen=True)
class Item:
    """A number of add-ons that becomes another number (0: taken off), or another add-on, ``after`` into the period."""

    old: tuple[Addon, int] | None
    new: tuple[Addon, int]
    after: timedelta
    lines: list[int]
    due: int
    balance: int = 0
    left: int = 0
    start: datetime = APRIL
    currency: str = "EUR"


ITEMS = {
    # 15 of 30 days left: 2 × 500 × 15/30 = 500.
    "two more in the middle of the month": Item(None, (STORAGE, 2), timedelta(days=15), [500], 500),
    # 2,592,000 - (864,000 + 3,601) = 1,724,399 s left: 1500 × 1724399/2592000 = 997.92 → 998.
    "three at an odd second": Item(None, (STORAGE, 3), timedelta(days=10, seconds=3601), [998], 998),
    # 3 days 18 hours = 1/8 left: 500/8 = 62.5 → 63.
    "half a cent is rounded up": Item(None, (STORAGE, 1), timedelta(days=26, hours=6), [63], 63),
    # 10 of 30 days left: 1000/3 = 333.33 → 333 back, 2500/3 = 833.33 → 833 to pay: 500.
    "from two to five": Item((STORAGE, 2), (STORAGE, 5), timedelta(days=20), [-333, 833], 500),
    # 10 of 30 days left: 2500/3 = 833.33 → 833 back, 500/3 = 166.67 → 167 to pay: 666 stay as credit.
    "from five to one at once": Item((STORAGE, 5), (STORAGE, 1), timedelta(days=20), [-833, 167], 0, left=-666),
    # 15 of 30 days left: 500/2 = 250 back.
    "taken off at once": Item((STORAGE, 1), (STORAGE, 0), timedelta(days=15), [-250], 0, left=-250),
    # 15 of 30 days left: 500/2 = 250 back, 1900/2 = 950 to pay: 700.
    "a larger package": Item((FIVE, 1), (MANY, 1), timedelta(days=15), [-250, 950], 700),
    # 500 as above, less a credit of 200: 300.
    "with a credit": Item(None, (STORAGE, 2), timedelta(days=15), [500], 300, balance=-200),
    # 500 as above; 800 of credit pay it all, 300 are left.
    "with more credit than is due": Item(None, (STORAGE, 2), timedelta(days=15), [500], 0, balance=-800, left=-300),
    # 31 January to 28 February: 28 days, 14 left: 1500/2 = 750.
    "in a month that is shorter": Item(
        None, (STORAGE, 3), timedelta(days=14), [750], 750, start=datetime(2027, 1, 31, 12, tzinfo=UTC)
    ),
    # Yen have no decimals. 20 of 30 days left: 7 × 80 × 2/3 = 373.33 → 373.
    "in yen": Item(None, (STORAGE, 7), timedelta(days=10), [373], 373, currency="JPY"),
}


@pytest.mark.parametrize("name", list(ITEMS))
def test_an_item_costs_what_was_shown_what_stripe_charges_and_what_the_sum_says(name: str, till) -> None:
    case = ITEMS[name]
    shop: Till = till(Case(case.start, ("professional", M), ("business", M), case.after, [], 0, currency=case.currency))
    if case.currency == "JPY":
        storage_in_yen()
    item = has(shop, *case.old) if case.old else None
    if case.balance:
        stripe_post(shop.sandbox, f"customers/{shop.customer}", balance=str(case.balance))
    at = moment(shop, case.after)
    price, quantity = addon_price(case.new[0], case.currency), case.new[1]
    shown = item_flows.preview_item(shop.who.id, price, quantity, now=clock.business(), at=at, item_id=item)
    assert [amount.minor for _label, amount in shown.lines] == case.lines
    assert shown.due == Money(case.due, case.currency)
    if case.due or case.balance:
        assert sum(case.lines) + shown.tax.minor + shown.balance.minor == case.due, "the lines explain the sum"
    assert shown.next_at == queries.held(shop.who.id).period_end
    now = clock.business()
    if item is None:
        done = item_flows.add_item(shop.who.id, price, quantity, key="k", at=at, shown=shown.due, now=now)
        assert done.state == ItemState.APPLIED and done.item is not None and done.item.quantity == quantity
    elif quantity:
        done = item_flows.change_item(shop.who.id, item, price, quantity, key="k", at=at, shown=shown.due, now=now)
        assert done.item is not None and (done.item.stripe_price_id, done.item.quantity) == (price, quantity)
    else:
        item_flows.remove_item(shop.who.id, item, at_period_end=False, key="k", at=at)
    settle(shop.sandbox, shop.client)
    agrees(shop, case.lines, case.due, case.left, case.currency)


def agrees(shop: Till, lines: list[int], due: int, left: int, currency: str = "EUR") -> None:
    """Stripe's invoice, the customer's balance and our invoice say the same."""
    charged = shop.charged()
    assert [line["amount"] for line in charged["lines"]["data"]] == lines
    assert (charged["amount_due"], charged["amount_paid"], charged["status"]) == (due, due, "paid")
    assert stripe_get(shop.sandbox, f"customers/{shop.customer}")["balance"] == left
    ours = db.session.query(Invoice).filter_by(stripe_invoice_id=charged["id"]).one()
    assert (ours.due_minor, ours.currency, ours.status) == (due, currency, "paid")
    assert [line.amount_minor for line in ours.lines] == lines


@dataclass(frozen=True)
class Beside:
    """A change of the tier with add-ons standing beside it since the first second."""

    case: Case
    addons: list[tuple[Addon, int]]
    #: What stands there afterwards (cents a period of one, how many, last day of the running period).
    stands: list[tuple[int, int, str]]


BESIDE = {
    # 15 of 30 days left. 4950 back, 9950 to pay: 5000; what does not change is not touched.
    "up with storage": Beside(
        Case(APRIL, ("professional", M), ("business", M), timedelta(days=15), [-4950, 9950], 5000),
        [(STORAGE, 2)], [(19900, 1, "2027-05-01"), (500, 2, "2027-05-01")],
    ),
    # 15 of 30 days left. 4950 back, 2450 to pay: 2500 stay as credit.
    "down at once with storage": Beside(
        Case(APRIL, ("professional", M), ("essential", M), timedelta(days=15), [-4950, 2450], 0, left=-2500),
        [(STORAGE, 2)], [(4900, 1, "2027-05-01"), (500, 2, "2027-05-01")],
    ),
    # 15 of 30 days left: 4950 and 1000 × 15/30 = 500 back; a year and a month begin anew: 99000 and 1000.
    # 100000 - 5450 = 94550.
    "monthly to yearly with storage by the month": Beside(
        Case(APRIL, ("professional", M), ("professional", Y), timedelta(days=15), [-4950, -500, 99000, 1000], 94550),
        [(STORAGE, 2)], [(99000, 1, "2028-04-16"), (500, 2, "2027-05-16")],
    ),
    # 305 of 366 days = 5/6 left: 199000 × 5/6 = 165833.33 → 165833 and 4900 × 5/6 = 4083.33 → 4083 back; a month and
    # the certificate's year begin anew: 19900 and 4900. 24800 - 169916 = -145116 stay as credit.
    "yearly to monthly with a certificate by the year": Beside(
        Case(APRIL, ("business", Y), ("business", M), timedelta(days=61), [-165833, -4083, 19900, 4900], 0,
             left=-145116),
        [(CERTIFICATE, 1)], [(19900, 1, "2027-07-01"), (4900, 1, "2028-06-01")],
    ),
    # 20 of 30 days left: 9900 × 2/3 = 6600 back, 19900 × 2/3 = 13266.67 → 13267 to pay: 6667, less 667 of credit.
    "up with two add-ons and a credit": Beside(
        Case(APRIL, ("professional", M), ("business", M), timedelta(days=10), [-6600, 13267], 6000, balance=-667),
        [(STORAGE, 1), (FIVE, 1)],
        [(19900, 1, "2027-05-01"), (500, 1, "2027-05-01"), (500, 1, "2027-05-01")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BESIDE))
def test_a_change_of_the_tier_counts_its_add_ons_as_stripe_does(name: str, till) -> None:
    beside = BESIDE[name]
    case = beside.case
    shop: Till = till(case)
    for addon, quantity in beside.addons:
        has(shop, addon, quantity)
    if case.balance:
        stripe_post(shop.sandbox, f"customers/{shop.customer}", balance=str(case.balance))
    shown = shop.shown(price_of(*case.new, case.currency), case.after)
    assert [amount.minor for _label, amount in shown.lines] == case.lines
    assert shown.due == Money(case.due, case.currency)
    shop.confirms(shown)
    agrees(shop, case.lines, case.due, case.left)
    held = queries.overview(shop.who.id)
    assert held is not None and (held.tier_code, held.cycle) == case.new
    items = stripe_get(shop.sandbox, "subscription_items", subscription=subscription_of(shop))["data"]
    assert [(i["price"]["unit_amount"], i["quantity"], last_day(i)) for i in items] == beside.stands
    assert held.period_end.date().isoformat() == beside.stands[0][2], "the period is the tier's"


def subscription_of(shop: Till) -> str:
    return str(queries.held(shop.who.id).stripe_subscription_id)


def last_day(item: dict) -> str:
    return datetime.fromtimestamp(item["current_period_end"], UTC).date().isoformat()


def test_a_yearly_tier_goes_up_beside_storage_by_the_month(till) -> None:
    shop: Till = till(Case(APRIL, ("professional", Y), ("business", Y), timedelta(), [], 0))
    start = queries.held(shop.who.id).period_start
    has(shop, STORAGE, 2)
    shop.travel.to(start + timedelta(days=61, seconds=2))
    shop.sandbox.run_due()
    settle(shop.sandbox, shop.client)
    # Storage was charged for April, May and, on 1 June, for June: 1000 each.
    made = stripe_get(shop.sandbox, "invoices", customer=shop.customer, limit="100")["data"]
    assert [(i["total"], i["status"]) for i in made] == [
        (1000, "draft"),
        (1000, "paid"),
        (1000, "paid"),
        (99000, "paid"),
    ]
    # 305 of 366 days = 5/6 left. 99000 × 5/6 = 82500 back, 199000 × 5/6 = 165833.33 → 165833: 83333.
    shown = shop.shown(price_of("business", Y, "EUR"), timedelta(days=61))
    assert ([m.minor for _l, m in shown.lines], shown.due.minor) == ([-82500, 165833], 83333)
    shop.confirms(shown)
    agrees(shop, [-82500, 165833], 83333, 0)
    assert queries.held(shop.who.id).period_end == start.replace(year=2028)


def test_a_paid_add_on_is_no_paid_period(till) -> None:
    """The tier's credits come with the tier's line alone: 2000 for the first month, 2000 for the second."""
    shop: Till = till(Case(APRIL, ("professional", M), ("business", M), timedelta(), [], 0))
    before = [entry.amount for entry in credits.ledger(shop.who.id)]
    has(shop, MANY, 1)
    assert [entry.amount for entry in credits.ledger(shop.who.id)] == before
    shop.travel.to(queries.held(shop.who.id).period_end + timedelta(hours=2))
    shop.sandbox.run_due()
    settle(shop.sandbox, shop.client)
    renewal = stripe_get(shop.sandbox, "invoices", customer=shop.customer, limit="1")["data"][0]
    assert [line["amount"] for line in renewal["lines"]["data"]] == [9900, 1900]
    granted = [e.amount for e in credits.ledger(shop.who.id) if e.amount > 0]
    assert granted.count(2000) == [a for a in before if a > 0].count(2000) + 1
    assert credits.verify() == []

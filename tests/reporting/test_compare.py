"""What another tier brings and takes away, by hand from the marketplace's figures (CAT-3)."""

from datetime import UTC, datetime

import pytest

from portal.catalog.rules import CreditPolicy, Cycle, IncludedAddon, Metric, Price, Tier
from portal.kit.money import Money
from portal.reporting.compare import Direction, choices, compare
from portal.subscriptions.meters import Meter

pytestmark = pytest.mark.once
SINCE = datetime(2027, 1, 1, tzinfo=UTC)
DOMAIN = IncludedAddon("custom-domain", "Custom domain", "", 1)
MAIL = IncludedAddon("email-package", "Email package", "5", 1)


def tier(number, code, limits, features=None, *, minor=None, addons=(), included=0, public=True, self_service=True):
    prices = (
        Price(number * 10, number, Cycle.MONTHLY, Money(minor, "EUR"), f"p{number}m"),
        Price(number * 10 + 1, number, Cycle.YEARLY, Money(minor * 10, "EUR"), f"p{number}y"),
    ) if minor else ()  # fmt: skip
    return Tier(
        id=number, code=code, name=code.title(), pitch="", position=number * 10, trial_days=14,
        included_credits=included, credit_policy=CreditPolicy.RESET, rollover_cap=None, is_public=public,
        is_active=True, self_service=self_service, highlighted=False, limits=limits, features=features or {},
        prices=prices, addons=tuple(addons),
    )  # fmt: skip


ESSENTIAL = tier(1, "essential", {"orders": 100, "products": 200}, {"analytics": "basic"}, minor=4900, included=500)
PROFESSIONAL = tier(
    2, "professional", {"orders": 500, "products": None}, {"analytics": "advanced", "custom_branding": "yes"},
    minor=9900, addons=[DOMAIN], included=2000,
)  # fmt: skip
BUSINESS = tier(
    3, "business", {"orders": 2000, "products": None},
    {"analytics": "advanced", "custom_branding": "yes", "api_access": "yes"},
    minor=19900, addons=[DOMAIN, MAIL], included=10000,
)  # fmt: skip
ENTERPRISE = tier(4, "enterprise", {"orders": None, "products": None}, self_service=False)


def meter(metric, used, limit, source="tier"):
    return Meter(metric, str(metric), used, limit, limit is None, source, SINCE)


def test_a_downgrade_names_what_is_lost_and_every_limit_that_would_be_exceeded():
    found = compare(
        PROFESSIONAL, ESSENTIAL, [meter(Metric.ORDERS, 234, 500), meter(Metric.PRODUCTS, 156, None)]
    )  # fmt: skip
    assert [(f.feature, f.before, f.after) for f in found.lost] == [
        ("analytics", "advanced", "basic"),
        ("custom_branding", "yes", None),
    ]
    assert found.addons_lost == (DOMAIN,)
    # 234 orders used, 100 allowed: 134 too many. 156 products fit into 200.
    assert [(limit.metric, limit.after, limit.over) for limit in found.exceeded] == [(Metric.ORDERS, 100, 134)]
    assert found.is_loss and not found.is_gain
    assert (found.credits_before, found.credits_after) == (2000, 500)


def test_exactly_at_the_coming_limit_nothing_is_exceeded():
    assert compare(PROFESSIONAL, ESSENTIAL, [meter(Metric.ORDERS, 100, 500)]).exceeded == ()
    assert compare(PROFESSIONAL, ESSENTIAL, [meter(Metric.ORDERS, 101, 500)]).exceeded[0].over == 1


def test_an_upgrade_names_what_is_gained_and_takes_nothing():
    found = compare(PROFESSIONAL, BUSINESS, [meter(Metric.ORDERS, 500, 500)])
    assert [f.feature for f in found.gained] == ["api_access"]
    assert [(limit.metric, limit.before, limit.after) for limit in found.limits] == [(Metric.ORDERS, 500, 2000)]
    assert found.addons_gained == (MAIL,)
    assert found.is_gain and not found.is_loss and not found.exceeded


def test_what_an_add_on_gives_stays_on_top_of_the_coming_limit():
    # The tier gives 500 of the 600, so the add-on gives 100: after the change 100 + 100 = 200 are allowed.
    found = compare(PROFESSIONAL, ESSENTIAL, [meter(Metric.ORDERS, 234, 600, "tier+addon")])
    assert [(limit.after, limit.over) for limit in found.exceeded] == [(200, 34)]


def test_an_override_does_not_change_with_the_tier():
    found = compare(PROFESSIONAL, ESSENTIAL, [meter(Metric.ORDERS, 900, 1000, "override")])
    assert not [limit for limit in found.limits if limit.metric == Metric.ORDERS]


def test_a_metric_that_the_coming_tier_does_not_grant_counts_as_none_allowed():
    chatty = tier(5, "chatty", {"orders": 500, "chatbots": 5}, minor=9900)
    found = compare(chatty, ESSENTIAL, [meter(Metric.CHATBOTS, 2, 5)])
    assert [(limit.metric, limit.after, limit.over) for limit in found.exceeded] == [(Metric.CHATBOTS, 0, 2)]


def offered(cycle, now=PROFESSIONAL, price=PROFESSIONAL.prices[0], agreed=None, tiers=None):
    every = tiers or [ESSENTIAL, PROFESSIONAL, BUSINESS, ENTERPRISE]
    return [(c.tier.code, c.direction) for c in choices(every, now, price, cycle, "EUR", agreed)]


def test_the_choices_are_as_drawn_without_the_price_that_is_paid_now():
    assert offered(Cycle.MONTHLY) == [
        ("essential", Direction.DOWNGRADE),
        ("business", Direction.UPGRADE),
        ("enterprise", Direction.CONTACT),
    ]


def test_at_the_other_cycle_the_same_tier_is_a_choice():
    assert ("professional", Direction.CYCLE) in offered(Cycle.YEARLY)


def test_a_vendor_on_an_old_price_may_take_todays():
    old = Price(99, 2, Cycle.MONTHLY, Money(7900, "EUR"), "old")
    assert ("professional", Direction.PRICE) in offered(Cycle.MONTHLY, price=old)


def test_an_agreed_price_opens_a_tier_that_others_must_ask_for():
    agreed = Price(77, 4, Cycle.MONTHLY, Money(50000, "EUR"), "agreed")
    assert ("enterprise", Direction.UPGRADE) in offered(Cycle.MONTHLY, agreed=agreed)
    assert ("enterprise", Direction.CONTACT) in offered(Cycle.YEARLY, agreed=agreed)


def test_hidden_tiers_are_offered_to_nobody_without_an_agreed_price():
    hidden = tier(6, "hidden", {"orders": 1}, minor=100, public=False)
    assert offered(Cycle.MONTHLY, tiers=[PROFESSIONAL, hidden]) == []

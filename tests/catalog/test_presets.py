"""The three presets carry the figures of CAT-3 and CAT-4, and can be loaded twice without harm."""

from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from portal.catalog import addons, queries, service
from portal.catalog.models import AddonPrice, AddonProduct, SubscriptionTier, TierAddon, TierPrice
from portal.catalog.presets import PRESETS
from portal.catalog.rules import FEATURE_LEVELS, FEATURE_NAMES, LEVEL_NAMES, METRIC_NAMES, Cycle, LoadReport, Tier
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from tests.support.travel import Travel


def load(name: str) -> LoadReport:
    with unit_of_work():
        return service.load_preset(name, actor=SYSTEM, now=Travel.START)


def figures(tier: Tier) -> tuple:
    """Monthly and yearly price, limits and credits, as CAT-3 states them."""
    amounts = {price.cycle: (price.amount.minor, price.amount.currency) for price in tier.prices}
    return amounts, tier.limits, tier.included_credits


def month_and_year(monthly: int, currency: str) -> dict:
    return {Cycle.MONTHLY: (monthly, currency), Cycle.YEARLY: (monthly * 10, currency)}


def test_marketplace_has_the_figures_of_the_contract(app: Flask) -> None:
    load("marketplace")
    found = {tier.code: figures(tier) for tier in queries.tiers()}
    # A year costs ten months: 49 → 490, 99 → 990, 199 → 1,990 euros.
    assert found == {
        "essential": (
            {Cycle.MONTHLY: (4900, "EUR"), Cycle.YEARLY: (49000, "EUR")},
            {"orders": 100, "products": 200, "team_members": 1, "sites": 1, "storage_gb": 1},
            500,
        ),
        "professional": (
            {Cycle.MONTHLY: (9900, "EUR"), Cycle.YEARLY: (99000, "EUR")},
            {"orders": 500, "products": None, "team_members": 3, "sites": 3, "storage_gb": 5},
            2000,
        ),
        "business": (
            {Cycle.MONTHLY: (19900, "EUR"), Cycle.YEARLY: (199000, "EUR")},
            {"orders": 2000, "products": None, "team_members": 10, "sites": 10, "storage_gb": 20},
            10000,
        ),
        "enterprise": (
            {},
            {"orders": None, "products": None, "team_members": None, "sites": None, "storage_gb": None},
            25000,
        ),
    }


def test_chatbots_has_the_figures_of_the_contract(app: Flask) -> None:
    load("chatbots")
    basic, pro, enterprise = queries.tiers()
    assert figures(basic) == (month_and_year(1900, "USD"), {"chatbots": 1, "storage_gb": 1}, 1000)
    assert figures(pro) == (month_and_year(4900, "USD"), {"chatbots": 5, "storage_gb": 5}, 5000)
    assert figures(enterprise) == (month_and_year(19900, "USD"), {"chatbots": None, "storage_gb": 50}, 25000)
    assert basic.features == {"analytics": "basic", "support": "email", "module_chatbots": "yes"}
    assert pro.features == {
        "analytics": "advanced",
        "support": "priority",
        "custom_branding": "yes",
        "module_chatbots": "yes",
    }
    assert {"white_label", "api_access"} <= enterprise.features.keys()
    assert enterprise.features["support"] == "dedicated"


def test_agency_has_the_figures_of_the_contract(app: Flask) -> None:
    load("agency")
    starter, growth, scale = queries.tiers()
    assert figures(starter) == (month_and_year(9900, "USD"), {"projects": 1, "storage_gb": 5}, 0)
    assert figures(growth) == (month_and_year(24900, "USD"), {"projects": 3, "storage_gb": 20}, 0)
    assert figures(scale) == (month_and_year(59900, "USD"), {"projects": 10, "storage_gb": 100}, 0)


def test_tiers_come_in_order_with_trial_and_one_recommendation(app: Flask) -> None:
    load("marketplace")
    found = queries.tiers()
    assert [tier.code for tier in found] == ["essential", "professional", "business", "enterprise"]
    assert {tier.trial_days for tier in found} == {14}
    assert [tier.code for tier in found if tier.highlighted] == ["professional"]
    assert [tier.code for tier in found if not tier.self_service] == ["enterprise"]


def test_addons_have_the_prices_of_the_contract(app: Flask) -> None:
    load("marketplace")
    statement = select(AddonProduct.code, AddonPrice.variant, AddonPrice.cycle, AddonPrice.amount_minor).join(
        AddonPrice, AddonPrice.addon_id == AddonProduct.id
    )
    assert sorted(tuple(row) for row in db.session.execute(statement)) == [
        ("custom-domain", "", "yearly", 1500),
        ("email-package", "10", "monthly", 900),
        ("email-package", "25", "monthly", 1900),
        ("email-package", "5", "monthly", 500),
        ("extra-storage", "", "monthly", 500),
        ("premium-ssl", "", "yearly", 4900),
    ]


def test_addons_say_what_one_of_each_grants(app: Flask) -> None:
    load("marketplace")
    grants = {row.code: row.grants["limits"] for row in db.session.scalars(select(AddonProduct))}
    assert grants == {
        "custom-domain": {"": {"domains": 1}},
        "email-package": {"5": {"mailboxes": 5}, "10": {"mailboxes": 10}, "25": {"mailboxes": 25}},
        "premium-ssl": {"": {"certificates": 1}},
        "extra-storage": {"": {"storage_gb": 10}},
    }


def test_tiers_bring_along_the_addons_of_the_contract(app: Flask) -> None:
    load("marketplace")
    found = {tier.code: [(a.code, a.variant, a.quantity) for a in tier.addons] for tier in queries.tiers()}
    assert found == {
        "essential": [],
        "professional": [("custom-domain", "", 1)],
        "business": [("custom-domain", "", 1), ("email-package", "5", 1)],
        "enterprise": [
            ("custom-domain", "", 1),
            ("email-package", "25", 1),
            ("premium-ssl", "", 1),
            ("extra-storage", "", 1),
        ],
    }


def test_every_tier_may_buy_every_addon_in_every_size(app: Flask) -> None:
    load("marketplace")
    # 4 tiers × (domain + 3 sizes of email + certificate + storage) = 4 × 6 = 24
    assert db.session.scalar(select(func.count()).select_from(TierAddon)) == 24


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_loading_twice_changes_nothing(app: Flask, name: str) -> None:
    first = load(name)
    before = [db.session.scalar(select(func.count()).select_from(t)) for t in (SubscriptionTier, TierPrice, TierAddon)]
    second = load(name)
    after = [db.session.scalar(select(func.count()).select_from(t)) for t in (SubscriptionTier, TierPrice, TierAddon)]
    assert first.changes
    assert second.changes == ()
    assert before == after


def test_presets_stand_side_by_side(app: Flask) -> None:
    for name in PRESETS:
        load(name)
    found = queries.tiers()
    assert len(found) == 4 + 3 + 3
    assert queries.currencies() == ["EUR", "USD"]
    enterprise = queries.tier_by_code("enterprise")
    assert enterprise is not None
    assert enterprise.prices == (), "the chatbots' Enterprise must not have put a price on the marketplace's"


def test_loading_repairs_what_differs_and_says_so(app: Flask) -> None:
    load("marketplace")
    with unit_of_work() as session:
        tier = session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "essential")).one()
        tier.name = "Basic"
    assert load("marketplace").changes == ("tier essential: name changed",)
    found = queries.tier_by_code("essential")
    assert found is not None
    assert found.name == "Essential"


def test_what_staff_changed_of_an_addon_stays(app: Flask) -> None:
    """Words, a promise and a price are staff's from then on and are named; the rest is still repaired."""
    load("marketplace")
    with unit_of_work():
        product = addons.products()[0]
        said = replace(product.words, name="Your own name", promised_hours=24)
        addons.change(product.id, said, actor=SYSTEM, now=Travel.START)
        addons.change_price(product.prices[0].id, 1800, actor=SYSTEM, now=Travel.START)
        db.session.get_one(AddonProduct, product.id).provisioning = "manual"
    report = load("marketplace")
    assert report.changes == ("add-on custom-domain: provisioning changed",)
    assert report.kept == tuple(
        f"add-on custom-domain: {what} stays as staff changed it"
        for what in ("name", "promised_hours", "yearly price in EUR")
    )
    found = addons.products()[0]
    assert (found.words, found.prices[0].amount.minor) == (said, 1800)


def test_a_retired_tier_stays_retired(app: Flask) -> None:
    load("marketplace")
    essential = queries.tier_by_code("essential")
    assert essential is not None
    with unit_of_work():
        service.retire_tier(essential.id, actor=SYSTEM, now=Travel.START)
    load("marketplace")
    assert "essential" not in [tier.code for tier in queries.tiers()]


def test_unknown_preset_is_refused_at_the_field(app: Flask) -> None:
    with pytest.raises(Invalid) as refused, unit_of_work():
        service.load_preset("bakery", actor=SYSTEM, now=Travel.START)
    assert refused.value.fields.keys() == {"preset"}
    assert queries.tiers(public_only=False) == []


def test_reading_takes_three_queries_whatever_the_number_of_tiers(app: Flask) -> None:
    def queries_made() -> int:
        seen: list[str] = []
        count = lambda *args: seen.append(args[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", count)
        queries.tiers()
        event.remove(db.engine, "before_cursor_execute", count)
        return len([statement for statement in seen if statement.lstrip().startswith("SELECT")])

    load("agency")
    with_three = queries_made()
    for name in PRESETS:
        load(name)
    assert (with_three, queries_made()) == (3, 3)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_name_that_a_page_shows_is_known(name: str) -> None:
    for tier in PRESETS[name].tiers:
        assert len(tier.code) <= 20
        assert tier.pitch.endswith(".")
        assert tier.limits.keys() <= METRIC_NAMES.keys()
        for feature, level in tier.features.items():
            assert feature in FEATURE_NAMES
            assert level in LEVEL_NAMES
            assert level in FEATURE_LEVELS.get(feature, ("yes",))

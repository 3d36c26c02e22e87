"""How grants add up, by hand-worked cases."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.entitlements.rules import Grant, Kind, Rights, Source, combine


def limit(source: Source, amount: int | None, key: str = "storage_gb", ref: str = "x") -> Grant:
    return Grant(source, ref, Kind.LIMIT, key, amount=amount)


def feature(source: Source, level: str, key: str = "support") -> Grant:
    return Grant(source, "x", Kind.FEATURE, key, level=level)


TIER, ADDON, OVERRIDE = Source.TIER, Source.ADDON, Source.OVERRIDE


@pytest.mark.parametrize(
    ("grants", "number", "source"),
    [
        ([limit(TIER, 20)], 20, "tier"),
        # 20 from the tier + 10 + 10 from two add-ons = 40
        ([limit(TIER, 20), limit(ADDON, 10, ref="a1"), limit(ADDON, 10, ref="a2")], 40, "tier+addon"),
        ([limit(ADDON, 10), limit(TIER, 20)], 30, "tier+addon"),
        ([limit(ADDON, 10)], 10, "addon"),
        ([limit(TIER, 0)], 0, "tier"),
        # unlimited + 10 is unlimited
        ([limit(TIER, None), limit(ADDON, 10)], None, "tier+addon"),
        ([limit(TIER, 20), limit(ADDON, None)], None, "tier+addon"),
        # an override counts alone, higher or lower than 20 + 10 = 30
        ([limit(TIER, 20), limit(ADDON, 10), limit(OVERRIDE, 100)], 100, "override"),
        ([limit(OVERRIDE, 5), limit(TIER, 20), limit(ADDON, 10)], 5, "override"),
        ([limit(TIER, None), limit(OVERRIDE, 50)], 50, "override"),
        ([limit(TIER, 20), limit(OVERRIDE, None)], None, "override"),
        # the newest override is the one that was decided last
        ([limit(TIER, 20), limit(OVERRIDE, None), limit(OVERRIDE, 7)], 7, "override"),
    ],
)
def test_limits_add_up(grants: list[Grant], number: int | None, source: str) -> None:
    rights = combine(3, grants)
    assert (rights.version, rights.limits, rights.source) == (3, {"storage_gb": number}, {"storage_gb": source})


@pytest.mark.parametrize(
    ("grants", "level", "source"),
    [
        ([feature(TIER, "email")], "email", "tier"),
        ([feature(TIER, "dedicated"), feature(ADDON, "priority")], "dedicated", "tier+addon"),
        ([feature(TIER, "email"), feature(ADDON, "priority")], "priority", "tier+addon"),
        ([feature(TIER, "dedicated"), feature(OVERRIDE, "email")], "email", "override"),
    ],
)
def test_the_highest_level_counts_unless_overridden(grants: list[Grant], level: str, source: str) -> None:
    rights = combine(1, grants)
    assert (rights.features, rights.source) == ({"support": level}, {"support": source})


def test_each_metric_adds_up_alone() -> None:
    grants = [limit(TIER, 100, "orders"), limit(TIER, None, "products"), limit(ADDON, 10), limit(OVERRIDE, 3, "sites")]
    assert combine(2, grants).limits == {"orders": 100, "products": None, "storage_gb": 10, "sites": 3}


def test_nothing_granted_is_no_right_at_all() -> None:
    assert combine(4, []) == Rights(4, limits={}, features={}, source={})


AMOUNTS = st.none() | st.integers(0, 10**9)
GRANTS = st.lists(st.builds(limit, st.sampled_from(Source), AMOUNTS, st.sampled_from(["orders", "sites"])), max_size=8)


@given(GRANTS, st.randoms())
def test_adding_up_depends_on_no_order_but_that_of_overrides(grants: list[Grant], chance: random.Random) -> None:
    others = [grant for grant in grants if grant.source != OVERRIDE]
    chance.shuffle(others)
    decided = [grant for grant in grants if grant.source == OVERRIDE]
    assert combine(1, decided + others).limits == combine(1, grants).limits


@given(GRANTS, AMOUNTS)
def test_an_add_on_never_takes_anything_away_and_an_override_decides_alone(
    grants: list[Grant], amount: int | None
) -> None:
    before = combine(1, grants).limits.get("orders", 0)
    more = combine(1, [*grants, limit(ADDON, amount, "orders")]).limits["orders"]
    if more is not None:
        assert before is not None
        assert more >= before
    assert combine(1, [*grants, limit(OVERRIDE, amount, "orders")]).limits["orders"] == amount


@given(GRANTS)
def test_one_metric_says_nothing_of_another(grants: list[Grant]) -> None:
    alone = [grant for grant in grants if grant.key == "orders"]
    assert combine(1, grants).limits.get("orders") == combine(1, alone).limits.get("orders")


def test_an_override_without_a_level_takes_a_feature_away() -> None:
    taken = Grant(OVERRIDE, "x", Kind.FEATURE, "support")
    assert combine(1, [feature(TIER, "priority"), taken]) == Rights(1)

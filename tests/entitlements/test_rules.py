"""How grants add up, by hand-worked cases."""

import pytest

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

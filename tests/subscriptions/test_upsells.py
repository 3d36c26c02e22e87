"""Which limit is told of, and which tier would lift it (ADD-6): pure, every case by hand."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from portal.catalog.rules import Metric
from portal.subscriptions.meters import Meter, MeterState, Offer, Reading
from portal.subscriptions.upsells import most_urgent, next_offer

WINDOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
OFFERS = (
    Offer(Metric.ORDERS, "essential", "Essential", 100, 10, True),
    Offer(Metric.ORDERS, "professional", "Professional", 500, 20, True),
    Offer(Metric.ORDERS, "business", "Business", 2000, 30, True),
    Offer(Metric.ORDERS, "enterprise", "Enterprise", None, 40, False),
    Offer(Metric.STORAGE_GB, "professional", "Professional", 5, 20, True),
    Offer(Metric.STORAGE_GB, "business", "Business", 20, 30, True),
)


def meter(metric: Metric, used: int | Decimal | None, limit: int | None) -> Meter:
    return Meter(metric, str(metric), used, limit, limit is None, "tier", WINDOW)


def reading(*meters: Meter, tier: str = "professional", dismissed: tuple[str, ...] = ()) -> Reading:
    return Reading(WINDOW, list(meters), frozenset(dismissed), OFFERS, frozenset({tier}))


@pytest.mark.parametrize(
    ("used", "limit", "state"),
    [
        (None, 500, MeterState.NO_DATA),
        (7, None, MeterState.UNLIMITED),
        (399, 500, MeterState.NORMAL),  # 79.8 %
        (400, 500, MeterState.NEAR),  # 80 %
        (499, 500, MeterState.NEAR),
        (500, 500, MeterState.REACHED),
        (700, 500, MeterState.REACHED),
        (0, 0, MeterState.REACHED),
        (Decimal("4.999999999"), 5, MeterState.NEAR),  # a byte is left
    ],
)
def test_a_meter_is_judged_by_the_exact_number(used: int | None, limit: int | None, state: MeterState) -> None:
    assert meter(Metric.STORAGE_GB, used, limit).state == state


def test_a_part_of_a_gigabyte_is_rounded_up() -> None:
    assert meter(Metric.STORAGE_GB, Decimal("0.000000001"), 5).shown == Decimal("0.01")
    assert meter(Metric.STORAGE_GB, Decimal("4.25"), 5).shown == Decimal("4.25")
    assert meter(Metric.STORAGE_GB, Decimal(0), 5).shown == 0


@pytest.mark.parametrize(
    ("tier", "limit", "expected"),
    [
        ("essential", 100, "professional"),
        ("professional", 500, "business"),
        # An override of 2,000 is as much as Business has, so only Enterprise brings more.
        ("professional", 2000, "enterprise"),
        ("business", 2000, "enterprise"),
        ("enterprise", None, None),
        # A hidden tier is above nothing and below nothing: the nearest that brings more.
        ("agreed", 300, "professional"),
        # Lowered by an override: the own tier brings more, but it is what the vendor has already.
        ("professional", 50, "business"),
    ],
)
def test_the_nearest_tier_above_that_brings_more(tier: str, limit: int | None, expected: str | None) -> None:
    found = next_offer(Metric.ORDERS, limit, reading(tier=tier))
    assert (found.tier_code if found else None) == expected


def test_the_most_urgent_alone() -> None:
    near, full = meter(Metric.ORDERS, 450, 500), meter(Metric.STORAGE_GB, Decimal(5), 5)
    found = most_urgent(reading(near, full))
    assert found is not None and found.reached and found.meter is full
    both = most_urgent(reading(meter(Metric.ORDERS, 500, 500), full))
    assert both is not None and both.meter.metric == Metric.ORDERS
    assert most_urgent(reading(meter(Metric.ORDERS, 10, 500))) is None


def test_one_of_one_and_none_of_none_press_nobody() -> None:
    assert most_urgent(reading(meter(Metric.SITES, 1, 1), meter(Metric.CHATBOTS, 0, 0))) is None


def test_near_is_worth_a_word_only_where_something_can_be_chosen() -> None:
    assert most_urgent(reading(meter(Metric.PRODUCTS, 90, 100))) is None
    found = most_urgent(reading(meter(Metric.PRODUCTS, 100, 100)))
    assert found is not None and found.offer is None


@pytest.mark.parametrize(
    ("dismissed", "near_told", "reached_told"),
    [
        ((), True, True),
        (("upsell:orders:near:2027-01-15",), False, True),
        (("upsell:orders:reached:2027-01-15",), False, False),
        (("upsell:storage_gb:near:2027-01-15",), False, True),
        (("upsell:storage_gb:reached:2027-01-15",), False, True),
        # Last month's do not count any more.
        (("upsell:orders:near:2026-12-15", "upsell:orders:reached:2026-12-15"), True, True),
    ],
)
def test_what_was_dismissed_this_month(dismissed: tuple[str, ...], near_told: bool, reached_told: bool) -> None:
    near = reading(meter(Metric.ORDERS, 450, 500), dismissed=dismissed)
    reached = reading(meter(Metric.ORDERS, 500, 500), dismissed=dismissed)
    assert (most_urgent(near) is not None, most_urgent(reached) is not None) == (near_told, reached_told)

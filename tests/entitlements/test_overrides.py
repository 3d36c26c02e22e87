"""Add-ons add, overrides beat; each once, each with its reasons (LIM-7). The pages are tried in tests/web."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select

from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Metric
from portal.entitlements import overrides, queries, service
from portal.entitlements.explain import Right, explain
from portal.entitlements.models import EntitlementGrant, LimitOverride
from portal.entitlements.overrides import Wish
from portal.entitlements.rules import Kind, Source
from portal.kit import tenancy
from portal.kit.actor import SYSTEM, staff
from portal.kit.db import db
from portal.kit.errors import Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks
from portal.notifications.models import WebhookDelivery
from tests.support.tenants import make_vendor
from tests.support.travel import Travel

NOW = Travel.START
LATER = NOW + timedelta(days=10)
SAM = staff(7, "Sam Staff")


@pytest.fixture
def vendor_id(catalog: Flask) -> Iterator[int]:
    """A vendor with the rights of Professional: 500 orders, 3 sites, 5 GB, advanced analytics."""
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        tier = catalog_queries.tier_by_code("professional")
        assert tier is not None
        with unit_of_work():
            service.replace_tier_grants(vendor, tier, now=NOW)
        yield vendor


def limit(vendor_id: int, key: str = "orders", at: object = NOW) -> int | None:
    return queries.rights(vendor_id, at).limits.get(key, 0)  # type: ignore[arg-type]


def version(vendor_id: int) -> int:
    return queries.rights(vendor_id, NOW).version


def wish(amount: int | None = 700, **more: object) -> Wish:
    return Wish(**{"kind": Kind.LIMIT, "key": "orders", "reason": "Because", "amount": amount, **more})  # type: ignore[arg-type]


def sets(vendor_id: int, asked: Wish, now: object = NOW) -> int:
    with unit_of_work():
        return overrides.set_override(vendor_id, asked, actor=SAM, now=now).id  # type: ignore[arg-type]


def ends(vendor_id: int, override_id: int, now: object = NOW) -> bool:
    with unit_of_work():
        return overrides.end_override(vendor_id, override_id, now=now) is not None  # type: ignore[arg-type]


def test_add_ons_add_each_by_its_own_name(vendor_id: int) -> None:
    def give(ref: str, gigabytes: int) -> int:
        with unit_of_work():
            return service.grant_addon(vendor_id, ref, {Metric.STORAGE_GB: gigabytes}, now=NOW)

    assert [give("addon:1", 10), give("addon:1", 10), give("addon:2", 20)] == [2, 2, 3], (
        "the same again changes nothing"
    )
    # 5 of the tier + 10 + 20
    assert limit(vendor_id, "storage_gb") == 35
    give("addon:1", 30)
    assert limit(vendor_id, "storage_gb") == 55, "another quantity takes the place of the first"
    for _ in range(2):
        with unit_of_work():
            assert service.end_addon(vendor_id, "addon:1", now=NOW) == 5
    assert limit(vendor_id, "storage_gb") == 25


def test_an_override_beats_tier_and_add_ons_until_its_day_is_over(vendor_id: int) -> None:
    with unit_of_work():
        service.grant_addon(vendor_id, "addon:1", {Metric.ORDERS: 100}, now=NOW)
    sets(vendor_id, wish(7, until=LATER))
    assert (limit(vendor_id), limit(vendor_id, at=LATER - timedelta(seconds=1))) == (7, 7)
    # 500 + 100, without anybody doing anything
    assert limit(vendor_id, at=LATER) == 600


def test_a_day_that_is_over_is_closed_once_and_counted_as_a_change(vendor_id: int) -> None:
    held = sets(vendor_id, wish(until=LATER))
    before = version(vendor_id)
    assert list(overrides.lapsed(LATER - timedelta(seconds=1))) == []
    assert list(overrides.lapsed(LATER)) == [(held, vendor_id)]
    assert ends(vendor_id, held, LATER + timedelta(minutes=9))
    assert not ends(vendor_id, held, LATER + timedelta(minutes=9))
    assert (list(overrides.lapsed(LATER)), version(vendor_id)) == ([], before + 1)
    row = db.session.get_one(LimitOverride, held)
    assert row.ended_at == LATER, "it ended on its day, not when somebody looked"


def test_a_new_one_takes_the_place_of_one_whose_day_is_over(vendor_id: int) -> None:
    sets(vendor_id, wish(7, until=LATER))
    sets(vendor_id, wish(8), now=LATER + timedelta(days=1))
    assert limit(vendor_id, at=LATER + timedelta(days=1)) == 8
    assert [o.amount for o in overrides.live(vendor_id, LATER + timedelta(days=1))] == [8]


def test_ending_gives_back_what_tier_and_add_ons_say_now(vendor_id: int) -> None:
    held = sets(vendor_id, wish())
    tier = catalog_queries.tier_by_code("essential")
    assert tier is not None
    with unit_of_work():
        service.replace_tier_grants(vendor_id, tier, now=NOW)
    assert limit(vendor_id) == 700, "an override outlives a change of the tier"
    assert ends(vendor_id, held)
    assert limit(vendor_id) == 100


def test_the_limit_and_the_feature_of_one_key_are_two_things(vendor_id: int) -> None:
    sets(vendor_id, wish())
    sets(vendor_id, Wish(Kind.FEATURE, "analytics", "Because", level="basic"))
    rights = queries.rights(vendor_id, NOW)
    assert (rights.limits["orders"], rights.features["analytics"]) == (700, "basic")
    assert rights.source["analytics"] == "override"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"key": "none"}, "what"),
        ({"kind": Kind.FEATURE}, "what"),
        ({"amount": -1}, "amount"),
        ({"amount": 10**10}, "amount"),
        ({"kind": Kind.FEATURE, "key": "analytics", "amount": None, "level": "divine"}, "level"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"until": NOW}, "until"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(vendor_id: int, asked: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        sets(vendor_id, wish(**asked))  # type: ignore[arg-type]
    assert refused.value.fields.keys() == {field}
    assert (limit(vendor_id), overrides.live(vendor_id, NOW)) == (500, [])


def test_anothers_cannot_be_ended(vendor_id: int) -> None:
    held = sets(vendor_id, wish())
    other = make_vendor("tea-house")
    with tenancy.scoped(other), pytest.raises(NotFound):
        ends(other, held)
    assert limit(vendor_id) == 700


def test_programs_that_listen_hear_of_every_change_once(vendor_id: int) -> None:
    with unit_of_work():
        webhooks.add(vendor_id, "https://shop.example/hook", ["entitlements.changed"], actor=SYSTEM, now=NOW)
    held = sets(vendor_id, wish())
    ends(vendor_id, held)
    ends(vendor_id, held)
    told = db.session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)).all()
    assert [row.payload["data"] for row in told] == [{"version": 2}, {"version": 3}]


def reasons(right: Right) -> list[tuple[str, int | None, bool]]:
    return [(str(p.source), p.amount, p.counts) for p in right.parts]


def test_every_right_says_what_it_is_made_of(vendor_id: int) -> None:
    with unit_of_work():
        service.grant_addon(vendor_id, "addon:17", {Metric.STORAGE_GB: 20}, now=NOW)
    held = sets(vendor_id, wish(until=LATER))
    found = {right.key: right for right in explain(vendor_id, NOW)}
    assert list(found)[:4] == ["orders", "products", "team_members", "storage_gb"]
    # 5 from Professional, +20 from an add-on
    assert (found["storage_gb"].amount, reasons(found["storage_gb"])) == (
        25,
        [("tier", 5, True), ("addon", 20, True)],
    )
    assert [p.ref for p in found["storage_gb"].parts] == ["professional", "addon:17"]
    assert found["storage_gb"].parts[0].name == "Professional"
    orders = found["orders"]
    assert (orders.amount, reasons(orders)) == (700, [("tier", 500, False), ("override", 700, True)])
    by_hand = orders.override
    assert by_hand is not None
    assert (by_hand.override_id, by_hand.reason, by_hand.by, by_hand.until) == (held, "Because", "Sam Staff", LATER)
    assert (found["products"].amount, found["products"].override) == (None, None)
    assert found["analytics"].level == "advanced"
    assert explain(vendor_id, LATER)[0].amount == 500


def test_explaining_agrees_with_the_gate_and_takes_one_query(vendor_id: int) -> None:
    sets(vendor_id, wish(None))
    sets(vendor_id, Wish(Kind.FEATURE, "analytics", "Because", level=None))
    rights = queries.rights(vendor_id, NOW)
    db.session.rollback()
    seen: list[str] = []
    count = lambda *args: seen.append(args[2])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", count)
    found = explain(vendor_id, NOW)
    event.remove(db.engine, "before_cursor_execute", count)
    assert len([s for s in seen if "SELECT" in s]) == 1
    assert {r.key: r.amount for r in found if r.kind == Kind.LIMIT} == rights.limits
    assert {r.key: r.level for r in found if r.kind == Kind.FEATURE and r.level} == rights.features
    assert [r.level for r in found if r.key == "analytics"] == [None]


def test_grants_are_closed_never_changed(vendor_id: int) -> None:
    held = sets(vendor_id, wish())
    ends(vendor_id, held, LATER)
    rows = db.session.scalars(
        select(EntitlementGrant).where(
            EntitlementGrant.vendor_id == vendor_id, EntitlementGrant.source == Source.OVERRIDE
        )
    ).all()
    assert [(row.amount, row.valid_from, row.valid_until) for row in rows] == [(700, NOW, LATER)]

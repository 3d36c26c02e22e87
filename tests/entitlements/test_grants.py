"""A vendor's rights follow its tier by versioned grants; old grants stay as history."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select

from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Tier
from portal.entitlements import queries, service
from portal.entitlements.models import EntitlementGrant
from portal.entitlements.rules import Rights
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support.tenants import make_vendor
from tests.support.travel import Travel

NOW = Travel.START
LATER = NOW + timedelta(days=10)


@pytest.fixture
def vendor_id(catalog: Flask) -> Iterator[int]:
    """A vendor without any right, with the marketplace on sale."""
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        yield vendor


def tier(code: str) -> Tier:
    found = catalog_queries.tier_by_code(code)
    assert found is not None
    return found


def give(vendor_id: int, code: str, now: datetime = NOW) -> int:
    with unit_of_work():
        return service.replace_tier_grants(vendor_id, tier(code), now=now)


def add(vendor_id: int, source: str, key: str, amount: int | None, until: datetime | None = None) -> None:
    with unit_of_work() as session:
        session.add(
            EntitlementGrant(
                vendor_id=vendor_id,
                source=source,
                source_ref="x",
                kind="limit",
                key=key,
                amount=amount,
                valid_from=NOW,
                valid_until=until,
                version=1,
            )
        )


def rows(vendor_id: int) -> list[EntitlementGrant]:
    return list(db.session.scalars(select(EntitlementGrant).where(EntitlementGrant.vendor_id == vendor_id)))


def test_a_tier_gives_its_limits_and_features(vendor_id: int) -> None:
    assert give(vendor_id, "professional") == 1
    rights = queries.rights(vendor_id, NOW)
    assert rights.version == 1
    assert rights.limits == {"orders": 500, "products": None, "team_members": 3, "sites": 3, "storage_gb": 5}
    modules = ("module_sites", "module_planner", "module_writer", "module_automation")
    assert rights.features == {
        "analytics": "advanced",
        "support": "priority",
        "custom_branding": "yes",
        **dict.fromkeys(modules, "yes"),
    }
    assert set(rights.source.values()) == {"tier"}


def test_before_anything_was_granted_there_is_nothing(vendor_id: int) -> None:
    assert queries.rights(vendor_id, NOW) == Rights(0)


def test_another_tier_replaces_the_grants_from_its_moment_on(vendor_id: int) -> None:
    give(vendor_id, "business")
    assert give(vendor_id, "essential", LATER) == 2
    before, after = queries.rights(vendor_id, LATER - timedelta(seconds=1)), queries.rights(vendor_id, LATER)
    assert (before.limits["orders"], after.limits["orders"]) == (2000, 100)
    assert "api_access" in before.features
    assert "api_access" not in after.features


def test_the_same_tier_again_writes_nothing(vendor_id: int) -> None:
    give(vendor_id, "business")
    count = len(rows(vendor_id))
    assert [give(vendor_id, "business", LATER) for _ in range(3)] == [1, 1, 1]
    assert len(rows(vendor_id)) == count


def test_a_tier_that_was_reshaped_reaches_its_vendors_when_it_is_granted_again(vendor_id: int) -> None:
    give(vendor_id, "essential")
    with unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE tier_limits SET value = 150 WHERE metric = 'orders'")
    assert queries.rights(vendor_id, NOW).limits["orders"] == 100, "pages read grants, never the tier's limits"
    assert give(vendor_id, "essential", LATER) == 2
    assert queries.rights(vendor_id, LATER).limits["orders"] == 150


def test_addons_and_overrides_outlive_a_change_of_tier(vendor_id: int) -> None:
    give(vendor_id, "essential")
    add(vendor_id, "addon", "sites", 2)
    add(vendor_id, "override", "orders", 130)
    give(vendor_id, "professional", LATER)
    limits = queries.rights(vendor_id, LATER).limits
    # Professional's 3 sites + 2 of the add-on = 5; the override's 130 orders beat Professional's 500.
    assert (limits["sites"], limits["orders"]) == (5, 130)


def test_an_override_ends_on_its_day(vendor_id: int) -> None:
    give(vendor_id, "essential")
    add(vendor_id, "override", "orders", 130, until=LATER)
    assert queries.rights(vendor_id, LATER - timedelta(seconds=1)).limits["orders"] == 130
    assert queries.rights(vendor_id, LATER).limits["orders"] == 100


def test_ending_takes_the_tiers_rights_and_leaves_the_rest(vendor_id: int) -> None:
    give(vendor_id, "essential")
    add(vendor_id, "addon", "storage_gb", 10)
    for _ in range(2):
        with unit_of_work():
            service.end_tier_grants(vendor_id, now=LATER)
    rights = queries.rights(vendor_id, LATER)
    assert (rights.version, rights.limits, rights.features) == (2, {"storage_gb": 10}, {})
    assert queries.rights(vendor_id, NOW).limits["orders"] == 100


def test_another_vendors_grants_are_not_mine(vendor_id: int) -> None:
    other = make_vendor("tea-house")
    with tenancy.scoped(other):
        give(other, "business")
    assert queries.rights(vendor_id, NOW) == Rights(0)


def test_rights_take_one_query(vendor_id: int) -> None:
    give(vendor_id, "business")
    db.session.commit()
    seen: list[str] = []
    count = lambda *args: seen.append(args[2])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", count)
    queries.rights(vendor_id, NOW)
    event.remove(db.engine, "before_cursor_execute", count)
    assert len([statement for statement in seen if "SELECT" in statement]) == 1


def test_two_changes_at_once_leave_one_tier(catalog: Flask, vendor_id: int) -> None:
    gate = threading.Barrier(6)

    def work(code: str) -> None:
        with catalog.app_context(), tenancy.scoped(vendor_id):
            gate.wait()
            give(vendor_id, code)
            db.session.remove()

    codes = ["essential", "business"] * 3
    threads = [threading.Thread(target=work, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = {row.source_ref for row in rows(vendor_id) if row.valid_until is None}
    assert len(live) == 1
    (last,) = live
    assert queries.rights(vendor_id, NOW).limits == tier(last).limits

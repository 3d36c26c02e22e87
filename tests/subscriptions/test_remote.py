"""What is read out of a Stripe subscription with several items."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portal.subscriptions import remote
from portal.subscriptions.remote import Planned

START, MONTH, YEAR = 1_806_580_800, 1_809_172_800, 1_838_203_200  # 1 April and 1 May 2027, 1 April 2028, midnight


def item(ident: str, kind: str | None, *, quantity: int = 1, end: int = MONTH) -> dict[str, Any]:
    about = {"kind": kind} if kind else {}
    price = {"id": f"price_{ident}", "unit_amount": 500, "currency": "eur", "metadata": about}
    return {"id": ident, "price": price, "quantity": quantity, "current_period_start": START, "current_period_end": end}


def subscription(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "sub_1", "customer": "cus_1", "status": "active", "items": {"data": list(items)}, "start_date": START,
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("items", "known", "tier"),
    [
        ([item("a", "addon"), item("t", "tier")], None, "t"),  # wherever it stands
        ([item("t", "tier"), item("u", "tier")], "u", "u"),  # the one we know
        ([item("t", "tier"), item("a", "addon")], "gone", "t"),  # a phase made another item of it
        ([item("a", "addon"), item("x", None)], None, "x"),  # a price that somebody made in Stripe
        ([item("a", "addon"), item("b", "addon")], None, "a"),  # nothing fits: the first, which the catalog refuses
    ],
)
def test_the_tiers_item_is_found(items: list[dict[str, Any]], known: str | None, tier: str) -> None:
    found = remote.read(subscription(*items), known)
    assert (found.item_id, found.stripe_price_id) == (tier, f"price_{tier}")
    assert [other.id for other in found.addon_items] == [i["id"] for i in items if i["id"] != tier]


def test_period_and_end_are_the_tiers() -> None:
    year = datetime.fromtimestamp(YEAR, UTC)
    found = remote.read(subscription(item("a", "addon"), item("t", "tier", end=YEAR), cancel_at=YEAR))
    assert found.period_end == year and found.addon_items[0].period_end == datetime.fromtimestamp(MONTH, UTC)
    assert (found.leaving, found.cancel_at, found.ends_elsewhere) == (True, year, None)
    early = remote.read(subscription(item("a", "addon"), item("t", "tier", end=YEAR), cancel_at=MONTH))
    assert early.ends_elsewhere == datetime.fromtimestamp(MONTH, UTC)
    assert not remote.read(subscription(item("t", "tier"))).leaving


def test_what_is_planned_is_read_from_the_metadata() -> None:
    plans = {
        "item:a": "price_a*1", "item:b": "price_b*0", "item:c": "price_c*2", "item:gone": "price_d*1",
        "item:over": "price_z*0", "item:odd": "nonsense", "item:bad": "price*x", "order": "7",
    }  # fmt: skip
    items = (item("a", "addon", quantity=3), item("b", "addon"), item("c", "addon", quantity=2), item("d", "addon"))
    found = remote.read(subscription(item("t", "tier"), *items, metadata=plans))
    # c is what was planned for it already; b ends; a becomes one of three; d took the place of an item that is gone.
    assert found.planned == {"a": Planned("price_a", 1), "b": Planned("price_b", 0)}
    heir = found.heir("gone")
    assert heir is not None and heir.id == "d" and found.heir("over") is None and found.heir("a") is None
    assert found.spent_plans == ["over"] and found.order_ref == "7"
    assert Planned("price_a", 1).text() == plans["item:a"]

"""Pushing the catalog (CAT-6) over HTTP to the sandbox: shown first, done once, found again."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal.catalog import flows, queries, service
from portal.catalog.models import AddonPrice, SubscriptionTier, TierPrice
from portal.catalog.push_plan import PushStep
from portal.catalog.rules import Cycle
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Unavailable
from portal.kit.unit_of_work import unit_of_work
from tests.support.servers import Sandbox
from tests.support.tenants import make_vendor


def push(*, dry_run: bool = False) -> list[PushStep]:
    return flows.push(stripe.current(), dry_run=dry_run)


def at_stripe() -> dict[str, dict[str, Any]]:
    """Prices at Stripe that can be found by a lookup key."""
    return {price["lookup_key"]: price for price in stripe.current().prices_list() if price.get("lookup_key")}


def reprice(code: str, amount: int, vendor_id: int | None = None) -> None:
    tier = queries.tier_by_code(code)
    assert tier is not None
    with unit_of_work():
        service.change_price(
            tier.id, Cycle.MONTHLY, "EUR", amount, vendor_id=vendor_id, actor=SYSTEM, now=clock.business()
        )


def actions(steps: list[PushStep]) -> list[tuple[str, str]]:
    return [(step.action, step.what) for step in steps]


def test_the_first_push_creates_what_is_sold(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    # Enterprise has no price, so 3 tiers and 4 add-ons; 3 × 2 tier prices and 1 + 3 + 1 + 1 of add-ons.
    assert sorted(p["metadata"]["code"] for p in stripe.current().products_list()) == [
        "business",
        "custom-domain",
        "email-package",
        "essential",
        "extra-storage",
        "premium-ssl",
        "professional",
    ]
    found = {
        key: (price["unit_amount"], price["currency"], price["recurring"]["interval"])
        for key, price in at_stripe().items()
    }
    assert found == {
        "tier-essential-monthly-eur": (4900, "eur", "month"),
        "tier-essential-yearly-eur": (49000, "eur", "year"),
        "tier-professional-monthly-eur": (9900, "eur", "month"),
        "tier-professional-yearly-eur": (99000, "eur", "year"),
        "tier-business-monthly-eur": (19900, "eur", "month"),
        "tier-business-yearly-eur": (199000, "eur", "year"),
        "addon-custom-domain-yearly-eur": (1500, "eur", "year"),
        "addon-email-package-5-monthly-eur": (500, "eur", "month"),
        "addon-email-package-10-monthly-eur": (900, "eur", "month"),
        "addon-email-package-25-monthly-eur": (1900, "eur", "month"),
        "addon-premium-ssl-yearly-eur": (4900, "eur", "year"),
        "addon-extra-storage-monthly-eur": (500, "eur", "month"),
    }


def test_ids_are_kept_so_that_a_price_at_stripe_leads_to_ours(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    price = at_stripe()["tier-business-yearly-eur"]
    ours = queries.price_by_stripe_id(price["id"])
    business = queries.tier_by_code("business")
    assert ours is not None
    assert business is not None
    assert (ours.tier_id, ours.cycle, ours.amount.minor) == (business.id, Cycle.YEARLY, 199000)
    assert business.stripe_product_id == price["product"]
    assert db.session.query(AddonPrice).filter(AddonPrice.stripe_price_id.is_(None)).count() == 0


def test_a_dry_run_tells_all_and_does_nothing(catalog: Flask, sandbox: Sandbox) -> None:
    told = push(dry_run=True)
    assert stripe.current().products_list() == []
    assert db.session.query(TierPrice).filter(TierPrice.stripe_price_id.is_not(None)).count() == 0
    assert told == push()


def test_the_second_push_finds_nothing_to_do(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    assert push() == []


def test_a_new_price_takes_over_the_lookup_key_and_the_old_one_stays_active(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    old = at_stripe()["tier-essential-monthly-eur"]
    reprice("essential", 5900)
    assert actions(push()) == [("create", "price")]
    new = at_stripe()["tier-essential-monthly-eur"]
    assert (new["unit_amount"], new["product"]) == (5900, old["product"])
    kept = next(price for price in stripe.current().prices_list() if price["id"] == old["id"])
    assert (kept["active"], kept["lookup_key"]) == (True, None)
    ours = queries.price_by_stripe_id(old["id"])
    assert ours is not None
    assert ours.amount.minor == 4900, "who bought at 49 euros still pays by the old price"


def test_going_back_to_an_old_amount_makes_a_price_of_its_own(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    reprice("essential", 5900)
    reprice("essential", 4900)
    assert actions(push()) == [("create", "price")]
    # The old row keeps its price at Stripe, so the new row cannot share it.
    assert push() == []


def test_changed_words_are_updated(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    with unit_of_work() as session:
        session.execute(update(SubscriptionTier).where(SubscriptionTier.code == "business").values(name="Company"))
    steps = push()
    assert [(step.action, step.row.code, dict(step.params)) for step in steps] == [
        ("update", "business", {"name": "Company"})
    ]
    assert "Company" in {product["name"] for product in stripe.current().products_list()}
    assert push() == []


def test_what_was_made_but_not_noted_is_found_again(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    with unit_of_work() as session:
        session.execute(update(SubscriptionTier).values(stripe_product_id=None))
        session.execute(update(TierPrice).values(stripe_price_id=None))
    made = {price["id"] for price in stripe.current().prices_list()}
    # 3 products and 6 prices of tiers are taken for ours; nothing is made a second time.
    assert actions(push()) == [("adopt", "product")] * 3 + [("adopt", "price")] * 6
    assert {price["id"] for price in stripe.current().prices_list()} == made
    assert push() == []


def test_another_account_gets_everything_anew(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    sandbox.reset()
    assert actions(push()) == [("create", "product")] * 7 + [("create", "price")] * 12
    assert push() == []


def test_an_agreed_price_has_no_key_by_which_others_could_find_it(catalog: Flask, sandbox: Sandbox) -> None:
    vendor_id = make_vendor()
    reprice("professional", 7500, vendor_id)
    push()
    agreed = [price for price in stripe.current().prices_list() if price["unit_amount"] == 7500]
    assert [(price["lookup_key"], price["metadata"]["vendor"]) for price in agreed] == [(None, str(vendor_id))]
    assert push() == []


def test_a_moved_lookup_key_and_an_archived_price_are_put_right(catalog: Flask, sandbox: Sandbox) -> None:
    push()
    price = at_stripe()["tier-business-monthly-eur"]
    stripe.current().price_update(price["id"], {"lookup_key": "somebody-elses", "active": False}, "test-move")
    assert actions(push()) == [("update", "price")]
    back = at_stripe()["tier-business-monthly-eur"]
    assert (back["id"], back["active"]) == (price["id"], True)


def test_a_push_that_breaks_off_goes_on_where_it_stopped(catalog: Flask, sandbox: Sandbox) -> None:
    gateway = stripe.current()
    made: list[str] = []

    class Breaking:
        """The real gateway, until the third price."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            return getattr(gateway, name)

        def price_create(self, params: dict[str, Any], key: str) -> dict[str, Any]:
            if len(made) == 2:
                raise Unavailable
            made.append(gateway.price_create(params, key)["id"])
            return {"id": made[-1]}

    with pytest.raises(Unavailable):
        flows.push(Breaking(), dry_run=False)
    noted = db.session.query(TierPrice).filter(TierPrice.stripe_price_id.is_not(None)).count()
    assert (len(made), noted) == (2, 2)
    assert actions(push()) == [("create", "price")] * 10
    assert len(stripe.current().prices_list()) == 12

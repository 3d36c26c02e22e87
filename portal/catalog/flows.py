"""Pushing the catalog to Stripe (CAT-6)."""

import secrets
from typing import Any, Protocol

from sqlalchemy import select, update

from portal.catalog.models import AddonPrice, AddonProduct, SubscriptionTier, TierPrice
from portal.catalog.push_plan import AtStripe, Owner, PriceRow, ProductRow, PushStep, plan
from portal.catalog.rules import Cycle
from portal.kit.db import Model, db
from portal.kit.errors import Conflict
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction, unit_of_work

_PRODUCTS: dict[Owner, type[Model]] = {"tier": SubscriptionTier, "addon": AddonProduct}
_PRICES: dict[Owner, type[Model]] = {"tier": TierPrice, "addon": AddonPrice}


class CatalogGateway(Protocol):
    """The calls that a push makes; lists hold archived objects too. ``key`` is the idempotency key."""

    def products_list(self) -> list[dict[str, Any]]:
        """All products."""

    def product_create(self, params: dict[str, Any], key: str) -> dict[str, Any]:
        """Create a product."""

    def product_update(self, product_id: str, params: dict[str, Any], key: str) -> dict[str, Any]:
        """Change a product."""

    def prices_list(self) -> list[dict[str, Any]]:
        """All prices."""

    def price_create(self, params: dict[str, Any], key: str) -> dict[str, Any]:
        """Create a price."""

    def price_update(self, price_id: str, params: dict[str, Any], key: str) -> dict[str, Any]:
        """Change a price."""


def push(gateway: CatalogGateway, *, dry_run: bool, only_tier: str | None = None) -> list[PushStep]:
    """Bring Stripe in step with what is sold now, and give the steps; dry: only tell them. ``only_tier``: its code.

    Can be repeated, also after it broke off midway: what was made is found again and its id noted. Errors are the
    gateway's (Unavailable …); steps done before one stay done and noted.
    """
    products, prices, held = _wanted()
    if only_tier is not None:
        products = [row for row in products if (row.owner, row.code) == ("tier", only_tier)]
        prices = [row for row in prices if (row.owner, row.code) == ("tier", only_tier)]
    assert_no_transaction()
    there = AtStripe(gateway.products_list(), gateway.prices_list(), held)
    steps = plan(products, prices, there)
    if not dry_run:
        for step in steps:
            _note(step, _carry_out(gateway, step))
    return steps


def _carry_out(gateway: CatalogGateway, step: PushStep) -> str:
    """Do one step at Stripe; gives the object's id. An update's key is fresh, as putting back what was is no replay."""
    params = dict(step.params)
    product = step.what == "product"
    if step.action == "create":
        if isinstance(step.row, PriceRow):
            params["product"] = _product_id(step.row)
        create = gateway.product_create if product else gateway.price_create
        return str(create(params, step.creation_key())["id"])
    assert step.stripe_id is not None
    if step.action == "update":
        change = gateway.product_update if product else gateway.price_update
        change(step.stripe_id, params, f"catalog-update-{secrets.token_hex(12)}")
    return step.stripe_id


def _note(step: PushStep, stripe_id: str) -> None:
    owner = step.row.owner
    if isinstance(step.row, ProductRow):
        column, model = "stripe_product_id", _PRODUCTS[owner]
    else:
        column, model = "stripe_price_id", _PRICES[owner]
    with unit_of_work() as session:
        session.execute(update(model).where(model.__table__.c.id == step.row.row_id).values({column: stripe_id}))


def _product_id(row: PriceRow) -> str:
    """The Stripe product that a price belongs to; an earlier step has noted it."""
    columns = _PRODUCTS[row.owner].__table__.c
    found = db.session.scalar(select(columns.stripe_product_id).where(columns.code == row.code))
    assert_no_transaction()
    if not found:
        raise Conflict(N_("The catalog was changed while it was pushed. Please push it again."))
    return str(found)


def _wanted() -> tuple[list[ProductRow], list[PriceRow], frozenset[str]]:
    """What is sold now, and the price ids that closed rows hold (their subscribers still pay by them)."""
    prices = _tier_prices() + _addon_prices()
    sold = {(price.owner, price.code) for price in prices}
    products = [row for row in _products("tier") + _products("addon") if (row.owner, row.code) in sold]
    held: set[str] = set()
    for column, until in (
        (TierPrice.stripe_price_id, TierPrice.valid_until),
        (AddonPrice.stripe_price_id, AddonPrice.valid_until),
    ):
        closed = select(column).where(until.is_not(None), column.is_not(None))
        held.update(str(stripe_id) for stripe_id in db.session.scalars(closed))
    return products, prices, frozenset(held)


def _products(owner: Owner) -> list[ProductRow]:
    c = _PRODUCTS[owner].__table__.c
    statement = select(c.id, c.code, c.name, c.pitch, c.stripe_product_id).where(c.retired_at.is_(None))
    return [ProductRow(owner, *row) for row in db.session.execute(statement.order_by(c.position, c.id))]


def _tier_prices() -> list[PriceRow]:
    statement = (
        select(
            SubscriptionTier.code,
            TierPrice.id,
            TierPrice.cycle,
            TierPrice.amount_minor,
            TierPrice.currency,
            TierPrice.vendor_id,
            TierPrice.stripe_price_id,
        )
        .join(SubscriptionTier)
        .where(TierPrice.valid_until.is_(None), SubscriptionTier.retired_at.is_(None))
        .order_by(SubscriptionTier.position, TierPrice.id)
    )
    return [
        PriceRow(
            "tier",
            row.id,
            row.code,
            "",
            Cycle(row.cycle),
            Money(row.amount_minor, row.currency),
            row.vendor_id,
            row.stripe_price_id,
        )
        for row in db.session.execute(statement)
    ]


def _addon_prices() -> list[PriceRow]:
    statement = (
        select(
            AddonProduct.code,
            AddonPrice.id,
            AddonPrice.variant,
            AddonPrice.cycle,
            AddonPrice.amount_minor,
            AddonPrice.currency,
            AddonPrice.stripe_price_id,
        )
        .join(AddonProduct)
        .where(AddonPrice.valid_until.is_(None), AddonProduct.retired_at.is_(None))
        .order_by(AddonProduct.position, AddonPrice.id)
    )
    return [
        PriceRow(
            "addon",
            row.id,
            row.code,
            row.variant,
            Cycle(row.cycle),
            Money(row.amount_minor, row.currency),
            None,
            row.stripe_price_id,
        )
        for row in db.session.execute(statement)
    ]

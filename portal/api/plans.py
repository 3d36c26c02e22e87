"""GET /api/v1/auth/plans: what the pricing page shows, for programs (ACC-1)."""

from typing import Any

from flask import Blueprint, Response, jsonify

from portal.api.operation import Told, described
from portal.catalog import queries as catalog
from portal.catalog.rules import Price, Tier
from portal.web.kit import audience

blueprint = Blueprint("api_plans", __name__)


class PlanPrice(Told):
    """What a tier costs for one whole cycle, in the currency's smallest unit."""

    id: int
    cycle: str
    amount_minor: int
    currency: str


class PlanAddon(Told):
    """An add-on that a tier brings along; ``variant`` is null where there is one size."""

    code: str
    name: str
    variant: str | None
    quantity: int


class Plan(Told):
    """A tier."""

    code: str
    name: str
    pitch: str
    trial_days: int
    included_credits: int
    self_service: bool
    limits: dict[str, int | None]
    features: dict[str, str]
    included_addons: list[PlanAddon]
    prices: list[PlanPrice]


class Plans(Told):
    """Every tier that is sold."""

    plans: list[Plan]


@blueprint.get("/api/v1/auth/plans", strict_slashes=False)
@audience.public
@described("What is sold", "Plans", answers={200: Plans})
def plans() -> Response:
    """Active public tiers by position. A limit of null is unlimited; amounts are in minor units."""
    return jsonify(plans=[_tier(tier) for tier in catalog.tiers()])


def _tier(tier: Tier) -> dict[str, Any]:
    return {
        "code": tier.code,
        "name": tier.name,
        "pitch": tier.pitch,
        "trial_days": tier.trial_days,
        "included_credits": tier.included_credits,
        "self_service": tier.self_service,
        "limits": tier.limits,
        "features": tier.features,
        "included_addons": [
            {"code": a.code, "name": a.name, "variant": a.variant or None, "quantity": a.quantity} for a in tier.addons
        ],
        "prices": [_price(price) for price in tier.prices],
    }


def _price(price: Price) -> dict[str, Any]:
    return {"id": price.id, "cycle": price.cycle, "amount_minor": price.amount.minor, "currency": price.amount.currency}

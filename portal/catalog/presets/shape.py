"""What a preset is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from portal.catalog.rules import CreditPolicy, Cycle, Metric

#: What a year costs, in months (CAT-3).
MONTHS_PAID_PER_YEAR = 10

Provisioning = Literal["domain", "mailboxes", "certificate", "storage", "manual"]


@dataclass(frozen=True, slots=True)
class AddonPriceSpec:
    """A price of an add-on; ``variant`` is the package's size, empty where there is one size."""

    cycle: Cycle
    amount_minor: int
    variant: str = ""


@dataclass(frozen=True, slots=True)
class AddonSpec:
    """An add-on product. ``grants`` maps each variant to what one adds to the limits; ``max_quantity`` is the most
    that one vendor may have, and within ``promised_hours`` it is to be ready.
    """

    code: str
    name: str
    pitch: str
    position: int
    provisioning: Provisioning
    grants: Mapping[str, Mapping[Metric, int]]
    prices: tuple[AddonPriceSpec, ...]
    max_quantity: int = 10
    promised_hours: int = 48

    def grants_json(self) -> dict[str, Any]:
        """The shape stored in ``addon_products.grants``: {"limits": {variant: {metric: amount}}}."""
        return {"limits": {variant: dict(limits) for variant, limits in self.grants.items()}}


@dataclass(frozen=True, slots=True)
class TierSpec:
    """A tier. ``monthly_minor`` None: contact sales, no price. ``included`` maps (add-on, variant) to how many."""

    code: str
    name: str
    pitch: str
    position: int
    monthly_minor: int | None
    included_credits: int = 0
    limits: Mapping[Metric, int | None] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)
    included: Mapping[tuple[str, str], int] = field(default_factory=dict)
    credit_policy: CreditPolicy = CreditPolicy.RESET
    rollover_cap: int | None = None
    trial_days: int = 14
    highlighted: bool = False

    @property
    def self_service(self) -> bool:
        """Can it be bought without talking to somebody?"""
        return self.monthly_minor is not None

    def prices(self) -> dict[Cycle, int]:
        """Minor units per cycle; a year costs ten months."""
        if self.monthly_minor is None:
            return {}
        return {Cycle.MONTHLY: self.monthly_minor, Cycle.YEARLY: self.monthly_minor * MONTHS_PAID_PER_YEAR}


@dataclass(frozen=True, slots=True)
class Preset:
    """A whole catalog in one currency. Every tier may buy every add-on of its preset."""

    currency: str
    tiers: tuple[TierSpec, ...]
    addons: tuple[AddonSpec, ...] = ()

"""What a tier is made of, as values: metrics, cycles, policies."""

from dataclasses import dataclass
from enum import StrEnum

from portal.kit.money import Money
from portal.kit.text import N_


class Cycle(StrEnum):
    """How often a price is due."""

    MONTHLY = "monthly"
    YEARLY = "yearly"


class CreditPolicy(StrEnum):
    """What happens to unspent included credits at renewal."""

    RESET = "reset"
    ROLLOVER = "rollover"


class Metric(StrEnum):
    """Something counted."""

    ORDERS = "orders"
    PRODUCTS = "products"
    TEAM_MEMBERS = "team_members"
    STORAGE_GB = "storage_gb"
    SITES = "sites"
    SECTORS = "sectors"
    CHATBOTS = "chatbots"
    CONVERSATIONS = "conversations"
    PROJECTS = "projects"
    DOMAINS = "domains"
    MAILBOXES = "mailboxes"
    CERTIFICATES = "certificates"


#: Counted anew each period; all others are levels that stay.
PER_PERIOD = frozenset({Metric.ORDERS, Metric.CONVERSATIONS})

#: What a limit is named in and what is counted differ: so many bytes are one gigabyte of the limit.
UNITS = {Metric.STORAGE_GB: 10**9}

METRIC_NAMES = {
    Metric.ORDERS: N_("Orders"),
    Metric.PRODUCTS: N_("Products"),
    Metric.TEAM_MEMBERS: N_("Team members"),
    Metric.STORAGE_GB: N_("Storage (GB)"),
    Metric.SITES: N_("Sites"),
    Metric.SECTORS: N_("Sectors"),
    Metric.CHATBOTS: N_("Chatbots"),
    Metric.CONVERSATIONS: N_("Conversations"),
    Metric.PROJECTS: N_("Projects"),
    Metric.DOMAINS: N_("Own domains"),
    Metric.MAILBOXES: N_("Email addresses"),
    Metric.CERTIFICATES: N_("Premium certificates"),
}

#: A feature that is there or not has this one level.
ON = "yes"

FEATURE_NAMES = {
    "analytics": N_("Analytics"),
    "support": N_("Support"),
    "custom_branding": N_("Your own branding"),
    "white_label": N_("White label"),
    "api_access": N_("API access"),
    "module_sites": N_("Website builder"),
    "module_planner": N_("Planner"),
    "module_writer": N_("Writer"),
    "module_chatbots": N_("Chatbot builder"),
    "module_automation": N_("Automation"),
}

#: Levels of a feature from the least to the most; a feature not named here is on or off.
FEATURE_LEVELS = {
    "analytics": ("basic", "advanced"),
    "support": ("email", "priority", "dedicated"),
}

LEVEL_NAMES = {
    ON: N_("Included"),
    "basic": N_("Basic"),
    "advanced": N_("Advanced"),
    "email": N_("By email"),
    "priority": N_("Priority"),
    "dedicated": N_("Dedicated contact"),
}


def price_name(variant: str, cycle: Cycle | str, currency: str) -> str:
    """How a price is named among what staff changed of an add-on."""
    return " ".join(part for part in (variant, str(cycle), "price in", currency) if part)


def counted(metric: Metric | str, amount: int | None) -> int | None:
    """A limit in the unit that the metric is counted in: bytes for gigabytes, else the number itself."""
    return None if amount is None else amount * UNITS.get(Metric(metric), 1)


def reaches(feature: str, held: str | None, wanted: str | None = None) -> bool:
    """Is a level as good as the one that is asked for? None asks for any level, None held is none."""
    return held is not None and (wanted is None or higher_level(feature, held, wanted) == held)


def higher_level(feature: str, one: str, other: str) -> str:
    """The better of two levels of a feature; a level nobody ranked counts below every ranked one."""
    ladder = FEATURE_LEVELS.get(feature, (ON,))
    return max(one, other, key=lambda level: ladder.index(level) if level in ladder else -1)


@dataclass(frozen=True, slots=True)
class Price:
    """A price as it was when it was looked up; ``amount.minor`` is for one whole cycle."""

    id: int
    tier_id: int
    cycle: Cycle
    amount: Money
    stripe_price_id: str | None


@dataclass(frozen=True, slots=True)
class IncludedAddon:
    """An add-on that a tier brings along; ``variant`` is the size of a package, empty where there is one size."""

    code: str
    name: str
    variant: str
    quantity: int


@dataclass(frozen=True, slots=True)
class AddonPriceTag:
    """The list price of an add-on in one size, for a whole cycle."""

    id: int
    code: str
    variant: str
    cycle: Cycle
    amount: Money


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier with everything that pages and rules read. A limit of None is unlimited."""

    id: int
    code: str
    name: str
    pitch: str
    position: int
    trial_days: int
    included_credits: int
    credit_policy: CreditPolicy
    rollover_cap: int | None
    is_public: bool
    is_active: bool
    self_service: bool
    highlighted: bool
    limits: dict[str, int | None]
    features: dict[str, str]
    prices: tuple[Price, ...]
    addons: tuple[IncludedAddon, ...]
    stripe_product_id: str | None = None

    def price(self, cycle: Cycle, currency: str | None = None) -> Price | None:
        """The live public price of that cycle (and currency, when several are sold)."""
        found = [p for p in self.prices if p.cycle == cycle and currency in (None, p.amount.currency)]
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading a preset changed, and what it left because staff had changed it, as lines for people."""

    changes: tuple[str, ...]
    kept: tuple[str, ...] = ()

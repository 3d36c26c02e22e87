"""Everything that somebody needs to see before changing a vendor's tier (S4 §3.1)."""

from dataclasses import dataclass
from datetime import datetime

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Price, Tier
from portal.kit import clock
from portal.kit.text import N_
from portal.reporting import vendor_detail
from portal.reporting.compare import Choice, Comparison, choices, compare
from portal.reporting.vendor_detail import VendorHead
from portal.subscriptions import meters, queries
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Provider, Status


@dataclass(frozen=True, slots=True)
class TierSheet:
    """What a vendor has, what it can have at one cycle, and whether the tier can change at all.

    ``closed_because`` is a message id, None when a change may be asked for.
    """

    head: VendorHead
    overview: Overview | None
    tier: Tier | None
    present: Price | None
    cycle: Cycle
    cycles: tuple[Cycle, ...]
    choices: tuple[Choice, ...]
    closed_because: str | None

    @property
    def costs_nothing(self) -> bool:
        """Without a provider nobody pays yet: the tier changes at once."""
        return self.overview is not None and self.overview.provider == Provider.NONE

    def choice(self, price_id: str) -> Choice | None:
        """The choice whose price has this id, as a form carries it."""
        return next((c for c in self.choices if c.price and str(c.price.id) == price_id), None)


def load(vendor_id: int, cycle: Cycle | None) -> TierSheet:
    """The sheet of a vendor at a cycle, its present one when none is named. NotFound for a missing vendor."""
    head, overview = vendor_detail.head(vendor_id), queries.overview(vendor_id)
    tiers = catalog.tiers(public_only=False)
    agreed = vendor_detail.agreed_price(vendor_id)
    tier = _tier(tiers, overview)
    present = _present(overview)
    currency = _currency(tiers, present)
    at = cycle or (present.cycle if present else Cycle.MONTHLY)
    offered = {c: tuple(choices(tiers, tier, present, c, currency, agreed)) for c in Cycle}
    return TierSheet(
        head=head,
        overview=overview,
        tier=tier,
        present=present,
        cycle=at,
        cycles=tuple(c for c in Cycle if any(choice.price for choice in offered[c])),
        choices=offered[at],
        closed_because=closed_because(overview),
    )


def _tier(tiers: list[Tier], overview: Overview | None) -> Tier | None:
    """The tier that the vendor has, a retired one too."""
    if overview is None or overview.tier_id is None:
        return None
    return next((t for t in tiers if t.id == overview.tier_id), None) or catalog.tier_by_id(overview.tier_id)


def _present(overview: Overview | None) -> Price | None:
    o = overview
    if o is None or o.price_id is None or o.amount is None or o.cycle is None or o.tier_id is None:
        return None
    return Price(o.price_id, o.tier_id, o.cycle, o.amount, None)


def _currency(tiers: list[Tier], present: Price | None) -> str:
    """A vendor stays in its currency; a new one gets the one that was priced first."""
    if present is not None:
        return present.amount.currency
    return next((p.amount.currency for t in tiers for p in t.prices), "EUR")


def closed_because(overview: Overview | None) -> str | None:
    """Why the tier cannot change now, as a message id; the rooms below refuse for the same reasons."""
    if overview is None:
        return N_("This vendor has not chosen a tier yet, so there is none to change.")
    if overview.pending and overview.pending.state != ChangeState.SCHEDULED:
        return N_("Another change of the tier is still under way.")
    if overview.provider == Provider.NONE:
        return None
    if overview.status == Status.PAST_DUE:
        return N_("An invoice is unpaid. It must be paid before the tier can change.")
    return None if overview.status == Status.ACTIVE else N_("The subscription is not active.")


def comparison(sheet: TierSheet, choice: Choice, now: datetime | None = None) -> Comparison | None:
    """What the choice brings and takes away, with the vendor's present use; None where there is nothing to compare."""
    if sheet.overview is None or sheet.tier is None:
        return None
    seen = meters.meters(sheet.head.id, sheet.overview.period_start, now or clock.business())
    return compare(sheet.tier, choice.tier, seen)

"""Reads of add-ons: what can be had, what a vendor has."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, cast, func, or_, select

from portal.addons.models import ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.rules import AddonStatus, Origin, RunState, StepState
from portal.catalog.models import AddonPrice, AddonProduct, SubscriptionTier, TierAddon
from portal.catalog.rules import Cycle
from portal.kit.db import BigId, UtcDateTime, db
from portal.kit.direct import Direct
from portal.kit.errors import NotFound
from portal.kit.money import Money

#: How long an add-on that is over is still listed.
SHOWN_AFTER_END = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Had:
    """A vendor's add-on. ``each`` is for one and a whole period; None: nothing is paid for it."""

    id: int
    vendor_id: int
    product_id: int
    code: str
    name: str
    provisioning: str
    grants: Mapping[str, Any]
    max_quantity: int
    variant: str
    quantity: int
    config: Mapping[str, Any]
    origin: Origin
    provider: str
    status: AddonStatus
    price_id: int | None
    each: Money | None
    cycle: Cycle | None
    next_price_id: int | None
    next_quantity: int | None
    next_variant: str | None
    next_each: Money | None
    period_start: datetime | None
    period_end: datetime | None
    past_due_since: datetime | None
    cancel_at_period_end: bool
    ends_at: datetime | None
    promised_at: datetime | None
    provisioned_at: datetime | None
    cancelled_at: datetime | None
    created_at: datetime
    reason: str | None
    stripe_subscription_id: str | None
    stripe_item_id: str | None
    version: int
    waits_for_vendor: bool

    @property
    def total(self) -> Money | None:
        """What a whole period costs."""
        return Money(self.each.minor * self.quantity, self.each.currency) if self.each else None

    @property
    def next_total(self) -> Money | None:
        """What the next period costs, where that is planned to be something else."""
        if self.next_each is None or self.next_quantity is None:
            return None
        return Money(self.next_each.minor * self.next_quantity, self.next_each.currency)

    @property
    def shown(self) -> str:
        """The name that it is for, if it is for one."""
        return str(self.config.get("shown") or self.config.get("name") or "")

    @property
    def is_over(self) -> bool:
        """Has it ended?"""
        return self.status == AddonStatus.CANCELLED

    @property
    def is_resizable(self) -> bool:
        """Is there another size or number of it?"""
        return self.origin != Origin.INCLUDED and self.provisioning in ("mailboxes", "storage")


_next = AddonPrice.__table__.alias("next_price")


#: Does its setting up wait for the vendor's part?
_waits = (
    select(ProvisioningStep.id)
    .join(ProvisioningRun, ProvisioningRun.id == ProvisioningStep.run_id)
    .where(ProvisioningRun.vendor_addon_id == VendorAddon.id, ProvisioningRun.vendor_id == VendorAddon.vendor_id)
    .where(ProvisioningRun.state == RunState.WAITING, ProvisioningStep.state == StepState.WAITING_VENDOR)
    .correlate(VendorAddon)
    .exists()
)


def _statement() -> Select[Any]:
    v, p = VendorAddon, AddonProduct
    return (
        select(
            v.id, v.vendor_id, v.variant, v.quantity, v.config, v.origin, v.provider, v.status, v.price_id,
            v.next_price_id, v.next_quantity, v.period_start, v.period_end, v.past_due_since, v.cancel_at_period_end,
            v.ends_at, v.promised_at, v.provisioned_at, v.cancelled_at, v.created_at, v.reason,
            v.stripe_subscription_id, v.stripe_item_id, v.version,
            _waits.label("waits_for_vendor"), p.id.label("product_id"), p.code, p.name,
            p.provisioning, p.grants, p.max_quantity, AddonPrice.amount_minor, AddonPrice.currency, AddonPrice.cycle,
            _next.c.variant.label("next_variant"), _next.c.amount_minor.label("next_minor"),
        )
        .join(p, p.id == v.addon_id)
        .outerjoin(AddonPrice, AddonPrice.id == v.price_id)
        .outerjoin(_next, _next.c.id == v.next_price_id)
    )  # fmt: skip


def _had(row: Any) -> Had:
    given = row._asdict()
    minor, currency, next_minor = given.pop("amount_minor"), given.pop("currency"), given.pop("next_minor")
    cycle = given.pop("cycle")
    given |= {"origin": Origin(row.origin), "status": AddonStatus(row.status)}
    return Had(
        **given,
        each=Money(minor, currency) if minor is not None else None,
        cycle=Cycle(cycle) if cycle else None,
        next_each=Money(next_minor, currency) if next_minor is not None else None,
    )


@cache
def beside_plan() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Columns for ``subscriptions.queries.overview``: when the first add-ons renew that the plan's own subscription
    charges (or that are asked for with it), and what those of that day cost together, in minor units.
    """
    v, now_price = VendorAddon.__table__.alias("beside"), AddonPrice.__table__.alias("beside_price")
    then_price = AddonPrice.__table__.alias("beside_then")
    renews = (
        v.c.vendor_id == bindparam("vendor"), v.c.status != AddonStatus.CANCELLED, v.c.cancel_at_period_end.is_(False),
        v.c.stripe_subscription_id.is_(None), v.c.price_id.is_not(None), v.c.provider != "none",
    )  # fmt: skip
    first = select(func.min(v.c.period_end)).where(*renews).scalar_subquery()
    each = func.coalesce(then_price.c.amount_minor, now_price.c.amount_minor)
    minor = (
        select(cast(func.sum(each * func.coalesce(v.c.next_quantity, v.c.quantity)), BigInteger))
        .join(now_price, now_price.c.id == v.c.price_id)
        .outerjoin(then_price, then_price.c.id == v.c.next_price_id)
        .where(*renews, v.c.period_end == first)
        .scalar_subquery()
    )
    return first.label("beside_at"), minor.label("beside_minor")


def of_vendor(vendor_id: int, now: datetime) -> list[Had]:
    """What the vendor has, with what ended lately at the end; one statement whatever their number."""
    return [_had(row) for row in _OF_VENDOR({"vendor": vendor_id, "since": now - SHOWN_AFTER_END})]


def _lately() -> Select[Any]:
    over = VendorAddon.cancelled_at
    lately = or_(over.is_(None), over > bindparam("since", type_=UtcDateTime()))
    wanted = _statement().where(VendorAddon.vendor_id == bindparam("vendor"), lately)
    return wanted.order_by(over.is_not(None), AddonProduct.position, VendorAddon.id)


_OF_VENDOR = Direct(_lately())


def one(vendor_id: int, addon_id: int) -> Had:
    """One add-on of the vendor, as committed now; NotFound for another vendor's."""
    wanted = _statement().where(VendorAddon.vendor_id == vendor_id, VendorAddon.id == min(addon_id, 2**63 - 1))
    row = db.session.execute(wanted).first()
    if row is None:
        raise NotFound
    return _had(row)


def by_subscription(vendor_id: int, stripe_subscription_id: str) -> Had | None:
    """The vendor's add-on that has this subscription of its own."""
    wanted = _statement().where(
        VendorAddon.vendor_id == vendor_id, VendorAddon.stripe_subscription_id == stripe_subscription_id
    )
    row = db.session.execute(wanted).first()
    return _had(row) if row else None


def vendor_of(stripe_subscription_id: str) -> int | None:
    """Whose add-on has this Stripe subscription of its own."""
    found = select(VendorAddon.vendor_id).where(VendorAddon.stripe_subscription_id == stripe_subscription_id)
    return db.session.scalar(found)


def subscriptions_of(vendor_id: int) -> frozenset[str]:
    """The Stripe subscriptions that add-ons of the vendor have or had of their own."""
    mine = select(VendorAddon.stripe_subscription_id).where(VendorAddon.vendor_id == vendor_id)
    return frozenset(ident for ident in db.session.scalars(mine) if ident)


def has_items(vendor_id: int) -> bool:
    """Has the vendor add-ons on its tier's subscription?"""
    return bool(_HAS_ITEMS({"vendor": vendor_id}))


_HAS_ITEMS = Direct(
    select(VendorAddon.id)
    .where(VendorAddon.vendor_id == bindparam("vendor"), VendorAddon.status != AddonStatus.CANCELLED)
    .where(VendorAddon.stripe_item_id.is_not(None), VendorAddon.stripe_subscription_id.is_(None))
    .limit(1)
)


def included_had(vendor_id: int) -> dict[str, str]:
    """Codes of what the vendor has because its tier includes it, each with how it is set up."""
    wanted = (
        select(AddonProduct.code, AddonProduct.provisioning)
        .join(VendorAddon, VendorAddon.addon_id == AddonProduct.id)
        .where(VendorAddon.vendor_id == vendor_id, VendorAddon.status != AddonStatus.CANCELLED)
        .where(VendorAddon.origin == Origin.INCLUDED)
    )
    return {row.code: row.provisioning for row in db.session.execute(wanted)}


@dataclass(frozen=True, slots=True)
class Option:
    """A size that can be bought, or (``price_id`` None) one that is not sold in this currency."""

    price_id: int
    variant: str
    cycle: Cycle
    each: Money


@dataclass(frozen=True, slots=True)
class Card:
    """A product on the shelf. ``included`` maps sizes to how many the tier brings, ``brought_by`` names the least tier
    that sells it where this one does not.
    """

    id: int
    code: str
    name: str
    pitch: str
    provisioning: str
    grants: Mapping[str, Any]
    max_quantity: int
    options: tuple[Option, ...]
    included: Mapping[str, int]
    is_sold: bool
    brought_by: str | None

    @property
    def cheapest(self) -> Option | None:
        """The least that it costs."""
        return min(self.options, key=lambda option: option.each.minor, default=None)


def shelf(tier_id: int | None, currency: str) -> list[Card]:
    """What is sold, in one currency, as a vendor of this tier sees it; one statement."""
    by_product: dict[int, list[Any]] = defaultdict(list)
    for row in _SHELF({"tier": tier_id, "currency": currency}):
        by_product[row.id].append(row)
    return [_card(found, tier_id, currency) for found in by_product.values()]


def _on_the_shelf() -> Select[Any]:
    told: ColumnElement[str] = bindparam("currency")
    mine = SubscriptionTier.id == bindparam("tier", type_=BigId)
    live = and_(AddonPrice.addon_id == AddonProduct.id, AddonPrice.currency == told, AddonPrice.valid_until.is_(None))
    sold = and_(TierAddon.addon_id == AddonProduct.id)
    tiers = and_(
        SubscriptionTier.id == TierAddon.tier_id,
        or_(mine, SubscriptionTier.is_public & SubscriptionTier.retired_at.is_(None)),
    )
    return (
        select(
            AddonProduct.id, AddonProduct.code, AddonProduct.name, AddonProduct.pitch, AddonProduct.provisioning,
            AddonProduct.grants, AddonProduct.max_quantity, AddonPrice.id.label("price_id"), AddonPrice.variant,
            AddonPrice.cycle, AddonPrice.amount_minor, TierAddon.variant.label("sold_variant"), TierAddon.included,
            SubscriptionTier.id.label("tier_id"), SubscriptionTier.name.label("tier_name"),
        )
        .outerjoin(AddonPrice, live)
        .outerjoin(TierAddon, sold)
        .outerjoin(SubscriptionTier, tiers)
        .where(AddonProduct.retired_at.is_(None))
        .order_by(AddonProduct.position, AddonProduct.id, AddonPrice.amount_minor, SubscriptionTier.position)
    )  # fmt: skip


_SHELF = Direct(_on_the_shelf())


def _card(rows: Sequence[Any], tier_id: int | None, currency: str) -> Card:
    row = rows[0]
    mine = [r for r in rows if r.tier_id is not None and r.tier_id == tier_id]
    sizes = {r.sold_variant for r in mine}
    options = {
        r.price_id: Option(r.price_id, r.variant, Cycle(r.cycle), Money(r.amount_minor, currency))
        for r in rows
        if r.price_id is not None and (not mine or r.variant in sizes)
    }
    others = [r.tier_name for r in rows if r.tier_name and r.tier_id != tier_id]
    return Card(
        row.id, row.code, row.name, row.pitch, row.provisioning, row.grants, row.max_quantity,
        tuple(sorted(options.values(), key=lambda option: option.each.minor)),
        {r.sold_variant: r.included for r in mine if r.included}, bool(mine),
        next(iter(others), None) if not mine else None,
    )  # fmt: skip

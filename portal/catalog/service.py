"""Changing the catalog. Nothing in use is ever deleted: prices are closed, tiers retired."""

from datetime import datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.catalog import prices, queries
from portal.catalog.load_preset import load_preset
from portal.catalog.models import SubscriptionTier, TierPrice
from portal.catalog.rules import Cycle, Price
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import Money
from portal.kit.text import N_

__all__ = ["change_price", "load_preset", "retire_tier", "withdraw_agreed"]


def change_price(
    tier_id: int,
    cycle: Cycle,
    currency: str,
    amount_minor: int,
    *,
    vendor_id: int | None = None,
    actor: Actor,
    now: datetime,
) -> Price:
    """Sell the tier at this amount for a whole cycle from now on, to everybody or as agreed with one vendor.

    Those who bought at the price before keep it. The same amount again changes nothing. Locks the tier. Raises
    NotFound (tier), Conflict (retired), Invalid (fields ``currency``, ``amount``).
    """
    tier = _locked(tier_id)
    if tier.retired_at is not None:
        raise Conflict(N_("This tier is retired; it is not sold any more."))
    amount = _money(amount_minor, currency)
    if prices.set_tier_price(tier_id, cycle, amount, vendor_id=vendor_id, now=now):
        data = {"tier": tier.code, "cycle": cycle, "currency": currency, "amount_minor": amount_minor}
        audit.record(actor, "catalog.price_changed", vendor_id=vendor_id, data=data, now=now)
    statement = select(TierPrice.id).where(
        TierPrice.tier_id == tier_id,
        TierPrice.cycle == cycle,
        TierPrice.currency == currency,
        TierPrice.valid_until.is_(None),
        TierPrice.vendor_id.is_not_distinct_from(vendor_id),
    )
    found = queries.price(db.session.scalars(statement).one())
    assert found is not None
    return found


def withdraw_agreed(vendor_id: int, *, actor: Actor, now: datetime) -> bool:
    """Offer the price that was agreed with a vendor no longer; False when there was none. Who bought at it keeps it."""
    live = db.session.scalar(
        select(TierPrice).where(TierPrice.vendor_id == vendor_id, TierPrice.valid_until.is_(None)).with_for_update()
    )
    if live is None:
        return False
    live.valid_until = max(now, live.valid_from)
    audit.record(actor, "catalog.agreed_price_withdrawn", vendor_id=vendor_id, data={"price": live.id}, now=now)
    return True


def retire_tier(tier_id: int, *, actor: Actor, now: datetime) -> bool:
    """Take a tier off the market; its subscribers keep it. False when it was retired before. Locks the tier."""
    tier = _locked(tier_id)
    if tier.retired_at is not None:
        return False
    tier.retired_at = now
    audit.record(actor, "catalog.tier_retired", vendor_id=None, data={"tier": tier.code}, now=now)
    return True


def _locked(tier_id: int) -> SubscriptionTier:
    statement = select(SubscriptionTier).where(SubscriptionTier.id == tier_id).with_for_update()
    tier = db.session.scalar(statement.execution_options(populate_existing=True))
    if tier is None:
        raise NotFound
    return tier


def _money(amount_minor: int, currency: str) -> Money:
    try:
        return Money(amount_minor, currency)
    except ValueError as error:
        raise Invalid(fields={"currency": N_("Please enter a currency such as EUR.")}) from error

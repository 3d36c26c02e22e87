"""Prices are never changed: the live one is closed and another opened beside it (CAT-2, CAT-5)."""

from datetime import datetime

from sqlalchemy import select

from portal.catalog.models import AddonPrice, TierPrice
from portal.catalog.rules import Cycle
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.money import Money
from portal.kit.text import N_

#: What Stripe takes at most: eight digits.
MOST_MINOR = 99_999_999


def check_amount(amount: Money) -> None:
    """Raise Invalid (field ``amount``) for an amount that Stripe would not take."""
    if not 0 <= amount.minor <= MOST_MINOR:
        raise Invalid(fields={"amount": N_("Please enter an amount from 0 to 999,999.99.")})


def set_tier_price(tier_id: int, cycle: Cycle, amount: Money, *, vendor_id: int | None, now: datetime) -> bool:
    """Make this the live price; False when it already is. The caller holds the tier's lock.

    A vendor has one agreed price at a time, whatever the tier, so agreeing another closes it.
    """
    check_amount(amount)
    live = _live_tier_price(tier_id, cycle, amount.currency, vendor_id)
    if live and (live.tier_id, live.cycle, _amount(live)) == (tier_id, cycle, amount):
        return False
    if live:
        _close(live, now)
    opened = TierPrice(
        tier_id=tier_id,
        vendor_id=vendor_id,
        cycle=cycle,
        currency=amount.currency,
        amount_minor=amount.minor,
        valid_from=now,
    )
    db.session.add(opened)
    db.session.flush()
    return True


def set_addon_price(addon_id: int, variant: str, cycle: Cycle, amount: Money, *, now: datetime) -> bool:
    """Make this the live price of an add-on's variant; False when it already is."""
    check_amount(amount)
    live = db.session.scalar(
        select(AddonPrice)
        .where(AddonPrice.addon_id == addon_id, AddonPrice.variant == variant, AddonPrice.cycle == cycle)
        .where(AddonPrice.currency == amount.currency, AddonPrice.valid_until.is_(None))
        .with_for_update()
    )
    if live and live.amount_minor == amount.minor:
        return False
    if live:
        _close(live, now)
    opened = AddonPrice(
        addon_id=addon_id,
        variant=variant,
        cycle=cycle,
        currency=amount.currency,
        amount_minor=amount.minor,
        valid_from=now,
    )
    db.session.add(opened)
    db.session.flush()
    return True


def _live_tier_price(tier_id: int, cycle: Cycle, currency: str, vendor_id: int | None) -> TierPrice | None:
    statement = select(TierPrice).where(TierPrice.valid_until.is_(None)).with_for_update()
    if vendor_id is not None:
        return db.session.scalar(statement.where(TierPrice.vendor_id == vendor_id))
    return db.session.scalar(
        statement.where(
            TierPrice.tier_id == tier_id,
            TierPrice.cycle == cycle,
            TierPrice.currency == currency,
            TierPrice.vendor_id.is_(None),
        )
    )


def _amount(row: TierPrice) -> Money:
    return Money(row.amount_minor, row.currency)


def _close(row: TierPrice | AddonPrice, now: datetime) -> None:
    """End a price; at once in the database, so that the one-live-price index lets the next one in."""
    row.valid_until = max(now, row.valid_from)
    db.session.flush()

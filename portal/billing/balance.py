"""Money a vendor has with the operator outside Stripe: overpaid, or credited for unused time."""

from datetime import datetime

from sqlalchemy import select

from portal.billing.models import BalanceEntry
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.money import Money
from portal.kit.text import N_


def balance(vendor_id: int, currency: str) -> Money:
    """What the vendor has in this currency; never below zero."""
    newest = db.session.scalar(
        select(BalanceEntry.balance_after_minor)
        .where(BalanceEntry.vendor_id == vendor_id, BalanceEntry.currency == currency)
        .order_by(BalanceEntry.id.desc())
        .limit(1)
    )
    return Money(newest or 0, currency)


def add(
    vendor_id: int,
    amount: Money,
    *,
    cause: str,
    description: str,
    actor_label: str,
    now: datetime,
    invoice_id: int | None = None,
) -> None:
    """Add to the balance (less than zero: take from it). Once per ``cause``; nothing for zero.

    The caller holds the vendor's lock. Conflict when there is not as much to take.
    """
    if amount.minor == 0 or _known(vendor_id, cause):
        return
    after = balance(vendor_id, amount.currency) + amount
    if after.minor < 0:
        raise Conflict(N_("The balance is not as large as that."), code="balance_too_small")
    entry = BalanceEntry(
        vendor_id=vendor_id,
        currency=amount.currency,
        amount_minor=amount.minor,
        balance_after_minor=after.minor,
        cause=cause,
        description=description,
        invoice_id=invoice_id,
        actor_label=actor_label[:120],
        at=now,
    )
    db.session.add(entry)
    db.session.flush()


def _known(vendor_id: int, cause: str) -> bool:
    found = select(BalanceEntry.id).where(BalanceEntry.vendor_id == vendor_id, BalanceEntry.cause == cause)
    return db.session.scalar(found) is not None

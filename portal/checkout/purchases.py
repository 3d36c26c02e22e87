"""What was bought: orders that were fulfilled, and changes of the tier that cost something at once (BIL-6)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.catalog import queries as catalog
from portal.checkout.models import Purchase
from portal.kit import paging
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.paging import Page
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.rules import ChangeState, When

#: Rows of a page.
SIZE = 25


def record_change(change_id: int) -> bool:
    """Write the purchase of an applied change that was paid for; False where nothing was. Its job runs it once.

    The amount is what was due for it, with tax and after the balance; a change at the next cycle is no purchase.
    """
    row = db.session.execute(
        select(TierChange, VendorSubscription.provider)
        .join(VendorSubscription, VendorSubscription.id == TierChange.subscription_id)
        .where(TierChange.id == change_id)
        .execution_options(populate_existing=True)
    ).one()
    change: TierChange = row[0]
    if change.state != ChangeState.APPLIED or change.when_to_apply != When.NOW or not (change.due_minor or 0) > 0:
        return False
    price = catalog.price(change.to_price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    db.session.add(
        Purchase(
            vendor_id=change.vendor_id,
            kind="tier_change",
            tier_id=tier.id if tier else None,
            stripe_price_id=price.stripe_price_id if price else None,
            description=tier.name if tier else "",
            currency=change.currency,
            amount_minor=change.due_minor,
            provider=row.provider,
            details={"change": change.id},
            paid_at=change.finished_at,
        )
    )
    return True


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase as its list shows it; ``price_id`` is Stripe's where it was bought there."""

    id: int
    kind: str
    description: str
    amount: Money
    provider: str
    price_id: str | None
    paid_at: datetime


def of_vendor(vendor_id: int, cursor: str | None = None) -> Page[Bought]:
    """A page of the vendor's purchases, newest first; one statement. NotFound for a cursor that nobody made."""
    paging.check(cursor, (datetime, int))
    columns = (
        Purchase.id, Purchase.kind, Purchase.description, Purchase.currency, Purchase.amount_minor, Purchase.provider,
        Purchase.stripe_price_id, Purchase.paid_at,
    )  # fmt: skip
    statement = select(*columns).where(Purchase.vendor_id == vendor_id)
    found = paging.fetch(statement, ((Purchase.paid_at, "desc"), (Purchase.id, "desc")), cursor, SIZE)
    rows = [
        Bought(r.id, r.kind, r.description, Money(r.amount_minor, r.currency), r.provider, r.stripe_price_id, r.paid_at)
        for r in found.rows
    ]
    return Page(rows, found.previous, found.next)

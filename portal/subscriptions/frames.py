"""Whatever changes a subscription changes the frame of the vendor's rights with it, in the same flush.

The gate asks one row beside the grants: standing, period, until when anything may be created, until when the product
is open. A status is set in a dozen verbs, a period in more, and a verb that forgot to pass it on would leave the gate
open to somebody who owes. So no verb does: the session does, whenever it writes a subscription. What the session does
not see (an UPDATE sent past it) is refused by a test.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from portal.entitlements import service as entitlements
from portal.kit import clock
from portal.subscriptions import rules
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status

#: What the frame is made of.
FRAMED = ("status", "past_due_since", "period_start", "period_end", "ended_at")


@event.listens_for(Session, "after_flush")
def _follow(session: Session, *_: Any) -> None:
    """After the rows are there, while the session still knows what changed. One that has ended comes first."""
    written = [row for row in (*session.dirty, *session.new) if isinstance(row, VendorSubscription)]
    for row in sorted(written, key=lambda row: row.ended_at is None):
        if row in session.new or any(inspect(row).attrs[name].history.has_changes() for name in FRAMED):
            keep(row, clock.business())


def keep(subscription: VendorSubscription, now: datetime) -> None:
    """Bring the frame in step; a product that closes is closed from ``now`` on, one that was closed stays so."""
    status = Status(subscription.status) if subscription.ended_at is None else None
    entitlements.keep_frame(
        subscription.vendor_id,
        standing=status,
        period_start=subscription.period_start,
        period_end=subscription.period_end,
        create_until=rules.creates_until(status, subscription.past_due_since),
        open_until=None if status is not None and rules.is_open(status) else now,
    )

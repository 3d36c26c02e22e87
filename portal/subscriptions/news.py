"""What programs are told of a subscription and of credits by webhook (API-3).

A subscription changes in several steps of one transaction, so its news is a job (``history.note`` writes it) that tells
what is true when it runs; ``version`` puts them in order. A movement of credits is complete in itself and told at once.
"""

from datetime import datetime
from typing import Any

from portal.credits import book
from portal.credits.models import CreditTransaction
from portal.credits.rules import EntryKind
from portal.kit import clock
from portal.kit.db import db
from portal.notifications import webhooks
from portal.subscriptions.history import CHANGED
from portal.subscriptions.models import VendorSubscription

CREDITS = "credits.changed"


def publish(subscription_id: int, version: int, change: str) -> int:
    """Tell how the subscription stands now; gives how many endpoints. Repeatable."""
    row = db.session.get_one(VendorSubscription, subscription_id, populate_existing=True)
    return webhooks.publish(
        CHANGED, vendor_id=row.vendor_id, event_id=f"subscription:{subscription_id}:{version}",
        data={"change": change, **_facts(row)}, now=clock.business(),
    )  # fmt: skip


def _facts(row: VendorSubscription) -> dict[str, Any]:
    price = row.price
    return {
        "subscription": row.id,
        "version": row.version,
        "status": row.status,
        "tier": row.tier_code,
        "cycle": price.cycle if price else None,
        "amount_minor": price.amount_minor if price else None,
        "currency": price.currency if price else None,
        "provider": row.provider,
        "trial_ends_at": _iso(row.trial_ends_at),
        "period_start": _iso(row.period_start),
        "period_end": _iso(row.period_end),
        "cancel_at_period_end": row.cancel_at_period_end,
        "past_due_since": _iso(row.past_due_since),
        "ended_at": _iso(row.ended_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def credits_moved(entry: CreditTransaction, now: datetime) -> None:
    """A movement was written. What is used is not told one by one: whoever uses it has the balance in the answer."""
    if entry.kind == EntryKind.USAGE:
        return
    data = {"entry": entry.id, "kind": entry.kind, "amount": entry.amount, "balance": entry.balance_after,
            "description": entry.description}  # fmt: skip
    webhooks.publish(CREDITS, vendor_id=entry.vendor_id, event_id=f"credits:{entry.id}", data=data, now=now)


book.tell(credits_moved)

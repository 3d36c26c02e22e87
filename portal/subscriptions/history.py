"""Writing the history of a subscription (SUB-12) and locking what is about to change."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from portal.identity.models import Vendor
from portal.kit import outbox
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.text import N_
from portal.notifications import webhooks
from portal.subscriptions.models import SubscriptionEvent, VendorSubscription
from portal.subscriptions.states import Event, allowed

#: What changes which tier a vendor has, or whether it is open: rooms above listen.
MOVES = frozenset({"trial_started", "tier_changed", "status_changed"})
#: What programs may have to act on: they are told by webhook.
TOLD = MOVES | {
    "trial_extended", "trial_ended", "period_started", "payment_added", "price_agreed", "change_scheduled",
    "change_undone", "change_applied", "cancel_requested", "cancellation_changed", "resumed",
}  # fmt: skip
CHANGED = "subscription.changed"


def lock(vendor_id: int) -> VendorSubscription:
    """The vendor's live subscription, read anew, with vendor and subscription locked in that order.

    NotFound when the vendor has none.
    """
    subscription = lock_if_any(vendor_id)
    if subscription is None:
        raise NotFound
    return subscription


def lock_if_any(vendor_id: int) -> VendorSubscription | None:
    """Like ``lock``, None when the vendor has no subscription yet."""
    db.session.execute(_VENDOR, {"vendor": vendor_id})
    found: VendorSubscription | None = db.session.scalar(_LIVE, {"vendor": vendor_id})
    return found


#: Built once: every event about a subscription asks them.
_VENDOR = select(Vendor.id).where(Vendor.id == bindparam("vendor")).with_for_update()
_LIVE = (
    select(VendorSubscription)
    .where(VendorSubscription.vendor_id == bindparam("vendor"), VendorSubscription.ended_at.is_(None))
    .with_for_update()
    .execution_options(populate_existing=True)
)


def expect_version(subscription: VendorSubscription, version: int) -> None:
    """Conflict when somebody changed the subscription since ``version`` was shown."""
    if subscription.version != version:
        raise Conflict


def refuse_unless(subscription: VendorSubscription, event: Event, actor: Actor) -> None:
    """Conflict (``not_in_this_state``) when the table of states does not let this actor do this now."""
    if not allowed(subscription.status, event, actor.kind):
        raise Conflict(
            N_("This cannot be done as the subscription stands now. Look at it again, then decide."),
            code="not_in_this_state",
        )


def note(
    subscription: VendorSubscription,
    kind: str,
    *,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    **data: Any,
) -> None:
    """Write one line of history and count the change."""
    subscription.version += 1
    if kind in MOVES:
        outbox.emit("subscription.moved", dedupe_key=f"{subscription.id}:{subscription.version}",
                    vendor_id=subscription.vendor_id, vendor=subscription.vendor_id)  # fmt: skip
    if kind in TOLD and webhooks.listened_to(CHANGED, subscription.vendor_id):
        outbox.enqueue(
            "subscriptions.publish", dedupe_key=f"subscriptions.publish:{subscription.id}:{subscription.version}",
            vendor_id=subscription.vendor_id, subscription_id=subscription.id, version=subscription.version,
            change=kind,
        )  # fmt: skip
    db.session.add(
        SubscriptionEvent(
            vendor_id=subscription.vendor_id,
            subscription_id=subscription.id,
            kind=kind,
            data=data,
            reason=reason,
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_label=actor.label,
            at=now,
        )
    )

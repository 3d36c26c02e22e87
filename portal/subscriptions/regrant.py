"""Giving vendors what their tier grants today: a tier that was reshaped reaches them only when it is granted anew."""

from datetime import datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.entitlements import queries as entitlements
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.subscriptions import dunning
from portal.subscriptions.history import lock_if_any, note
from portal.subscriptions.models import VendorSubscription


def vendors() -> list[int]:
    """Every vendor with a subscription, by id; across vendors."""
    statement = select(VendorSubscription.vendor_id).where(VendorSubscription.ended_at.is_(None))
    return list(db.session.scalars(statement.order_by(VendorSubscription.vendor_id)))


def regrant(vendor_id: int, *, now: datetime) -> bool:
    """Bring one vendor's rights in step with its tier; False when they were. Add-ons and overrides stay.

    Nothing is given to whom the product is closed. Inside the caller's unit of work; locks vendor and subscription.
    """
    subscription = lock_if_any(vendor_id)
    if subscription is None:
        return False
    before = entitlements.rights(vendor_id, now).version
    dunning.grant(subscription, now)
    after = entitlements.rights(vendor_id, now).version
    if after == before:
        return False
    note(subscription, "rights_granted", actor=SYSTEM, now=now, tier=subscription.tier_code)
    audit.record(SYSTEM, "entitlements.granted", vendor_id=vendor_id, data={"tier": subscription.tier_code}, now=now)
    return True

"""The appointments that a subscription's state implies; asked after every change, so none is forgotten or stale."""

from portal.sandbox.periods import DAY
from portal.sandbox.tx import Doc, Tx

LIVE = ("trialing", "active", "past_due", "unpaid")
KINDS = ("renew", "cancel", "trial_will_end", "upcoming", "lapse", "incomplete_expiry")
TRIAL_NOTICE = 3 * DAY
RENEWAL_NOTICE = 7 * DAY
INCOMPLETE_FOR = 23 * 3_600


def appoint(tx: Tx, subscription: Doc) -> None:
    """Replace the subscription's appointments by what follows from its state."""
    ident = subscription["id"]
    for kind in KINDS:
        tx.unschedule(kind, ident)
    if subscription["status"] == "incomplete":
        tx.schedule(subscription["created"] + INCOMPLETE_FOR, "incomplete_expiry", ident)
    if subscription["status"] not in LIVE:
        return
    start, end = period(subscription)
    if subscription["pending_update"]:  # before the renewal of the same second, which must not find it any more
        tx.schedule(subscription["pending_update"]["expires_at"], "lapse", ident)
    tx.schedule(end, "renew", ident)
    if subscription["cancel_at"] and subscription["cancel_at"] < end:
        tx.schedule(subscription["cancel_at"], "cancel", ident)
    _notices(tx, subscription, start, end)


def _notices(tx: Tx, subscription: Doc, start: int, end: int) -> None:
    ident, told = subscription["id"], subscription["_private"]["told"]
    if subscription["status"] == "trialing" and told.get("trial_will_end") != end:
        tx.schedule(max(tx.now, end - TRIAL_NOTICE), "trial_will_end", ident)
    ends = subscription["cancel_at"] is not None and subscription["cancel_at"] <= end
    if end - start > RENEWAL_NOTICE and not ends and told.get("upcoming") != end:
        tx.schedule(max(tx.now, end - RENEWAL_NOTICE), "upcoming", ident)


def period(subscription: Doc) -> tuple[int, int]:
    """The current period: the latest start and the earliest end of its items, which renew on their own dates."""
    return span(subscription["items"]["data"])


def span(items: list[Doc]) -> tuple[int, int]:
    """What the periods of these items have in common."""
    return max(item["current_period_start"] for item in items), min(item["current_period_end"] for item in items)

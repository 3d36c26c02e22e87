"""Which mails a subscription's life sends. Each names its cause, so each goes out once."""

from datetime import datetime
from typing import Any

from portal.billing.models import Invoice
from portal.catalog.rules import Tier
from portal.identity import queries as identity
from portal.kit.money import Money
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.subscriptions.models import TierChange, VendorSubscription


def _send(kind: str, vendor_id: int, cause: str, now: datetime, **params: Any) -> None:
    """To the vendor's owner; ``cause`` within the vendor makes the mail unique."""
    owner, vendor = identity.owner(vendor_id), identity.vendor(vendor_id)
    if vendor is None:
        return
    notifications.send(
        kind,
        Recipient(owner.email, owner.name, owner.locale),
        dedupe_key=f"{kind}:{vendor_id}:{cause}",
        vendor_id=vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        **params,
    )


def plain(amount: Money) -> dict[str, Any]:
    """Money as a mail's parameters carry it."""
    return {"minor": amount.minor, "currency": amount.currency}


def trial_started(subscription: VendorSubscription, tier: Tier, now: datetime) -> None:
    """Welcome: what is included, until when."""
    _send("welcome", subscription.vendor_id, "start", now, tier=tier.name, ends_at=_iso(subscription.trial_ends_at),
          credits=tier.included_credits)  # fmt: skip


def trial_ending(subscription: VendorSubscription, days: int, now: datetime) -> None:
    """7, 3 or 1 days before the end; an extended trial has reminders of its own."""
    ends = _iso(subscription.trial_ends_at)
    _send("trial_ending", subscription.vendor_id, f"{ends}:{days}", now, days=days, ends_at=ends)


def trial_ended(subscription: VendorSubscription, now: datetime) -> None:
    """The product is closed; nothing is lost."""
    ends = _iso(subscription.trial_ends_at)
    _send("trial_ended", subscription.vendor_id, ends, now, ended_at=ends)


def trial_extended(subscription: VendorSubscription, ends: datetime, now: datetime) -> None:
    """More days were given."""
    _send("trial_extended", subscription.vendor_id, ends.isoformat(), now, ends_at=ends.isoformat())


def trial_card_used(subscription: VendorSubscription, now: datetime) -> None:
    """The card had a trial before: the rest of this one ends."""
    _send("trial_card_used", subscription.vendor_id, str(subscription.stripe_subscription_id), now)


def activated(
    subscription: VendorSubscription, tier: str, amount: Money, first_charge_at: datetime, now: datetime
) -> None:
    """A payment method was added; when the first charge comes."""
    _send("subscription_active", subscription.vendor_id, str(subscription.stripe_subscription_id), now, tier=tier,
          amount=plain(amount), first_charge_at=first_charge_at.isoformat())  # fmt: skip


def receipt(invoice: Invoice, now: datetime) -> None:
    """Money came in."""
    _send("receipt", invoice.vendor_id, str(invoice.stripe_invoice_id), now, number=invoice.number or "",
          total=plain(Money(invoice.total_minor, invoice.currency)),
          paid=plain(Money(invoice.paid_minor, invoice.currency)), issued_at=invoice.issued_at.isoformat())  # fmt: skip


def payment_failed(invoice: Invoice, now: datetime) -> None:
    """The first attempt to collect an invoice failed (day 0 of SUB-8)."""
    _send("payment_failed", invoice.vendor_id, str(invoice.stripe_invoice_id), now, number=invoice.number or "",
          amount=plain(Money(invoice.due_minor, invoice.currency)),
          next_attempt_at=_iso(invoice.next_attempt_at) if invoice.next_attempt_at else None)  # fmt: skip


def tier_changed(change: TierChange, before: str, after: str, due: Money, now: datetime) -> None:
    """The tier is another one now, and what that cost."""
    _send("tier_changed", change.vendor_id, str(change.id), now, before=before, after=after, by=change.actor_label,
          due=plain(due))  # fmt: skip


def change_scheduled(change: TierChange, after: str, now: datetime) -> None:
    """The tier will be another one from a date on."""
    _send("change_scheduled", change.vendor_id, str(change.id), now, after=after, by=change.actor_label,
          effective_at=change.effective_at.isoformat())  # fmt: skip


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""

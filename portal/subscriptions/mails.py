"""Which mails a subscription's life sends. Each names its cause, so each goes out once."""

from datetime import datetime
from typing import Any

from sqlalchemy import column, select, table

from portal.billing import details
from portal.billing.models import Invoice
from portal.billing.queries import InvoiceRow
from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Tier
from portal.identity import queries as identity
from portal.kit.db import db
from portal.kit.money import Money
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.settings import queries as settings
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.rules import Ended, Provider

#: What is about an invoice or its money goes where the vendor wants invoices.
ABOUT_MONEY = frozenset(
    {"receipt", "transfer_instructions", "transfer_received", "transfer_approved", "transfer_rejected"}
)

#: Add-ons belong to a room above; which kinds a vendor has is all that a mail needs of them.
_addons = table("vendor_addons", column("vendor_id"), column("addon_id"), column("status"))
#: Ending one deletes what cannot be made again: mail, and a certificate's private key.
_DELETED_WITH = ("mailboxes", "certificate")


def _send(kind: str, vendor_id: int, key: str, now: datetime, **params: Any) -> None:
    """To the vendor's owner (ABOUT_MONEY: where invoices go); ``key`` names the cause within the vendor and makes the
    mail unique.
    """
    owner, vendor = identity.owner(vendor_id), identity.vendor(vendor_id)
    if vendor is None:
        return
    to = details.of(vendor).email if kind in ABOUT_MONEY else ""
    notifications.send(
        kind,
        Recipient(to or owner.email, owner.name, owner.locale),
        dedupe_key=f"{kind}:{vendor_id}:{key}",
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


def trial_ending(subscription: VendorSubscription, days: int, now: datetime, *, awaited: bool) -> None:
    """7, 3 or 1 days before the end; an extended trial has reminders of its own. ``awaited``: a transfer is."""
    ends = _iso(subscription.trial_ends_at)
    _send("trial_ending", subscription.vendor_id, f"{ends}:{days}", now, days=days, ends_at=ends, awaited=awaited)


def trial_ended(subscription: VendorSubscription, now: datetime, *, awaited: bool) -> None:
    """The product is closed; nothing is lost. ``awaited``: a bank transfer opens it when it arrives."""
    ends = _iso(subscription.trial_ends_at)
    _send("trial_ended", subscription.vendor_id, ends, now, ended_at=ends, awaited=awaited)


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
    _send("receipt", invoice.vendor_id, str(invoice.stripe_invoice_id), now, invoice_id=invoice.id,
          number=invoice.number or "", total=plain(Money(invoice.total_minor, invoice.currency)),
          paid=plain(Money(invoice.paid_minor, invoice.currency)), issued_at=invoice.issued_at.isoformat())  # fmt: skip


def overdue(
    subscription: VendorSubscription, invoice: InvoiceRow | None, day: int, closes_at: datetime, now: datetime
) -> None:
    """Day 0, 3, 5 or 7 of an unpaid invoice (SUB-8); ``closes_at`` is when the product closes unless it is paid."""
    asked = invoice.due if invoice else _price(subscription)
    if asked is None:
        return
    cause, number = f"{_iso(subscription.past_due_since)}:{day}", (invoice.number if invoice else None) or ""
    confirm = bool(invoice and invoice.needs_confirmation)
    if day == 0 and subscription.provider == Provider.STRIPE:
        next_attempt = invoice.next_attempt_at if invoice else None
        _send("payment_failed", subscription.vendor_id, cause, now, number=number, amount=plain(asked),
              next_attempt_at=_iso(next_attempt) if next_attempt else None, confirm=confirm)  # fmt: skip
    else:
        _send("payment_reminder", subscription.vendor_id, cause, now, number=number, amount=plain(asked), day=day,
              closes_at=closes_at.isoformat(), provider=str(subscription.provider), confirm=confirm)  # fmt: skip


def suspended(subscription: VendorSubscription, invoice: InvoiceRow | None, now: datetime) -> None:
    """The product is closed, and what opens it again."""
    cause = _iso(subscription.past_due_since or now)
    _send("suspended", subscription.vendor_id, cause, now, number=(invoice.number if invoice else None) or "",
          amount=plain(invoice.due) if invoice else None,
          confirm=bool(invoice and invoice.needs_confirmation))  # fmt: skip


def reactivated(subscription: VendorSubscription, since: datetime | None, now: datetime) -> None:
    """Paid: everything is open again. ``since``: when it began to be owed."""
    _send("reactivated", subscription.vendor_id, _iso(since or now), now, tier=_tier(subscription))


def cancel_scheduled(subscription: VendorSubscription, by: str, now: datetime) -> None:
    """Cancelled for the end of the period: until when everything stays open."""
    ends = subscription.cancel_at or subscription.period_end
    _send("cancel_scheduled", subscription.vendor_id, _iso(subscription.cancelled_at), now, tier=_tier(subscription),
          by=by, deleted=_deleted_with(subscription.vendor_id), ends_at=ends.isoformat())  # fmt: skip


def cancelled(
    subscription: VendorSubscription, by: str, cause: str, now: datetime, *, credit: Money | None = None
) -> None:
    """The subscription has ended: because somebody asked for it (``asked``), or unpaid (``unpaid``).

    ``credit``: what was paid for and is unused, kept for the vendor.
    """
    which = f"{subscription.stripe_subscription_id or subscription.id}:{_iso(subscription.cancelled_at)}"
    _send("cancelled", subscription.vendor_id, which, now, tier=_tier(subscription), by=by, cause=cause,
          deleted=_deleted_with(subscription.vendor_id), ended_at=now.isoformat(),
          credit=plain(credit) if credit else None)  # fmt: skip


def _deleted_with(vendor_id: int) -> list[str]:
    """The kinds of add-ons that the vendor has and that are deleted when they end."""
    kinds = (
        select(AddonProduct.provisioning)
        .join(_addons, _addons.c.addon_id == AddonProduct.id)
        .where(_addons.c.vendor_id == vendor_id, _addons.c.status != "cancelled")
        .where(AddonProduct.provisioning.in_(_DELETED_WITH))
    )
    return sorted(set(db.session.scalars(kinds)))


def credit_at_stripe(subscription: VendorSubscription) -> Money | None:
    """What stands on the vendor's balance at Stripe, in the currency of its plan; None for nothing."""
    price = _price(subscription)
    if price is None or subscription.stripe_credit_minor <= 0:
        return None
    return Money(subscription.stripe_credit_minor, price.currency)


def resumed(subscription: VendorSubscription, by: str, cause: str, now: datetime) -> None:
    """The cancellation was taken back; ``cause`` tells one taking back from another."""
    _send("resumed", subscription.vendor_id, cause, now, tier=_tier(subscription), by=by,
          continues_at=subscription.period_end.isoformat())  # fmt: skip


def tier_changed(change: TierChange, before: str, after: str, due: Money, now: datetime) -> None:
    """The tier is another one now, and what that cost."""
    _send("tier_changed", change.vendor_id, str(change.id), now, before=before, after=after, by=change.actor_label,
          due=plain(due))  # fmt: skip


def change_scheduled(change: TierChange, after: str, now: datetime) -> None:
    """The tier will be another one from a date on."""
    _send("change_scheduled", change.vendor_id, str(change.id), now, after=after, by=change.actor_label,
          effective_at=change.effective_at.isoformat())  # fmt: skip


def _tier(subscription: VendorSubscription) -> str:
    tier = catalog.tier_by_id(subscription.tier_id) if subscription.tier_id else None
    return tier.name if tier else subscription.tier_code


def _price(subscription: VendorSubscription) -> Money | None:
    price = catalog.price(subscription.price_id) if subscription.price_id else None
    return price.amount if price else None


def change_failed(change: TierChange, after: str, why: Ended, now: datetime) -> None:
    """A change that was confirmed did not happen, and nobody on the vendor's side asked for that."""
    _send("change_failed", change.vendor_id, str(change.id), now, after=after, reason=str(why))


def change_failed_for_staff(change: TierChange, after: str, now: datetime) -> None:
    """The operator retired a tier that somebody was about to change to."""
    operator, vendor = settings.current(), identity.vendor(change.vendor_id)
    if not operator.support_email or vendor is None:
        return
    notifications.send(
        "change_failed_staff",
        Recipient(operator.support_email, operator.name, "en"),
        dedupe_key=f"change_failed_staff:{change.id}",
        vendor_id=change.vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        after=after,
    )


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""

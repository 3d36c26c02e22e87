"""What an end at once gives back where the plan is paid by transfer: the rest of what was paid for it (SUB-7).

Stripe does the same for cards. Add-ons go on for as long as they are paid for, so nothing of theirs is given back.
"""

from datetime import datetime

from sqlalchemy import func, select

from portal.billing import balance, papers
from portal.billing.models import CreditNote, Invoice
from portal.billing.papers import NewLine
from portal.billing.rules import InvoiceStatus
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.money import Money
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.proration import Period, second, unused

#: Why our invoices of a tier are written, in Stripe's words for it.
_OF_TIERS = ("subscription_create", "subscription_cycle", "subscription_update")


def credit_rest(subscription: VendorSubscription, tier_name: str, *, actor: Actor, now: datetime) -> int:
    """Credit notes for the time that was paid for and is not used, and the money on the vendor's balance.

    Once per invoice; gives what all of them come to, with tax. The caller holds the subscription's lock.
    """
    given = 0
    for invoice in _paid_ahead(subscription.vendor_id, now):
        before = papers.notes_of(invoice)
        left = invoice.subtotal_minor - sum(note.subtotal_minor for note in before)
        rest = left if invoice.applied_at is None else min(_rest(invoice, before, second(now)), left)
        if rest > 0:
            given += _credit(invoice, None if rest == left else rest, tier_name, actor=actor, now=now)
    return given


def paid_until(subscription: VendorSubscription) -> datetime | None:
    """The end of a coming period that is paid for already; None where none is."""
    return db.session.scalar(
        select(func.max(Invoice.period_end)).where(
            Invoice.vendor_id == subscription.vendor_id,
            Invoice.provider == "transfer",
            Invoice.status == InvoiceStatus.PAID,
            Invoice.reason.in_(_OF_TIERS),
            Invoice.applied_at.is_(None),
            Invoice.period_start >= subscription.period_end,
        )
    )


def _paid_ahead(vendor_id: int, now: datetime) -> list[Invoice]:
    """Paid invoices of the tier that reach beyond this moment, oldest first."""
    return list(
        db.session.scalars(
            select(Invoice)
            .where(
                Invoice.vendor_id == vendor_id,
                Invoice.provider == "transfer",
                Invoice.status == InvoiceStatus.PAID,
                Invoice.reason.in_(_OF_TIERS),
                Invoice.period_end > now,
            )
            .order_by(Invoice.id)
        )
    )


def _rest(invoice: Invoice, before: list[CreditNote], now: datetime) -> int:
    """The tier's part of an invoice for the time from now on, without tax; less what was credited of that time."""
    paid = sum(
        unused(line.amount_minor, Period(line.period_start, line.period_end), now)
        for line in invoice.lines
        if line.addon_price_id is None and line.period_start and line.period_end
    )
    return paid - sum(_still_to_come(kept, now) for note in before for kept in note.lines)


def _still_to_come(kept: dict[str, str], now: datetime) -> int:
    start, end = kept.get("period_start"), kept.get("period_end")
    if not start or not end:
        return 0
    period = Period(datetime.fromisoformat(start), datetime.fromisoformat(end))
    return unused(int(kept["amount_minor"]), period, now)


def _credit(invoice: Invoice, net: int | None, tier_name: str, *, actor: Actor, now: datetime) -> int:
    """``net`` None: all that is left of the invoice."""
    words = f"Unused time on {tier_name}"
    line = NewLine(words, net or 0, proration=True, period_start=second(now), period_end=invoice.period_end)
    cause = f"ended:{invoice.id}"
    noted = papers.credit(
        invoice, None if net is None else [line], reason=words, cause=cause, actor=actor, now=now
    )  # fmt: skip
    balance.add(
        invoice.vendor_id, Money(noted.total_minor, noted.currency), cause=cause, description=noted.number,
        actor_label=actor.label, now=now, invoice_id=invoice.id,
    )  # fmt: skip
    return noted.total_minor

"""From what Stripe says to what we hold: the mirror of a subscription, and the one verb for a paid period."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from portal.billing import queries as billing_queries
from portal.billing import service as billing
from portal.billing.models import Invoice, InvoiceLine
from portal.billing.rules import InvoiceStatus
from portal.billing.stripe_invoice import StripeInvoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Price, Tier
from portal.credits import service as credits
from portal.credits.rules import EntryKind, LotKind, lot_expiry
from portal.kit import outbox
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.errors import Conflict
from portal.kit.text import N_
from portal.subscriptions import changes, dunning, endings, mails
from portal.subscriptions.history import note
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import (
    Provider,
    Status,
    credits_for,
    effective_status,
    period_ending,
    prorated_credits,
)


def priced_tier(stripe_price_id: str) -> tuple[Price, Tier]:
    """The tier that a Stripe price stands for; Conflict when the catalog knows no such price."""
    price = catalog.price_by_stripe_id(stripe_price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    if price is None or tier is None:
        raise Conflict(N_("Stripe names a price that the catalog does not have: %(price)s"), price=stripe_price_id)
    return price, tier


def mirror(subscription: VendorSubscription, remote: Remote, *, actor: Actor = STRIPE, now: datetime) -> bool:
    """Make our subscription equal to Stripe's; True when anything differed. The caller holds the lock.

    The tier is granted on Stripe's word alone: the price of the item, which a change that waits for its payment has
    not touched yet. The state comes with what belongs to it: rights, mails, the end of credits.
    """
    price, tier = priced_tier(remote.stripe_price_id)
    wanted = {
        "provider": Provider.STRIPE,
        "tier_code": tier.code,
        "tier_id": tier.id,
        "price_id": price.id,
        "stripe_subscription_id": remote.id,
        "stripe_item_id": remote.item_id,
        "stripe_schedule_id": remote.schedule_id,
        "period_start": remote.period_start,
        "period_end": remote.period_end,
        "cancel_at_period_end": remote.leaving,
        "cancel_at": remote.ends_elsewhere,
        "trial_ends_at": remote.trial_end,
        "payment_method": remote.card.shown() if remote.card else subscription.payment_method,
        "stripe_credit_minor": _credit(subscription, remote),
    }
    before = {name: getattr(subscription, name) for name in wanted}
    differing = {name for name, value in wanted.items() if before[name] != value}
    for name in differing:
        setattr(subscription, name, wanted[name])
    moved = _stand(subscription, remote, actor, now)
    if not moved:
        dunning.grant(subscription, now, tier)
    _tell_history(subscription, differing, before, actor, now)
    _follow_ending(subscription, remote, differing, actor, now)
    changes.settle(subscription, remote, now)
    _keep_coming(subscription, remote)
    return moved or bool(differing)


def _credit(subscription: VendorSubscription, remote: Remote) -> int:
    return subscription.stripe_credit_minor if remote.credit_minor is None else remote.credit_minor


def _keep_coming(subscription: VendorSubscription, remote: Remote) -> None:
    """Have the schedule kept right, once for every state that Stripe shows: an add-on that came or went, also in Stripe
    itself, is not in the phases that were written before.
    """
    if remote.leaving or not (remote.planned or (remote.addon_items and remote.schedule_id)):
        return
    state = (subscription.version, remote.schedule_id, remote.stripe_price_id, remote.addon_items)
    outbox.enqueue(
        "subscriptions.keep_coming",
        dedupe_key=f"keep-coming:{subscription.id}:{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}",
        vendor_id=subscription.vendor_id,
        vendor=subscription.vendor_id,
    )


def _stand(subscription: VendorSubscription, remote: Remote, actor: Actor, now: datetime) -> bool:
    """Take over Stripe's state by the verb that it stands for; True when ours was another."""
    ours, status = subscription.status, effective_status(remote.status, subscription.status)
    if status == Status.PAST_DUE:
        dunning.fall_behind(subscription, since=_behind_since(subscription, now), now=now, actor=actor)
    elif status == Status.SUSPENDED:
        if remote.status == "unpaid" and subscription.past_due_since is None:
            subscription.past_due_since = _behind_since(subscription, now)
        dunning.suspend(subscription, now=now, actor=actor)
    elif status == Status.CANCELLED:
        _end(subscription, remote, actor, now)
    elif status == Status.ACTIVE and ours in dunning.BEHIND:
        dunning.recover(subscription, now=now, actor=actor)
    elif status != ours:
        subscription.status = status
        dunning.grant(subscription, now)
        note(subscription, "status_changed", actor=actor, now=now, before=str(ours), after=str(status))
    return subscription.status != ours


def _behind_since(subscription: VendorSubscription, now: datetime) -> datetime:
    """Stripe's date, so that the grace does not depend on when we hear of it."""
    stripe_id = str(subscription.stripe_subscription_id)
    return billing_queries.behind_since(subscription.vendor_id, stripe_id) or now


def _end(subscription: VendorSubscription, remote: Remote, actor: Actor, now: datetime) -> None:
    """The end; whoever of ours asked for it at once writes the mail, or not (``endings.confirmed``)."""
    announced = remote.leaving and now >= (remote.cancel_at or remote.period_end)
    asked_here = subscription.cancelled_at is not None and not announced
    unpaid = remote.cancel_reason == "payment_failed"
    why = "payment failed" if unpaid else None
    subscription.cancelled_at = subscription.cancelled_at or remote.canceled_at
    if endings.end(subscription, actor=actor, now=now, source=f"subscription:{remote.id}", why=why) and not asked_here:
        cause = "unpaid" if unpaid else "asked"
        mails.cancelled(subscription, "", cause, now, credit=mails.credit_at_stripe(subscription))


def _follow_ending(
    subscription: VendorSubscription, remote: Remote, differing: set[str], actor: Actor, now: datetime
) -> None:
    """Somebody cancelled, or took it back, in Stripe itself; what was asked for here is told by who asked."""
    if "stripe_subscription_id" in differing:
        endings.forget(subscription)
    elif "cancel_at_period_end" not in differing or subscription.status == Status.CANCELLED:
        return
    elif remote.leaving and subscription.cancelled_at is None:
        subscription.cancelled_at = remote.canceled_at or now
        subscription.cancel_feedback, subscription.cancel_comment = remote.cancel_feedback, remote.cancel_comment
        note(subscription, "cancellation_changed", actor=actor, now=now, at_period_end=True)
        mails.cancel_scheduled(subscription, "", now)
    elif not remote.leaving and subscription.cancelled_at is not None:
        cause = f"stripe:{subscription.cancelled_at.isoformat()}"
        endings.forget(subscription)
        note(subscription, "cancellation_changed", actor=actor, now=now, at_period_end=False)
        mails.resumed(subscription, "", cause, now)


def _tell_history(
    subscription: VendorSubscription, differing: set[str], before: dict[str, object], actor: Actor, now: datetime
) -> None:
    """One line per kind of change; a moved period alone counts as a renewal."""
    if "tier_code" in differing or "price_id" in differing:
        note(
            subscription,
            "tier_changed",
            actor=actor,
            now=now,
            before=str(before["tier_code"]),
            after=subscription.tier_code,
        )
    if "period_start" in differing and "stripe_subscription_id" not in differing:
        note(subscription, "period_started", actor=actor, now=now, start=subscription.period_start.isoformat(),
             end=subscription.period_end.isoformat())  # fmt: skip
    counted = (
        "payment_method stripe_schedule_id trial_ends_at period_end cancel_at_period_end cancel_at stripe_credit_minor"
    )
    if differing & set(counted.split()):
        subscription.version += 1


def keep_invoice(subscription: VendorSubscription, remote: StripeInvoice, *, now: datetime) -> Invoice:
    """Mirror an invoice, grant what it pays for, and send its receipt. The caller holds the lock."""
    invoice = billing.mirror(subscription.vendor_id, remote)
    if invoice.status == InvoiceStatus.PAID:
        apply_paid_period(subscription, invoice, now=now)
    return invoice


def keep_former(vendor_id: int, remote: StripeInvoice, *, now: datetime) -> None:
    """Mirror an invoice of a subscription that another one has followed. Paid now, it grants nothing any more (SUB-7);
    its receipt goes out. The caller holds the vendor's lock.
    """
    invoice = billing.mirror(vendor_id, remote)
    if invoice.status == InvoiceStatus.PAID and invoice.applied_at is None:
        _settle(invoice, now)


def apply_paid_period(subscription: VendorSubscription, invoice: Invoice, *, now: datetime) -> bool:
    """Grant what a paid invoice pays for: a period's credits, or an upgrade's share of them; exactly once (SUB-9).

    False when it was applied before. A line at the full price of its tier pays for a period; the empty line of a
    trial does not. What is paid after the end brings no credits any more (SUB-7): whoever lets a vendor come again
    sets the state first. The caller holds the locks of vendor, subscription and invoice.
    """
    if invoice.status != InvoiceStatus.PAID or invoice.applied_at is not None:
        return False
    for line in _lines(invoice):
        if (
            not line.proration
            and line.amount_minor == line.price.amount.minor * line.quantity
            and line.amount_minor > 0
        ):
            _renew(subscription, line, invoice, now)
    _grant_upgrade(subscription, invoice, now)
    _settle(invoice, now)
    return True


def _settle(invoice: Invoice, now: datetime) -> None:
    billing.mark_applied(invoice, now)
    if invoice.total_minor > 0 and invoice.provider == Provider.STRIPE:
        mails.receipt(invoice, now)  # a transfer is confirmed when it is approved, which may be weeks before


@dataclass(frozen=True, slots=True)
class PaidLine:
    """A line of a paid invoice, Stripe's or ours, with the price that it is for."""

    price: Price
    amount_minor: int
    quantity: int
    proration: bool
    period_start: datetime
    period_end: datetime


def _lines(invoice: Invoice) -> list[PaidLine]:
    return [
        PaidLine(price, i.amount_minor, i.quantity, i.proration, i.period_start, i.period_end)
        for i in invoice.lines
        if i.period_start and i.period_end and (price := _price_of(i))
    ]


def _price_of(line: InvoiceLine) -> Price | None:
    if line.price_id is not None:
        return catalog.price(line.price_id)
    return catalog.price_by_stripe_id(line.stripe_price_id) if line.stripe_price_id else None


def _renew(subscription: VendorSubscription, line: PaidLine, invoice: Invoice, now: datetime) -> None:
    tier = catalog.tier_by_id(line.price.tier_id)
    if tier is None or subscription.status == Status.CANCELLED:
        return
    credits.renew(
        subscription.vendor_id,
        credits_for(tier.included_credits, line.price.cycle),
        policy=tier.credit_policy,
        cap=tier.rollover_cap,
        source=f"period:{line.period_start.isoformat()}",
        period_end=line.period_end,
        description=N_("Included credits"),
        actor=_payer(invoice),
        now=now,
    )
    note(subscription, "period_paid", actor=_payer(invoice), now=now, invoice=invoice.number, tier=tier.code,
         start=line.period_start.isoformat(), end=line.period_end.isoformat())  # fmt: skip


def _payer(invoice: Invoice) -> Actor:
    """On whose word it is paid: Stripe's, or that of the approval, which history names on its own."""
    return STRIPE if invoice.provider == Provider.STRIPE else SYSTEM


def _grant_upgrade(subscription: VendorSubscription, invoice: Invoice, now: datetime) -> None:
    """Within a period an upgrade brings its share of the larger tier's credits, as its price was prorated."""
    prorated = [line for line in _lines(invoice) if line.proration and subscription.status != Status.CANCELLED]
    left = next((line for line in prorated if line.amount_minor < 0), None)
    joined = next((line for line in prorated if line.amount_minor > 0), None)
    if left is None or joined is None:
        return
    old, new = catalog.tier_by_id(left.price.tier_id), catalog.tier_by_id(joined.price.tier_id)
    if old is None or new is None:
        return
    start, end = _period_of(subscription, left, joined)
    amount = prorated_credits(
        credits_for(old.included_credits, left.price.cycle),
        credits_for(new.included_credits, joined.price.cycle),
        start,
        end,
        joined.period_start,
    )
    if amount > 0:
        credits.grant(
            subscription.vendor_id,
            amount,
            source=f"upgrade:{invoice.stripe_invoice_id or invoice.id}",
            kind=LotKind.GRANT,
            entry=EntryKind.GRANT,
            description=N_("Credits of the larger tier for the rest of the period"),
            expires_at=lot_expiry(new.credit_policy, end),
            actor=_payer(invoice),
            now=now,
        )


def _period_of(subscription: VendorSubscription, left: PaidLine, joined: PaidLine) -> tuple[datetime, datetime]:
    """The period in which the upgrade fell. Ours may be an older or a newer one: its event may come before the
    renewal's, or after the next. Then the line of the tier that was left says when the period ended.
    """
    if subscription.period_start <= joined.period_start < subscription.period_end:
        return subscription.period_start, subscription.period_end
    anchor = subscription.trial_ends_at or subscription.started_at
    return period_ending(left.period_end, anchor, 12 if left.price.cycle == Cycle.YEARLY else 1)

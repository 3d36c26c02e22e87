"""From what Stripe says to what we hold: the mirror of a subscription, and the one verb for a paid period."""

from dataclasses import dataclass
from datetime import datetime

from portal.billing import service as billing
from portal.billing.models import Invoice, InvoiceLine
from portal.billing.rules import InvoiceStatus
from portal.billing.stripe_invoice import StripeInvoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Price, Tier
from portal.credits import service as credits
from portal.credits.rules import EntryKind, LotKind, lot_expiry
from portal.entitlements import service as entitlements
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.errors import Conflict
from portal.kit.text import N_
from portal.subscriptions import changes, mails
from portal.subscriptions.history import note
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import FROM_STRIPE, Provider, Status, credits_for, is_open, prorated_credits


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
    not touched yet.
    """
    price, tier = priced_tier(remote.stripe_price_id)
    status = FROM_STRIPE[remote.status]
    wanted = {
        "provider": Provider.STRIPE,
        "status": status,
        "tier_code": tier.code,
        "tier_id": tier.id,
        "price_id": price.id,
        "stripe_subscription_id": remote.id,
        "stripe_item_id": remote.item_id,
        "stripe_schedule_id": remote.schedule_id,
        "period_start": remote.period_start,
        "period_end": remote.period_end,
        "cancel_at_period_end": remote.cancel_at_period_end,
        "trial_ends_at": remote.trial_end,
        "payment_method": remote.card.shown() if remote.card else subscription.payment_method,
    }
    before = {name: getattr(subscription, name) for name in wanted}
    differing = {name for name, value in wanted.items() if before[name] != value}
    for name in differing:
        setattr(subscription, name, wanted[name])
    if is_open(status):
        entitlements.replace_tier_grants(subscription.vendor_id, tier, now=now)
    else:
        entitlements.end_tier_grants(subscription.vendor_id, now=now)
    _tell_history(subscription, differing, before, actor, now)
    changes.settle(subscription, remote, now)
    return bool(differing)


def _tell_history(
    subscription: VendorSubscription, differing: set[str], before: dict[str, object], actor: Actor, now: datetime
) -> None:
    """One line per kind of change; a moved period alone counts as a renewal."""
    if "status" in differing and subscription.status == Status.CANCELLED:
        _end_credits(subscription, actor, now)
    if "status" in differing:
        note(
            subscription,
            "status_changed",
            actor=actor,
            now=now,
            before=str(before["status"]),
            after=str(subscription.status),
        )
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
    if "cancel_at_period_end" in differing:
        note(
            subscription, "cancellation_changed", actor=actor, now=now, at_period_end=subscription.cancel_at_period_end
        )
    if differing & {"payment_method", "stripe_schedule_id", "trial_ends_at", "period_end"}:
        subscription.version += 1


def keep_invoice(subscription: VendorSubscription, remote: StripeInvoice, *, now: datetime) -> Invoice:
    """Mirror an invoice, grant what it pays for, and send its mails. The caller holds the lock."""
    invoice = billing.mirror(subscription.vendor_id, remote)
    if invoice.status == InvoiceStatus.PAID:
        apply_paid_period(subscription, invoice, now=now)
    elif invoice.status == InvoiceStatus.OPEN and remote.attempted and invoice.reason == "subscription_cycle":
        mails.payment_failed(invoice, now)
    return invoice


def apply_paid_period(subscription: VendorSubscription, invoice: Invoice, *, now: datetime) -> bool:
    """Grant what a paid invoice pays for: a period's credits, or an upgrade's share of them; exactly once (SUB-9).

    False when it was applied before. A line at the full price of its tier pays for a period; the empty line of a
    trial does not. The caller holds the locks of vendor, subscription and invoice.
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
    billing.mark_applied(invoice, now)
    if invoice.total_minor > 0 and invoice.provider == Provider.STRIPE:
        mails.receipt(invoice, now)  # a transfer is confirmed when it is approved, which may be weeks before
    return True


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
    if tier is None:
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
    prorated = [line for line in _lines(invoice) if line.proration]
    left = next((line for line in prorated if line.amount_minor < 0), None)
    joined = next((line for line in prorated if line.amount_minor > 0), None)
    if left is None or joined is None:
        return
    old, new = catalog.tier_by_id(left.price.tier_id), catalog.tier_by_id(joined.price.tier_id)
    if old is None or new is None:
        return
    amount = prorated_credits(
        credits_for(old.included_credits, left.price.cycle),
        credits_for(new.included_credits, joined.price.cycle),
        subscription.period_start,
        subscription.period_end,
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
            expires_at=lot_expiry(new.credit_policy, subscription.period_end),
            actor=_payer(invoice),
            now=now,
        )


def _end_credits(subscription: VendorSubscription, actor: Actor, now: datetime) -> None:
    """Included credits last as long as the subscription; bought ones stay (SUB-7)."""
    source = f"subscription:{subscription.stripe_subscription_id}"
    credits.end_grants(subscription.vendor_id, source=source, actor=actor, now=now)

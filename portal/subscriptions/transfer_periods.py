"""Periods that are paid by transfer: asked for with a proforma of ours, begun when they are paid (SUB-9, SUB-10).

The verbs flush; the caller holds the locks of vendor and subscription. Where Stripe takes the money its mirror does
all this instead.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from portal.billing import papers, transfers
from portal.billing.models import Invoice
from portal.billing.papers import NewLine
from portal.billing.rules import InvoiceStatus
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Price, Tier
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.text import N_
from portal.subscriptions import dunning, endings, transfer_mails
from portal.subscriptions.history import note, refuse_unless
from portal.subscriptions.mirror import apply_paid_period
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.proration import Period, period_from, second
from portal.subscriptions.rules import Provider, Status
from portal.subscriptions.states import Event

#: Why an invoice of ours was written, in Stripe's words for it.
FIRST, RENEWAL, CHANGE = "subscription_create", "subscription_cycle", "subscription_update"


def ask(
    subscription: VendorSubscription,
    lines: Sequence[NewLine],
    currency: str,
    *,
    reason: str,
    due_at: datetime,
    now: datetime,
) -> Invoice:
    """Write a proforma, wait for its transfer, and tell the vendor how to pay.

    Where the vendor's balance covers all of it the invoice comes back paid, and nothing is waited for.
    """
    invoice = papers.issue_proforma(
        subscription.vendor_id, lines, currency, reason=reason, due_at=due_at, now=now
    )  # fmt: skip
    transfer = transfers.expect(invoice, due_at=due_at, now=now)
    if transfer is not None:
        transfer_mails.instructions(transfer, invoice, now)
    return invoice


def whole_period(tier: Tier, price: Price, period: Period) -> NewLine:
    """The line for a whole period at its full price."""
    return NewLine(
        tier.name, price.amount.minor, price_id=price.id, period_start=period.start, period_end=period.end
    )  # fmt: skip


def priced(price_id: int) -> tuple[Price, Tier]:
    """A price of the catalog with its tier; Conflict when there is none any more."""
    price = catalog.price(price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    if price is None or tier is None:
        raise Conflict(N_("The catalog does not have this price any more."), code="no_price")
    return price, tier


def upcoming(subscription: VendorSubscription) -> Invoice | None:
    """The invoice for the period after the present one, open or paid ahead, under a lock."""
    return db.session.scalar(
        select(Invoice)
        .where(
            Invoice.vendor_id == subscription.vendor_id,
            Invoice.provider == Provider.TRANSFER,
            Invoice.reason.in_((FIRST, RENEWAL)),
            Invoice.status.in_((InvoiceStatus.OPEN, InvoiceStatus.PAID)),
            Invoice.applied_at.is_(None),
            Invoice.period_start >= subscription.period_end,
        )
        .order_by(Invoice.id.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def take_over(
    subscription: VendorSubscription, invoice: Invoice, *, start: datetime | None, actor: Actor, now: datetime
) -> None:
    """The first invoice is paid: from now on the vendor pays by transfer, and its plan is open.

    What is left of a trial stays free: the paid period begins at its end, else now, or at ``start`` where staff set
    it (days before that are free). Credits come when the paid period begins.
    """
    now = second(now)
    refuse_unless(subscription, Event.ACTIVATE, actor)
    before = subscription.status
    free_until = subscription.trial_ends_at if before == Status.TRIAL else None
    begins = second(start or max(now, free_until or now))
    _redate(invoice, begins)
    _to_transfer(subscription)
    _take_price(subscription, invoice, actor, now)
    if begins > now:
        subscription.period_start, subscription.period_end = min(subscription.period_start, now), begins
    if free_until is not None and begins < free_until:
        subscription.trial_ends_at = begins
    subscription.anchor_at = begins
    subscription.status, subscription.past_due_since = Status.ACTIVE, None
    note(subscription, "status_changed", actor=actor, now=now, before=str(before), after=str(Status.ACTIVE))
    dunning.grant(subscription, now)
    note(subscription, "payment_added", actor=actor, now=now, method=str(Provider.TRANSFER),
         free_until=begins.isoformat() if begins > now else None)  # fmt: skip
    if begins <= now:
        begin(subscription, invoice, actor=actor, now=now)


def _to_transfer(subscription: VendorSubscription) -> None:
    """What an earlier life with Stripe left behind does not count any more."""
    subscription.provider, subscription.payment_method = Provider.TRANSFER, None
    subscription.stripe_subscription_id = subscription.stripe_item_id = subscription.stripe_schedule_id = None
    subscription.cancel_at_period_end, subscription.cancel_at = False, None
    endings.forget(subscription)


def renewal_paid(
    subscription: VendorSubscription, invoice: Invoice, *, start: datetime | None, actor: Actor, now: datetime
) -> None:
    """The invoice for the coming or the running period is paid: it begins at once if its time has come (SUB-9).

    Who paid so late that the whole period has passed gets one that begins now; staff may set its ``start``.
    """
    now = second(now)
    if start is not None:
        _redate(invoice, second(start))
    elif invoice.period_end is not None and invoice.period_end <= now:
        _redate(invoice, now)
    if invoice.period_start is not None and invoice.period_start <= now:
        begin(subscription, invoice, actor=actor, now=now)


def begin(subscription: VendorSubscription, invoice: Invoice, *, actor: Actor, now: datetime) -> bool:
    """A period that is paid for begins: tier, dates, rights, credits; False when it had begun before.

    Whoever was behind is opened again.
    """
    period = _period_of(invoice)
    if invoice.status != InvoiceStatus.PAID or invoice.applied_at is not None or period is None:
        return False
    _take_price(subscription, invoice, actor, now)
    subscription.period_start, subscription.period_end = period.start, period.end
    if subscription.anchor_at is None or _is_off(subscription.anchor_at, period, _cycle(invoice)):
        subscription.anchor_at = period.start
    note(subscription, "period_started", actor=actor, now=now, start=period.start.isoformat(),
         end=period.end.isoformat())  # fmt: skip
    dunning.recover(subscription, now=now, actor=actor)
    dunning.grant(subscription, now)
    apply_paid_period(subscription, invoice, now=now)
    db.session.flush()
    return True


def _is_off(anchor: datetime, period: Period, cycle: Cycle) -> bool:
    """Does the period not belong to those that are counted from the anchor?"""
    return anchor > period.start or period_from(anchor, period.start, cycle).end != period.end


def _take_price(subscription: VendorSubscription, invoice: Invoice, actor: Actor, now: datetime) -> None:
    price_id = next((line.price_id for line in invoice.lines if line.price_id and not line.proration), None)
    if price_id is None or price_id == subscription.price_id:
        return
    before = subscription.tier_code
    _, tier = priced(price_id)
    subscription.tier_code, subscription.tier_id, subscription.price_id = tier.code, tier.id, price_id
    note(subscription, "tier_changed", actor=actor, now=now, before=before, after=tier.code)


def _cycle(invoice: Invoice) -> Cycle:
    line = next(line for line in invoice.lines if line.price_id and not line.proration)
    return priced(line.price_id or 0)[0].cycle


def _period_of(invoice: Invoice) -> Period | None:
    line = next((i for i in invoice.lines if i.price_id and not i.proration), None)
    if line is None or line.period_start is None or line.period_end is None:
        return None
    return Period(line.period_start, line.period_end)


def _redate(invoice: Invoice, start: datetime) -> None:
    """Let the period that the invoice pays for begin at ``start``: known for certain only when it is paid."""
    period = period_from(start, start, _cycle(invoice))
    for line in invoice.lines:
        if (line.price_id or line.vendor_addon_id) and not line.proration:
            line.period_start, line.period_end = period.start, period.end
    invoice.period_start, invoice.period_end = period.start, period.end
    db.session.flush()

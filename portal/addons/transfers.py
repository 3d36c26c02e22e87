"""Add-ons that are paid by bank transfer: asked for with our own papers, renewed ahead of time, behind when unpaid.

What has the tier's interval and ends with its period is a line of the tier's renewal; everything else is invoiced on
its own. The verbs flush; the caller holds the locks of vendor and subscription.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.addons import mails, purchase, service
from portal.addons.models import VendorAddon
from portal.addons.purchase import Offer, offer
from portal.addons.rules import AddonStatus
from portal.addons.service import Paid
from portal.billing import service as billing
from portal.billing import transfers as money
from portal.billing.models import Invoice, InvoiceLine
from portal.billing.papers import NewLine
from portal.billing.rules import InvoiceStatus
from portal.catalog.rules import Cycle
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.money import Money
from portal.settings import queries as settings
from portal.subscriptions import transfer_periods, transfer_renewals
from portal.subscriptions.history import lock_if_any
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.proration import Period, period_from, second, unused
from portal.subscriptions.rules import Provider, Status
from portal.subscriptions.transfer_periods import priced

#: Why an invoice of an add-on was written.
FIRST, RENEWAL, CHANGE = "addon_create", "addon_cycle", "addon_update"
OURS = frozenset({FIRST, RENEWAL, CHANGE})


def described(found: Offer, detail: str) -> str:
    """How an invoice's line names an add-on."""
    return f"{found.product.name} ({detail})" if detail else found.product.name


def first(subscription: VendorSubscription, found: Offer, quantity: int, detail: str, at: datetime) -> NewLine:
    """The line that an add-on is begun with.

    At the tier's interval it is what is left of the running period, to the second; else a whole period of its own. What
    is left of free days is not prorated: a whole period then too.
    """
    at, whole = second(at), found.total(quantity).minor
    if goes_along(subscription, found.cycle, at):
        running = Period(subscription.period_start, subscription.period_end)
        return NewLine(described(found, detail), unused(whole, running, at), quantity, proration=True,
                       addon_price_id=found.price_id, period_start=at, period_end=running.end)  # fmt: skip
    own = period_from(at, at, found.cycle)
    return NewLine(described(found, detail), whole, quantity, addon_price_id=found.price_id,
                   period_start=own.start, period_end=own.end)  # fmt: skip


def goes_along(subscription: VendorSubscription, cycle: Cycle, at: datetime) -> bool:
    """Does an add-on of this interval share the running period of the tier?"""
    free = subscription.trial_ends_at is not None and subscription.trial_ends_at > at
    same = subscription.price_id is not None and priced(subscription.price_id)[0].cycle == cycle
    return same and not free and subscription.period_start <= at < subscription.period_end


def begun(line: InvoiceLine, found: Offer, now: datetime) -> Paid:
    """The period that a paid first line begins. What is paid late begins late: no day is lost."""
    start, end = line.period_start or now, line.period_end or now
    now = second(now)
    if not line.proration:
        own = period_from(now, now, found.cycle)
        start, end = own.start, own.end
    elif end <= now:
        start, end = now, now + (end - start)
    line.period_start, line.period_end = start, end
    # What shares the tier's period has no day of its own to count from.
    return Paid("transfer", found.price_id, start, end, None if line.proration else start)


@dataclass(frozen=True, slots=True)
class Due:
    """An add-on that time has brought something to; ``cause`` names it."""

    addon_id: int
    vendor_id: int
    cause: str


def due(now: datetime) -> Iterator[Due]:
    """Add-ons paid by transfer whose next period wants an invoice, or has come."""
    ahead = timedelta(days=settings.current().renewal_ahead_days)
    rows = db.session.execute(
        select(VendorAddon.id, VendorAddon.vendor_id, VendorAddon.period_end, VendorAddon.version).where(
            VendorAddon.provider == Provider.TRANSFER,
            VendorAddon.status != AddonStatus.CANCELLED,
            VendorAddon.period_end <= now + ahead,
        )
    )
    for row in rows:
        step = f"over {(now - row.period_end).days}" if row.period_end <= now else str((row.period_end - now).days)
        yield Due(row.id, row.vendor_id, f"{row.id}:{row.period_end.isoformat()}:{step}:{row.version}")


def tend(addon_id: int, vendor_id: int, *, now: datetime) -> None:
    """Invoice the next period, begin it when it is paid, fall behind and end when it is not; each once."""
    addon = service.locked(addon_id, vendor_id)
    subscription = lock_if_any(vendor_id)
    if addon.status == AddonStatus.CANCELLED or addon.provider != Provider.TRANSFER or addon.period_end is None:
        return
    if addon.cancel_at_period_end:
        _tend_ending(addon, now)
    elif not advance(addon, now=now):
        _ask_or_wait(addon, subscription, now)


def _tend_ending(addon: VendorAddon, now: datetime) -> None:
    withdraw_next(addon, now=now)
    if (addon.ends_at or addon.period_end or now) <= now:
        service.end(addon, "asked", actor=SYSTEM, now=now)


def _ask_or_wait(addon: VendorAddon, subscription: VendorSubscription | None, now: datetime) -> None:
    invoice = _invoice_of_next(addon)
    assert addon.period_end is not None
    if invoice is None and not _comes_with_tier(addon, subscription, now):
        invoice = renew(addon, now)
    late_from = max(addon.period_end, invoice.due_at or addon.period_end) if invoice is not None else now
    if invoice is None or invoice.status != InvoiceStatus.OPEN or late_from > now:
        return
    if invoice.reason != RENEWAL:
        return  # The tier's own invoice is unpaid: what follows is the subscription's (SUB-8).
    ends = late_from + timedelta(days=settings.current().grace_days)
    if ends <= now:
        money.withdraw(invoice, by=SYSTEM.label, reason=None, now=now)
        service.end(addon, "unpaid", actor=SYSTEM, now=now)
    elif service.fell_behind(addon, since=late_from, now=now):
        mails.unpaid(addon, Money(invoice.due_minor - invoice.paid_minor, invoice.currency), ends, now)


def _comes_with_tier(addon: VendorAddon, subscription: VendorSubscription | None, now: datetime) -> bool:
    """Will the tier's renewal have a line for it? Not once that is paid without one, nor when the tier ends."""
    if subscription is None or not along(addon, subscription):
        return False
    ahead = transfer_periods.upcoming(subscription)
    if ahead is not None and ahead.status == InvoiceStatus.PAID:
        return False
    if subscription.period_end > now:
        refresh(subscription, now=now)
        return True
    return subscription.status in (Status.PAST_DUE, Status.SUSPENDED)


def along(addon: VendorAddon, subscription: VendorSubscription) -> bool:
    """Is it renewed with the tier: same end, same interval, and the tier goes on by transfer?"""
    if subscription.provider != Provider.TRANSFER or subscription.cancel_at_period_end:
        return False
    if subscription.status == Status.CANCELLED or addon.period_end != subscription.period_end:
        return False
    price_id = transfer_renewals.next_price(subscription, subscription.period_start)
    return price_id is not None and priced(price_id)[0].cycle == next_offer(addon).cycle


def next_offer(addon: VendorAddon) -> Offer:
    """What the next period is paid at: the planned price, else today's."""
    price_id = addon.next_price_id or addon.price_id
    assert price_id is not None
    return offer(price_id)


def renew(addon: VendorAddon, now: datetime) -> Invoice:
    """Ask for the next period with a proforma of its own."""
    subscription = lock_if_any(addon.vendor_id)
    assert subscription is not None and addon.period_end is not None
    line = _whole(addon, addon.period_end)
    due_at = max(addon.period_end, now + timedelta(days=1))
    return transfer_periods.ask(
        subscription, [line], next_offer(addon).each.currency, reason=RENEWAL, due_at=due_at, now=now
    )


def renew_as(addon: VendorAddon, line: NewLine, now: datetime) -> Invoice:
    """Ask for ``line`` as the add-on's next period: what the tier included before and is kept."""
    subscription = lock_if_any(addon.vendor_id)
    assert subscription is not None
    asked = replace(line, vendor_addon_id=addon.id)
    days = timedelta(days=settings.current().transfer_days)
    currency = next_offer(addon).each.currency
    return transfer_periods.ask(subscription, [asked], currency, reason=RENEWAL, due_at=now + days, now=now)


def withdraw_next(addon: VendorAddon, *, now: datetime) -> None:
    """The next period is not asked for any more."""
    invoice = _invoice_of_next(addon)
    if invoice is not None and invoice.reason == RENEWAL and invoice.status == InvoiceStatus.OPEN:
        money.withdraw(invoice, by=SYSTEM.label, reason=None, now=now)


def _whole(addon: VendorAddon, start: datetime) -> NewLine:
    found, quantity = next_offer(addon), addon.next_quantity or addon.quantity
    own = period_from(addon.anchor_at or start, start, found.cycle)
    return NewLine(
        described(found, mails.detail(addon)), found.total(quantity).minor, quantity, addon_price_id=found.price_id,
        vendor_addon_id=addon.id, period_start=own.start, period_end=own.end,
    )  # fmt: skip


def beside(subscription: VendorSubscription, period: Period, currency: str) -> Sequence[NewLine]:
    """The lines of add-ons that the tier's renewal for ``period`` has; ``transfer_renewals`` asks for them."""
    lines = []
    for addon in _of_vendor(subscription.vendor_id):
        if addon.cancel_at_period_end or not along(addon, subscription):
            continue
        found, quantity = next_offer(addon), addon.next_quantity or addon.quantity
        if found.each.currency == currency:
            lines.append(NewLine(
                described(found, mails.detail(addon)), found.total(quantity).minor, quantity,
                addon_price_id=found.price_id, vendor_addon_id=addon.id, period_start=period.start,
                period_end=period.end,
            ))  # fmt: skip
    return lines


def _of_vendor(vendor_id: int) -> list[VendorAddon]:
    return list(
        db.session.scalars(
            select(VendorAddon)
            .where(
                VendorAddon.vendor_id == vendor_id,
                VendorAddon.provider == Provider.TRANSFER,
                VendorAddon.status != AddonStatus.CANCELLED,
                VendorAddon.period_end.is_not(None),
            )
            .order_by(VendorAddon.id)
            .execution_options(populate_existing=True)
        )
    )


def refresh(subscription: VendorSubscription, *, now: datetime) -> None:
    """Add-ons have changed: where the tier's next invoice is out and unpaid, it is asked anew with the right lines."""
    invoice = transfer_periods.upcoming(subscription)
    if invoice is None or invoice.status != InvoiceStatus.OPEN or invoice.paid_minor > 0:
        return
    line = next((line for line in invoice.lines if line.price_id), None)
    if line is None or line.period_start is None or line.period_end is None:
        return
    wanted = beside(subscription, Period(line.period_start, line.period_end), invoice.currency)
    present = {(i.vendor_addon_id, i.addon_price_id, i.quantity) for i in invoice.lines if i.vendor_addon_id}
    if present != {(i.vendor_addon_id, i.addon_price_id, i.quantity) for i in wanted}:
        money.withdraw(invoice, by=SYSTEM.label, reason=None, now=now)
        transfer_renewals.issue(subscription, now)


def _invoice_of_next(addon: VendorAddon) -> Invoice | None:
    """The invoice that has a line for the period after the present one, open or paid, under a lock."""
    return db.session.scalar(
        select(Invoice)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(
            Invoice.vendor_id == addon.vendor_id,
            InvoiceLine.vendor_addon_id == addon.id,
            InvoiceLine.period_start >= addon.period_end,
            Invoice.status.in_((InvoiceStatus.OPEN, InvoiceStatus.PAID)),
        )
        .order_by(Invoice.id.desc())
        .limit(1)
        .with_for_update(of=Invoice)
        .execution_options(populate_existing=True)
    )


def advance(addon: VendorAddon, *, now: datetime) -> bool:
    """Begin the next period when it is paid; False when it is not. Before its time it only waits: True."""
    invoice = _invoice_of_next(addon)
    if invoice is None or invoice.status != InvoiceStatus.PAID:
        return False
    service.caught_up(addon, now=now)
    line = next(line for line in invoice.lines if line.vendor_addon_id == addon.id)
    if line.period_start is None or line.period_start > now or line.addon_price_id is None:
        return True
    addon.period_start, addon.period_end = line.period_start, line.period_end
    found = offer(line.addon_price_id)
    service.resize(addon, found.price_id, found.variant, line.quantity, actor=SYSTEM, now=now, tell=False)
    addon.version += 1
    db.session.flush()
    return True


def paid(vendor_id: int, invoice: Invoice, *, actor: Actor, now: datetime) -> None:
    """An invoice with lines of add-ons is paid: a size that was waited for is there, periods begin that have come."""
    for line in [line for line in invoice.lines if line.vendor_addon_id]:
        addon = service.locked(line.vendor_addon_id or 0, vendor_id)
        if addon.status == AddonStatus.CANCELLED:
            continue
        if invoice.reason == CHANGE and invoice.applied_at is None and line.addon_price_id is not None:
            found = offer(line.addon_price_id)
            service.resize(addon, found.price_id, found.variant, line.quantity, actor=actor, now=now)
        elif invoice.reason != CHANGE:
            _redate(addon, line, invoice, now)
            advance(addon, now=now)
    if invoice.reason in OURS:
        billing.mark_applied(invoice, now)
    subscription = lock_if_any(vendor_id)
    if subscription is not None and subscription.provider == Provider.TRANSFER:
        refresh(subscription, now=now)


def _redate(addon: VendorAddon, line: InvoiceLine, invoice: Invoice, now: datetime) -> None:
    """Paid so late that the whole period has passed: one of the same length begins now (as for tiers)."""
    if invoice.reason == RENEWAL and line.period_end is not None and line.period_end <= now:
        own = period_from(second(now), second(now), next_offer(addon).cycle)
        line.period_start, line.period_end, addon.anchor_at = own.start, own.end, own.start
        db.session.flush()


def _running(addon: VendorAddon) -> Period:
    """The whole period that the price is for: the tier's where it began in the middle of that."""
    assert addon.period_start is not None and addon.period_end is not None
    subscription = purchase.subscription_of(addon.vendor_id)
    if subscription is not None and addon.period_end == subscription.period_end:
        return Period(min(addon.period_start, subscription.period_start), addon.period_end)
    return Period(addon.period_start, addon.period_end)


def raise_lines(addon: VendorAddon, found: Offer, quantity: int, at: datetime) -> list[NewLine]:
    """What a larger size or number costs for the rest of the running period: the old rest back, the new rest asked."""
    assert addon.price_id is not None
    running, at = _running(addon), second(at)
    before = offer(addon.price_id)
    back = unused(before.total(addon.quantity).minor, running, at)
    asked = unused(found.total(quantity).minor, running, at)
    return [
        NewLine(f"Unused time on {described(before, mails.detail(addon))}", -back, addon.quantity, proration=True,
                addon_price_id=before.price_id, period_start=at, period_end=running.end),
        NewLine(f"Remaining time on {described(found, found.variant)}", asked, quantity, proration=True,
                addon_price_id=found.price_id, vendor_addon_id=addon.id, period_start=at, period_end=running.end),
    ]  # fmt: skip

"""Another size or number of an add-on: what may be chosen, what it costs now, and asking for it by transfer."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.addons import purchase, service, transfers
from portal.addons.models import VendorAddon
from portal.addons.purchase import Offer, Wish
from portal.addons.queries import Had
from portal.billing import service as billing
from portal.billing import transfers as money
from portal.billing.models import Invoice, InvoiceLine
from portal.billing.quotes import quote
from portal.billing.rules import InvoiceStatus
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, PaymentRequired
from portal.kit.money import Money
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions import queries as subscriptions
from portal.subscriptions import transfer_periods
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Provider, Restriction


@dataclass(frozen=True, slots=True)
class Figures:
    """What a change costs. ``is_now``: it happens at once; else with the next period, which begins at ``next_at``.

    lines + tax + balance = due; ``total`` is what a whole period costs from then on, ``at`` the second that counts.
    """

    lines: tuple[tuple[str, Money], ...]
    tax: Money
    balance: Money
    due: Money
    total: Money
    next_at: datetime | None
    at: datetime
    is_now: bool


def check(had: Had, wish: Wish, now: datetime) -> Offer:
    """The offer, where this vendor may change to it now.

    NotFound for a price of something else, Invalid at ``quantity`` for nothing new or too many, PaymentRequired while
    something is unpaid, Conflict for an add-on that is cancelled or included in the tier.
    """
    found = purchase.offer(wish.price_id)
    if found.product.id != had.product_id or (had.cycle and found.cycle != had.cycle):
        raise NotFound
    if not found.is_live and found.price_id != had.price_id:
        raise NotFound
    if had.origin == "included":
        raise Conflict(N_("This comes with your plan, in the size that the plan says."), code="included")
    if had.cancel_at_period_end:
        raise Conflict(N_("This add-on is cancelled. Take the cancellation back first."), code="already_cancelled")
    if (found.variant, wish.quantity) == (had.variant, had.quantity):
        raise Invalid(fields={"quantity": N_("That is what you have now.")})
    purchase.check(had.vendor_id, found, Wish(wish.price_id, wish.quantity), beside=had.id)
    closed = subscriptions.restrictions(had.vendor_id, now) & {Restriction.UPGRADE, Restriction.CREATE}
    if closed or had.past_due_since is not None:
        raise PaymentRequired(N_("An invoice is unpaid. Pay it first, then change your add-ons."), code="past_due")
    return found


def plain(had: Had, found: Offer, quantity: int, at: datetime) -> Figures:
    """The change before money is counted: more is there at once, less from the next period on."""
    total, nothing = found.total(quantity), Money(0, found.each.currency)
    up = had.total is None or total.minor > had.total.minor
    return Figures((), nothing, nothing, nothing, total, had.period_end, at, is_now=up)


def by_transfer(had: Had, found: Offer, quantity: int, before: Figures, now: datetime) -> Figures:
    """Our own arithmetic: the rest of the old size back, the rest of the new one asked, to the second."""
    addon = db.session.get_one(VendorAddon, had.id)
    lines = transfers.raise_lines(addon, found, quantity, before.at)
    q = quote(had.vendor_id, lines, found.each.currency, now=now)
    shown = tuple((line.description, Money(line.amount_minor, found.each.currency)) for line in lines)
    return replace(before, lines=shown, tax=q.tax, balance=q.balance, due=q.due)


def ask(addon: VendorAddon, wish: Wish, shown: Figures, *, actor: Actor, now: datetime) -> int | None:
    """Ask for the difference with a proforma; gives the invoice that is waited for, None when nothing is.

    A proforma for another size that waits gives way. What costs nothing (given by the operator) happens at once.
    """
    found = purchase.offer(wish.price_id)
    drop_open(addon, by=actor.label, now=now)
    if addon.provider != Provider.TRANSFER:
        service.resize(addon, found.price_id, found.variant, wish.quantity, actor=actor, now=now)
        return None
    subscription = lock(addon.vendor_id)
    lines = transfers.raise_lines(addon, found, wish.quantity, shown.at)
    until = min(now + timedelta(days=settings.current().transfer_days), addon.period_end or now)
    invoice = transfer_periods.ask(
        subscription, lines, found.each.currency, reason=transfers.CHANGE, due_at=until, now=now
    )  # fmt: skip
    if invoice.status == InvoiceStatus.PAID:
        transfers.paid(addon.vendor_id, invoice, actor=actor, now=now)
        billing.mark_applied(invoice, now)
        return None
    addon.version += 1
    return invoice.id


def drop_open(addon: VendorAddon, *, by: str, now: datetime) -> None:
    """Ask no longer for a size that was waited for; Conflict when part of its money has come in."""
    waiting = db.session.scalars(
        select(Invoice)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(
            Invoice.vendor_id == addon.vendor_id,
            InvoiceLine.vendor_addon_id == addon.id,
            Invoice.reason == transfers.CHANGE,
            Invoice.status == InvoiceStatus.OPEN,
        )
    ).unique()
    for invoice in list(waiting):
        if invoice.paid_minor > 0:
            raise Conflict(N_("Part of the money for the earlier order has arrived. Please write to support."),
                           code="part")  # fmt: skip
        money.withdraw(invoice, by=by, reason=None, now=now)

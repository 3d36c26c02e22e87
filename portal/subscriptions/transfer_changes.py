"""Changing the tier of a subscription that is paid by transfer: our own proration, a proforma, rights when it is paid.

The verbs flush, inside the caller's unit of work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.billing import balance, papers, transfers
from portal.billing.models import BankTransfer, Invoice
from portal.billing.papers import NewLine
from portal.billing.quotes import Quote, quote
from portal.billing.rules import InvoiceStatus
from portal.billing.transfer_rules import TransferState
from portal.catalog.rules import Price, Tier
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions import changes, dunning, mails, transfer_periods, transfer_renewals
from portal.subscriptions.history import expect_version, lock, note
from portal.subscriptions.mirror import apply_paid_period
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.proration import Period, Switch, Terms, second, switch
from portal.subscriptions.queries import Held
from portal.subscriptions.rules import ChangeState, Ended, When
from portal.subscriptions.transfer_periods import CHANGE, priced
from portal.subscriptions.transfer_renewals import Due


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a change now would ask; lines as they would be printed."""

    lines: tuple[NewLine, ...]
    switch: Switch
    quote: Quote

    @property
    def next_at(self) -> datetime:
        """When the new price is due for the first time in full."""
        return self.switch.charged.end


def prospect(held: Held | VendorSubscription, price: Price, tier: Tier, at: datetime, now: datetime) -> Prospect:
    """The figures of a change to ``price`` counted from the second ``at``; Conflict across currencies."""
    if held.price_id is None:
        raise Conflict(N_("Nothing is paid for this subscription yet."))
    old, old_tier = priced(held.price_id)
    if old.amount.currency != price.amount.currency:
        raise Conflict(N_("The new price is in another currency. Please write to support."), code="currency")
    found = switch(
        Terms(old.amount.minor, old.cycle), Terms(price.amount.minor, price.cycle),
        Period(held.period_start, held.period_end), second(at),
    )  # fmt: skip
    lines = (_given_back(old, old_tier, found), _charged(price, tier, found))
    return Prospect(lines, found, quote(held.vendor_id, lines, price.amount.currency, now=now))


def _given_back(old: Price, tier: Tier, found: Switch) -> NewLine:
    return NewLine(
        f"Unused time on {tier.name}", -found.unused_minor, proration=True, price_id=old.id,
        period_start=found.given_back.start, period_end=found.given_back.end,
    )  # fmt: skip


def _charged(price: Price, tier: Tier, found: Switch) -> NewLine:
    if found.anew:
        return transfer_periods.whole_period(tier, price, found.charged)
    return NewLine(
        f"Remaining time on {tier.name}", found.charge_minor, proration=True, price_id=price.id,
        period_start=found.charged.start, period_end=found.charged.end,
    )  # fmt: skip


def carry_out(change: TierChange, *, actor: Actor, shown: Money | None, now: datetime) -> ChangeState:
    """Do what the intent says: plan it for the next period, or ask for the difference and apply it when that is paid.

    What a smaller tier leaves over is credited and goes to the vendor's balance, which pays for the rest of the period
    at once; only staff may do that (SUB-5). Conflict ``preview_changed`` when another amount was confirmed, and
    ``paid_ahead`` when money for the next period has come in: nothing has happened then.
    """
    subscription = lock(change.vendor_id)
    transfer_renewals.refuse_if_paid_ahead(transfer_periods.upcoming(subscription))
    price, tier = priced(change.to_price_id)
    if change.when_to_apply == When.NEXT:
        return _plan(change, subscription, tier, actor, now)
    found = prospect(subscription, price, tier, change.proration_at or now, now)
    if shown is not None and found.quote.due != shown:
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )
    if found.switch.net_minor < 0 and not actor.is_staff:
        raise Invalid(fields={"when": N_("A smaller plan always begins at the end of the period that is paid for.")})
    if found.switch.net_minor < 0:
        credit_unused(change, subscription, found, actor=actor, now=now)
    return _ask(change, subscription, found, now)


def _plan(change: TierChange, subscription: VendorSubscription, tier: Tier, actor: Actor, now: datetime) -> ChangeState:
    change.state = ChangeState.SCHEDULED
    note(subscription, "change_scheduled", actor=actor, now=now, after=tier.name,
         at=change.effective_at.isoformat())  # fmt: skip
    if change.notify:
        mails.change_scheduled(change, tier.name, now)
    db.session.flush()
    transfer_renewals.reissue(subscription, now=now)
    return ChangeState.SCHEDULED


def _ask(change: TierChange, subscription: VendorSubscription, found: Prospect, now: datetime) -> ChangeState:
    lines = found.lines[1:] if found.switch.net_minor < 0 else found.lines
    until = min(now + timedelta(days=settings.current().transfer_days), subscription.period_end)
    invoice = transfer_periods.ask(
        subscription, [line for line in lines if line.amount_minor] or list(lines[-1:]), change.currency,
        reason=CHANGE, due_at=until, now=now,
    )  # fmt: skip
    change.invoice_id, change.due_minor, change.expires_at = invoice.id, invoice.due_minor, until
    if invoice.status == InvoiceStatus.PAID:
        _apply(change, subscription, invoice, now)
    else:
        change.state = ChangeState.AWAITING_PAYMENT
        note(subscription, "change_awaits_payment", actor=SYSTEM, now=now, change=change.id)
        transfer_renewals.reissue(subscription, now=now)
    return ChangeState(change.state)


def credit_unused(
    change: TierChange, subscription: VendorSubscription, found: Prospect, *, actor: Actor, now: datetime
) -> None:
    """Credit notes for the rest of what was paid, newest invoice first, and the money on the vendor's balance."""
    left, what = found.switch.unused_minor, found.lines[0]
    for invoice in _paid_for(subscription):
        room = invoice.subtotal_minor - sum(n.subtotal_minor for n in papers.notes_of(invoice))
        part = min(left, room)
        if part <= 0:
            continue
        line = NewLine(what.description, part, proration=True, price_id=what.price_id, period_start=what.period_start,
                       period_end=what.period_end)  # fmt: skip
        cause = f"change:{change.id}:{invoice.id}"
        noted = papers.credit(invoice, [line], reason=what.description, cause=cause, actor=actor, now=now)
        balance.add(
            invoice.vendor_id, Money(noted.total_minor, noted.currency), cause=cause, description=noted.number,
            actor_label=actor.label, now=now, invoice_id=invoice.id,
        )  # fmt: skip
        left -= part


def _paid_for(subscription: VendorSubscription) -> list[Invoice]:
    """The invoices that the running period was paid with, newest first."""
    return list(
        db.session.scalars(
            select(Invoice)
            .where(
                Invoice.vendor_id == subscription.vendor_id,
                Invoice.provider == "transfer",
                Invoice.status == InvoiceStatus.PAID,
                Invoice.applied_at.is_not(None),
                Invoice.period_end > subscription.period_start,
                Invoice.period_start < subscription.period_end,
            )
            .order_by(Invoice.id.desc())
        )
    )


def paid(subscription: VendorSubscription, invoice: Invoice, *, now: datetime) -> None:
    """The proforma of a change is paid: the tier is granted."""
    change = db.session.scalar(
        select(TierChange).where(TierChange.vendor_id == invoice.vendor_id, TierChange.invoice_id == invoice.id)
    )
    if change is not None and change.state == ChangeState.AWAITING_PAYMENT:
        _apply(change, subscription, invoice, now)


def _apply(change: TierChange, subscription: VendorSubscription, invoice: Invoice, now: datetime) -> None:
    price, tier = priced(change.to_price_id)
    before = subscription.tier_code
    transfer_renewals.take_back(subscription, by=SYSTEM, now=now)
    anew = next((line for line in invoice.lines if line.price_id == price.id and not line.proration), None)
    if anew is not None and anew.period_start and anew.period_end:
        subscription.period_start, subscription.period_end = anew.period_start, anew.period_end
        subscription.anchor_at = anew.period_start
    subscription.tier_code, subscription.tier_id, subscription.price_id = tier.code, tier.id, price.id
    note(subscription, "tier_changed", actor=SYSTEM, now=now, before=before, after=tier.code)
    dunning.grant(subscription, now)
    apply_paid_period(subscription, invoice, now=now)
    changes.applied(change, subscription, Money(invoice.due_minor, change.currency), now=now)
    db.session.flush()
    transfer_renewals.issue(subscription, now)


def undo(vendor_id: int, *, actor: Actor, base_version: int, now: datetime) -> TierChange:
    """Take back a change that is planned, or give up one that waits for its transfer; Conflict when there is none."""
    subscription = lock(vendor_id)
    expect_version(subscription, base_version)
    change = changes.under_way(subscription.id)
    if change is None:
        raise Conflict(N_("There is no scheduled change to undo."))
    _drop(change, subscription, Ended.TAKEN_BACK, actor, now)
    return change


def give_up(subscription: VendorSubscription, invoice: Invoice, *, actor: Actor, now: datetime) -> None:
    """The transfer for a change was cancelled or rejected: the change does not happen."""
    change = db.session.scalar(
        select(TierChange).where(TierChange.vendor_id == invoice.vendor_id, TierChange.invoice_id == invoice.id)
    )
    if change is not None and change.state == ChangeState.AWAITING_PAYMENT:
        changes.end(change, subscription, Ended.GIVEN_UP, actor=actor, now=now)


def _drop(change: TierChange, subscription: VendorSubscription, why: Ended, actor: Actor, now: datetime) -> None:
    was_planned = change.state == ChangeState.SCHEDULED
    changes.end(change, subscription, why, actor=actor, now=now)
    db.session.flush()
    invoice = papers.locked(change.invoice_id, change.vendor_id) if change.invoice_id else None
    if invoice is not None and invoice.status == InvoiceStatus.OPEN:
        transfers.withdraw(invoice, by=actor.label, reason=None, now=now)
    if was_planned:
        transfer_renewals.reissue(subscription, now=now)


def due_changes(now: datetime) -> Iterator[Due]:
    """Changes whose transfer was not paid in time; while a proof is looked at, only the period's end counts."""
    rows = db.session.execute(
        select(TierChange.id, TierChange.vendor_id, BankTransfer.state, VendorSubscription.period_end)
        .join(BankTransfer, BankTransfer.invoice_id == TierChange.invoice_id)
        .join(VendorSubscription, VendorSubscription.id == TierChange.subscription_id)
        .where(TierChange.state == ChangeState.AWAITING_PAYMENT, TierChange.expires_at <= now)
    )
    for row in rows:
        if row.state == TransferState.AWAITING or row.period_end <= now:
            yield Due(row.id, row.vendor_id, f"{row.id}:{row.state}")


def lapse(change_id: int, vendor_id: int, *, now: datetime) -> None:
    """Not paid in time: the tier stays, and the vendor is told."""
    subscription = lock(vendor_id)
    change = changes.under_way(subscription.id)
    if change is not None and change.id == change_id and change.state == ChangeState.AWAITING_PAYMENT:
        _drop(change, subscription, Ended.NOT_PAID, SYSTEM, now)

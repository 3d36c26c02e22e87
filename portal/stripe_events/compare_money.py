"""Where Stripe and the portal differ about payment methods, refunds and disputes. Reads both, changes neither."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from portal.billing import method_rules, methods
from portal.billing.disputes import CLOSED
from portal.billing.method_rules import Kept
from portal.billing.models import Dispute, Invoice, Payment, Refund
from portal.billing.refund_rules import LASTING
from portal.gateways import stripe
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.unit_of_work import end_reading
from portal.stripe_events.difference import Difference
from portal.subscriptions.remote import id_of

Document = dict[str, Any]


def of_methods(vendor_id: int, customer_id: str, subscription: Document | None) -> Iterator[Difference]:
    """Cards that only one side knows, that look different, or that pay on one side alone."""
    ours = {each.reference: each for each in methods.of_vendor(vendor_id)}
    end_reading()
    gateway = stripe.current()
    theirs = {kept.reference: kept for kept in map(method_rules.read, gateway.payment_methods(customer_id))}
    for reference in sorted({*ours, *theirs}):
        here, there = ours.get(reference), theirs.get(reference)
        before, after = (_words(each) if each else None for each in (here, there))
        if before != after:
            yield Difference("payment_method", before, after, reference)
    default = id_of((subscription or {}).get("default_payment_method")) or _of_customer(customer_id)
    chosen = next((each.reference for each in ours.values() if each.is_default), None)
    if chosen != default and default in theirs:
        yield Difference("payment_default", _named(ours.get(chosen or "")), _named(theirs.get(default or "")), default)


def _of_customer(customer_id: str) -> str | None:
    customer = stripe.current().customer(customer_id)
    return id_of((customer.get("invoice_settings") or {}).get("default_payment_method"))


def _words(each: methods.Method | Kept) -> str:
    until = f" {each.exp_month:02}/{each.exp_year}" if each.exp_month and each.exp_year else ""
    return f"{each.brand} {each.last4}{until}"


def _named(each: methods.Method | Kept | None) -> str | None:
    return _words(each) if each else None


@dataclass(frozen=True, slots=True)
class _Held:
    number: str
    currency: str
    back: int
    disputed: bool


def of_money_back(vendor_id: int, customer_id: str) -> Iterator[Difference]:
    """Payments of ours of which something else went back at Stripe, or that are disputed there alone."""
    ours = _payments(vendor_id)
    end_reading()
    for charge in stripe.current().charges(customer_id):
        held = ours.get(str(id_of(charge.get("payment_intent"))))
        if held is None or charge["status"] != "succeeded":
            continue
        subject = str(id_of(charge["payment_intent"]))
        if charge["amount_refunded"] != held.back:
            before, after = Money(held.back, held.currency), Money(charge["amount_refunded"], held.currency)
            yield Difference("refunded", before, after, subject, held.number)
        if charge["disputed"] and not held.disputed:
            yield Difference("disputed", False, True, subject, held.number)


def _payments(vendor_id: int) -> dict[str, _Held]:
    back = (
        select(func.coalesce(func.sum(Refund.amount_minor), 0))
        .where(Refund.payment_id == Payment.id, Refund.vendor_id == vendor_id, Refund.state.in_(LASTING))
        .scalar_subquery()
    )
    disputes = (
        select(func.count(Dispute.id))
        .where(Dispute.payment_id == Payment.id, Dispute.vendor_id == vendor_id)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(Payment.reference, Invoice.number, Payment.currency, back.label("back"), disputes.label("disputes"))
        .join(Invoice, Invoice.id == Payment.invoice_id)
        .where(Payment.vendor_id == vendor_id, Payment.provider == "stripe")
    )
    return {r.reference: _Held(r.number or "", r.currency, int(r.back), r.disputes > 0) for r in rows}


def undecided(vendor_id: int) -> Sequence[str]:
    """Stripe's ids of disputes that are not decided as far as we know: the decision may have been missed."""
    rows = select(Dispute.stripe_dispute_id).where(Dispute.vendor_id == vendor_id, Dispute.status.not_in(CLOSED))
    return list(db.session.scalars(rows))

"""A Stripe invoice as values: the parts of its document that the portal keeps."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from portal.billing.rules import Category, InvoiceStatus
from portal.kit.money import round_half_away

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line; ``period`` is half-open, amounts in minor units, credits negative."""

    description: str
    quantity: int
    amount_minor: int
    proration: bool
    stripe_price_id: str | None
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment of the invoice."""

    reference: str
    status: str
    amount_minor: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PaidTax:
    """A tax on the invoice, coded as EN 16931 does; ``rate_bp`` in hundredths of a percent."""

    label: str
    country: str | None
    category: str
    rate_bp: int
    base_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class StripeInvoice:
    """An invoice as it is now."""

    id: str
    customer_id: str
    subscription_id: str | None
    order_ref: str | None
    number: str | None
    status: InvoiceStatus
    reason: str
    currency: str
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    due_minor: int
    paid_minor: int
    starting_balance_minor: int
    attempted: bool
    next_attempt_at: datetime | None
    issued_at: datetime
    paid_at: datetime | None
    hosted_url: str | None
    pdf_url: str | None
    lines: tuple[Line, ...]
    payments: tuple[Paid, ...]
    taxes: tuple[PaidTax, ...] = ()
    #: An attempt to collect it failed because the bank wants the card's owner to confirm it.
    needs_confirmation: bool = False


def _at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _maybe(timestamp: int | None) -> datetime | None:
    return _at(timestamp) if timestamp is not None else None


def _id(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) else value


def read_line(line: Document) -> Line:
    """Read one line; its price and its being a proration live under ``pricing`` and ``parent`` since 2025-03-31."""
    pricing = line.get("pricing") or {}
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return Line(
        description=line.get("description") or "",
        quantity=line.get("quantity") or 1,
        amount_minor=line["amount"],
        proration=bool(details.get("proration")),
        stripe_price_id=_id((pricing.get("price_details") or {}).get("price")),
        period_start=_at(line["period"]["start"]),
        period_end=_at(line["period"]["end"]),
    )


def _read_payment(payment: Document) -> Paid:
    how = payment["payment"]
    when = (payment.get("status_transitions") or {}).get("paid_at") or payment["created"]
    return Paid(
        reference=str(_id(how.get("payment_intent")) or _id(how.get("charge")) or payment["id"]),
        status="succeeded" if payment["status"] == "paid" else "failed",
        amount_minor=payment.get("amount_paid") or payment["amount_requested"],
        at=_at(when),
    )


def _wants_owner(payment: Document) -> bool:
    intent = payment["payment"].get("payment_intent")
    if payment["status"] != "open" or not isinstance(intent, dict):
        return False
    refused = (intent.get("last_payment_error") or {}).get("code")
    return intent["status"] == "requires_action" or refused == "authentication_required"


#: Why Stripe charges nothing, by its taxability_reason.
_UNCHARGED = {
    "reverse_charge": Category.REVERSE_CHARGE,
    "zero_rated": Category.ZERO,
    "not_collecting": Category.OUTSIDE,
    "not_subject_to_tax": Category.OUTSIDE,
    "customer_exempt": Category.OUTSIDE,
}


def read_tax(tax: Document) -> PaidTax:
    """Read one of an invoice's taxes. Where its rate was not fetched along, it is worked out of the amounts."""
    rate = (tax.get("tax_rate_details") or {}).get("tax_rate")
    rate = rate if isinstance(rate, dict) else {}
    base, amount = tax.get("taxable_amount") or 0, tax["amount"]
    percent = rate.get("percentage")
    worked_out = round_half_away(Fraction(amount * 10_000, base)) if base else 0
    usual = Category.STANDARD if amount else Category.ZERO
    return PaidTax(
        label=rate.get("display_name") or "Tax",
        country=rate.get("country"),
        category=_UNCHARGED.get(tax.get("taxability_reason") or "", usual),
        rate_bp=min(10_000, max(0, worked_out if percent is None else round(Decimal(str(percent)) * 100))),
        base_minor=base,
        amount_minor=amount,
    )


def read(document: Document) -> StripeInvoice:
    """Read an invoice retrieved with its payments expanded. Open payments are attempts and are left out."""
    details = (document.get("parent") or {}).get("subscription_details") or {}
    transitions = document.get("status_transitions") or {}
    payments = (document.get("payments") or {}).get("data", [])
    return StripeInvoice(
        id=document["id"],
        customer_id=_id(document["customer"]),
        subscription_id=_id(details.get("subscription")),
        order_ref=(details.get("metadata") or {}).get("order"),
        number=document.get("number"),
        status=InvoiceStatus(document["status"]),
        reason=document.get("billing_reason") or "manual",
        currency=document["currency"].upper(),
        subtotal_minor=document["subtotal"],
        tax_minor=sum(tax["amount"] for tax in document.get("total_taxes") or []),
        total_minor=document["total"],
        due_minor=document["amount_due"],
        paid_minor=document["amount_paid"],
        starting_balance_minor=document.get("starting_balance") or 0,
        attempted=bool(document.get("attempted")),
        next_attempt_at=_maybe(document.get("next_payment_attempt")),
        issued_at=_maybe(transitions.get("finalized_at")) or _at(document["created"]),
        paid_at=_maybe(transitions.get("paid_at")),
        hosted_url=document.get("hosted_invoice_url"),
        pdf_url=document.get("invoice_pdf"),
        lines=tuple(read_line(line) for line in document["lines"]["data"]),
        payments=tuple(_read_payment(p) for p in payments if p["status"] == "paid"),
        taxes=tuple(read_tax(tax) for tax in document.get("total_taxes") or []),
        needs_confirmation=document["status"] == "open" and any(_wants_owner(payment) for payment in payments),
    )

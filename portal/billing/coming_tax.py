"""Which tax the coming invoice bears, as far as it is known before it is written.

What Stripe charges follows from the last invoice of the same subscription; a proforma's from the operator's table. Both
are told beside a plan card in its one statement.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, String, case, cast, exists, func, or_, select

from portal.billing.models import Invoice, InvoiceTax, TaxRate
from portal.billing.rules import Category, InvoiceStatus, Rate, rates_on, tax_for, tax_on
from portal.billing.tax import vat_country
from portal.settings import queries as settings

#: Invoices that say what is charged: not what was never asked for.
SAYING = (InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE)


@dataclass(frozen=True, slots=True)
class LikeLast:
    """As on the last invoice (minor units). ``rates_bp``: those that fall on all of it, in hundredths of a percent;
    None where they do not, so that only the same sum tells anything.
    """

    net_minor: int
    tax_minor: int
    rates_bp: tuple[int, ...] | None

    def on(self, net_minor: int, _day: date) -> int | None:
        """What is added to a sum, None where that is not known."""
        if net_minor == self.net_minor:
            return self.tax_minor
        if self.rates_bp is None:
            return None
        return sum(tax_on(net_minor, rate_bp) for rate_bp in self.rates_bp)


@dataclass(frozen=True, slots=True)
class ByTable:
    """As a proforma computes it, for a period that begins on a day."""

    seller: str
    country: str
    vat_id: str
    rates: tuple[Rate, ...]

    def on(self, net_minor: int, day: date) -> int | None:
        """What is added to a sum; nothing where no tax is printed."""
        tax = tax_for(self.seller, self.country, vat_country(self.vat_id), rates_on(day, self.rates))
        return tax_on(net_minor, tax.rate_bp) if tax else 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing was charged yet; ``none``: nothing will be added either, since Stripe was not asked to."""

    none: bool

    def on(self, _net_minor: int, _day: date) -> int | None:
        """What is added to a sum, None where that is not known."""
        return 0 if self.none else None


ComingTax = LikeLast | ByTable | Unknown
NONE = Unknown(none=True)


def last_invoice(vendor_id: Any, stripe_subscription_id: Any) -> ScalarSelect[int]:
    """The newest invoice of a subscription at Stripe that tells its tax; a trial's empty one, where it names a rate.

    For a statement that holds both columns.
    """
    told, tax = Invoice.__table__.alias("told"), InvoiceTax.__table__.alias("told_tax")
    known = or_(tax.c.rate_bp > 0, tax.c.category.in_((Category.REVERSE_CHARGE, Category.OUTSIDE)))
    named = exists().where(tax.c.invoice_id == told.c.id, known).correlate(told)
    return (
        select(told.c.id)
        .where(told.c.vendor_id == vendor_id, told.c.stripe_subscription_id == stripe_subscription_id)
        .where(told.c.status.in_(SAYING), or_(told.c.subtotal_minor != 0, named))
        .order_by(told.c.issued_at.desc(), told.c.id.desc())
        .limit(1)
        .correlate_except(told)
        .scalar_subquery()
    )


def columns(last: FromClause, buyer: FromClause, by_transfer: ColumnElement[bool]) -> tuple[ColumnElement[Any], ...]:
    """What ``of`` reads: of the last invoice, of the vendor, and of the operator's table where it counts."""
    rate = cast(InvoiceTax.rate_bp, String) + ":" + cast(InvoiceTax.base_minor, String)
    of_last = select(func.aggregate_strings(rate, ";")).where(InvoiceTax.invoice_id == last.c.id).correlate(last)
    until = func.coalesce(cast(TaxRate.valid_until, String), "")
    line = TaxRate.country + ":" + cast(TaxRate.rate_bp, String) + ":" + cast(TaxRate.valid_from, String) + ":" + until
    table = select(func.aggregate_strings(line, ";")).scalar_subquery()
    return (
        last.c.subtotal_minor.label("last_net"), last.c.tax_minor.label("last_tax"),
        last.c.total_minor.label("last_total"), of_last.scalar_subquery().label("last_rates"),
        case((by_transfer, table)).label("tax_table"), buyer.c.address.label("buyer_address"),
        buyer.c.vat_id.label("buyer_vat_id"),
    )  # fmt: skip


def of(row: Any, *, by_transfer: bool) -> ComingTax:
    """Read a row with ``columns``."""
    if by_transfer:
        country = (row.buyer_address or {}).get("country", "")
        return ByTable(settings.current().legal_country, country, row.buyer_vat_id or "", _table(row.tax_table))
    if row.last_net is None:
        return Unknown(none=not settings.current().stripe_tax)
    return _like_last(row.last_net, row.last_tax, row.last_total - row.last_net, row.last_rates)


def _like_last(net: int, tax: int, added: int, rates: str | None) -> ComingTax:
    """``added`` is what the total is more than its lines: less than the tax where that lies in the prices already."""
    if net and not added:
        return LikeLast(net, 0, ())
    found = [each.split(":") for each in (rates or "").split(";") if each]
    whole = added == tax and all(int(base) == net for _, base in found)
    return LikeLast(net, added, tuple(int(rate) for rate, _ in found) if whole else None)


def _table(text: str | None) -> tuple[Rate, ...]:
    lines = [each.split(":") for each in (text or "").split(";") if each]
    return tuple(
        Rate(country, "", int(rate_bp), date.fromisoformat(start), date.fromisoformat(end) if end else None)
        for country, rate_bp, start, end in lines
    )

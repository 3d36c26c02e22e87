"""States of an invoice, and which tax falls on it; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

from portal.kit.money import allocate, round_half_away

#: Members of the EU's VAT area by ISO 3166 code. Greece writes EL before its VAT numbers (see tax.vat_country).
EU = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK")
)  # fmt: skip


class InvoiceStatus(StrEnum):
    """As Stripe names them; our own invoices use the same words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class Series(StrEnum):
    """What is numbered: each series counts from one every year."""

    CREDIT_NOTE = "credit_note"
    INVOICE = "invoice"
    PROFORMA = "proforma"


class Category(StrEnum):
    """How EN 16931 codes a tax (UNTDID 5305)."""

    STANDARD = "S"
    ZERO = "Z"
    REVERSE_CHARGE = "AE"
    OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a country charges: ``rate_bp`` in hundredths of a percent; valid from a day until (not on) another."""

    country: str
    label: str
    rate_bp: int
    valid_from: date
    valid_until: date | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax that falls on a line."""

    category: Category
    label: str
    country: str | None
    rate_bp: int


@dataclass(frozen=True, slots=True)
class TaxSum:
    """A tax on a whole paper, in minor units."""

    tax: Tax
    base_minor: int
    amount_minor: int


def rates_on(day: date, rates: Iterable[Rate]) -> dict[str, Rate]:
    """Each country's rate on a day: the newest that has begun, unless it has ended."""
    newest: dict[str, Rate] = {}
    for rate in sorted(rates, key=lambda r: r.valid_from):
        if rate.valid_from <= day:
            newest[rate.country] = rate
    return {country: r for country, r in newest.items() if r.valid_until is None or day < r.valid_until}


def tax_for(seller: str, buyer: str | None, vat_country: str | None, rates: Mapping[str, Rate]) -> Tax | None:
    """Which tax an operator in ``seller`` charges a business in ``buyer`` (ISO codes); None: no tax is printed.

    ``vat_country`` is the country of the buyer's VAT number if that is well-formed, else None. An unknown country
    counts as the operator's own.

    | buyer                                     | tax                                                   |
    |-------------------------------------------|-------------------------------------------------------|
    | no rate in the whole table                | none                                                  |
    | the operator's country                    | its rate, none where the table has no such country    |
    | another EU country, VAT number of another | reverse charge (only from an operator in the EU)      |
    | another EU country, no VAT number         | the buyer's rate if in the table, else the operator's |
    | elsewhere                                 | the buyer's rate if in the table, else out of scope   |
    """
    if not rates:
        return None
    own = rates.get(seller)
    if not buyer or buyer == seller:
        return _charged(own)
    label = own.label if own else next(iter(rates.values())).label
    if seller in EU and buyer in EU:
        if vat_country and vat_country != seller:
            return Tax(Category.REVERSE_CHARGE, label, buyer, 0)
        return _charged(rates.get(buyer) or own)
    return _charged(rates.get(buyer)) or Tax(Category.OUTSIDE, label, buyer, 0)


def _charged(rate: Rate | None) -> Tax | None:
    if rate is None:
        return None
    return Tax(Category.STANDARD if rate.rate_bp else Category.ZERO, rate.label, rate.country, rate.rate_bp)


def tax_on(base_minor: int, rate_bp: int) -> int:
    """Tax on a sum, rounded once, in minor units."""
    return round_half_away(Fraction(base_minor * rate_bp, 10_000))


def sum_up(amounts: Sequence[int], taxes: Sequence[Tax | None]) -> tuple[list[TaxSum], list[int | None]]:
    """The taxes of a paper whose lines have these net amounts, and for each line the position of its tax.

    Each tax is rounded once, on the sum of its lines.
    """
    found: list[Tax] = []
    positions: list[int | None] = []
    for tax in taxes:
        if tax is not None and tax not in found:
            found.append(tax)
        positions.append(found.index(tax) if tax is not None else None)
    bases = [sum(a for a, p in zip(amounts, positions, strict=True) if p == i) for i in range(len(found))]
    sums = [TaxSum(tax, base, tax_on(base, tax.rate_bp)) for tax, base in zip(found, bases, strict=True)]
    return sums, positions


@dataclass(frozen=True, slots=True)
class Credited:
    """What a credit note takes back of one tax."""

    base_minor: int
    amount_minor: int


def share_out(
    net_minor: int, taxes: Sequence[TaxSum], before: Sequence[Credited], untaxed_minor: int
) -> list[Credited]:
    """What crediting ``net_minor`` takes back of each tax, after ``before`` was taken back.

    The net is split over what is left of the bases (largest remainder); ``untaxed_minor`` is what is left of lines
    without tax. Each tax is rounded on all that is credited so far, so that the last credit note leaves nothing.
    """
    left = [tax.base_minor - done.base_minor for tax, done in zip(taxes, before, strict=True)]
    if net_minor == sum(left) + untaxed_minor:
        parts = left
    else:
        parts = allocate(net_minor, [max(0, base) for base in (*left, untaxed_minor)])[:-1] if taxes else []
    out = []
    for tax, done, part in zip(taxes, before, parts, strict=True):
        base = done.base_minor + part
        whole = tax.base_minor == base
        amount = tax.amount_minor if whole else round_half_away(Fraction(tax.amount_minor * base, tax.base_minor or 1))
        out.append(Credited(part, amount - done.amount_minor))
    return out


def share_gross(
    gross_minor: int, taxes: Sequence[TaxSum], before: Sequence[Credited], untaxed_minor: int
) -> tuple[int, list[Credited]]:
    """Net and taxes of a credit note that comes to ``gross_minor``: money that went back of an invoice.

    Not every sum is a net amount with its rounded tax (at 19 % there is none of 0.03: 0.02 has no tax, 0.03 has 0.01);
    the first tax then bears the odd cent. All that is left leaves nothing over, as in ``share_out``.
    """
    net_left = untaxed_minor + sum(t.base_minor - done.base_minor for t, done in zip(taxes, before, strict=True))
    tax_left = sum(t.amount_minor - done.amount_minor for t, done in zip(taxes, before, strict=True))
    if gross_minor == net_left + tax_left:
        return net_left, share_out(net_left, taxes, before, untaxed_minor)
    guess = round_half_away(Fraction(gross_minor * net_left, net_left + tax_left))
    tried = [net for net in (guess, guess - 1, guess + 1) if 0 < net < net_left] or [net_left]
    shares = {net: share_out(net, taxes, before, untaxed_minor) for net in tried}
    odd = {net: gross_minor - net - sum(each.amount_minor for each in found) for net, found in shares.items()}
    best = min(tried, key=lambda net: abs(odd[net]))
    found = shares[best]
    if odd[best]:
        found[0] = Credited(found[0].base_minor, found[0].amount_minor + odd[best])
    return best, found

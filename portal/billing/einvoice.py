"""Invoices and credit notes as data: EN 16931 in the syntax of Factur-X / ZUGFeRD (UN/CEFACT CII), inside the PDF."""

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from portal.billing.paper import Kind, Line, Paper, TaxLine
from portal.billing.rules import Category
from portal.kit.money import minor_digits

# It tells of every success; what fails it raises.
logging.getLogger("factur-x").setLevel(logging.CRITICAL)

PROFILE = "urn:cen.eu:en16931:2017"
#: UNTDID 1001: a commercial invoice, a credit note.
TYPES = {Kind.INVOICE: "380", Kind.CREDIT_NOTE: "381"}
#: UNTDID 4461: a SEPA credit transfer, any credit transfer. UN/ECE 20: one piece.
SEPA, TRANSFER, ONE = "58", "30", "C62"
#: Why nothing is charged, in words and by the code list of the European Commission (BT-120, BT-121).
EXEMPT = {
    Category.REVERSE_CHARGE: ("Reverse charge", "VATEX-EU-AE"),
    Category.OUTSIDE: ("Not subject to VAT", "VATEX-EU-O"),
}


def missing(paper: Paper) -> list[str]:
    """The legal data that EN 16931 asks for and that this paper has not; none: it can be written as data."""
    seller, buyer = paper.seller, paper.buyer
    charged = {tax.category for tax in paper.taxes} - {Category.OUTSIDE}
    wanted = {
        "seller_country": seller.get("country"),
        "seller_id": seller.get("vat_id") or (not charged and seller.get("email")),
        "buyer_country": buyer.get("country"),
        "buyer_vat_id": Category.REVERSE_CHARGE not in charged or buyer.get("vat_id"),
    }
    return [name for name, there in wanted.items() if not there]


def xml(paper: Paper) -> bytes:
    """The paper as XML, checked against the official schema. ValueError when data is ``missing``."""
    from facturx.generate_xml import generate_xml

    if lacking := missing(paper):
        raise ValueError(f"not enough for an e-invoice: {', '.join(lacking)}")
    made: bytes = generate_xml(fields(paper), "factur-x", "en16931", check_xsd=True, check_schematron=None)
    return made


def embed(pdf: bytes, paper: Paper, *, title: str, language: str) -> bytes:
    """The PDF with the data inside, and its metadata saying so."""
    from facturx import generate_from_binary

    about = {"author": paper.seller["name"], "title": title, "subject": title, "keywords": f"Factur-X, {paper.number}"}
    made: bytes = generate_from_binary(
        pdf,
        xml(paper),
        "factur-x",
        "en16931",
        check_xsd=False,
        pdf_metadata=about,
        lang=language,
        afrelationship="alternative",
    )
    return made


def fields(paper: Paper) -> dict[str, Any]:
    """The terms of EN 16931 (BT, BG) with this paper's values; pure."""
    amount = _Amounts(paper.currency)
    settled = paper.kind == Kind.INVOICE
    return {
        "BT-1": paper.number,
        "BT-2": paper.issued_on,
        "BT-3": TYPES[paper.kind],
        "BT-5": paper.currency,
        "BT-9": paper.due_on if settled else None,
        "BT-20": None if settled else "No payment is asked for this credit note.",
        "BT-24": PROFILE,
        "BT-72": _day(min((n.period_start for n in paper.lines if n.period_start), default=None)) or paper.issued_on,
        **_period(paper.lines),
        **_account(paper),
        "BT-106": amount(paper.subtotal_minor),
        "BT-109": amount(paper.subtotal_minor),
        "BT-110": amount(paper.tax_minor),
        "BT-112": amount(paper.total_minor),
        "BT-113": amount(paper.total_minor - paper.due_minor) if settled else None,
        "BT-115": amount(paper.due_minor if settled else paper.total_minor),
        "BG-1": [{"BT-22": text} for text in (paper.reason, paper.seller.get("note")) if text],
        "BG-3": [{"BT-25": paper.corrects[0], "BT-26": paper.corrects[1]}] if paper.corrects else [],
        "BG-4": _seller(paper),
        "BG-7": _buyer(paper),
        "BG-23": [_breakdown(tax, amount) for tax in _taxes(paper)],
        "BG-25": [_line(at, line, paper, amount) for at, line in enumerate(_lines(paper), 1)],
    }


class _Amounts:
    """Minor units as the decimal text that the syntax wants."""

    def __init__(self, currency: str) -> None:
        self._digits = minor_digits(currency)

    def __call__(self, minor: int) -> str:
        return str(Decimal(minor).scaleb(-self._digits))


def _day(moment: datetime | None, *, last: bool = False) -> date | None:
    """The first or the last day of a half-open period."""
    if moment is None:
        return None
    return (moment - timedelta(microseconds=1) if last else moment).date()


def _period(lines: Sequence[Line]) -> dict[str, Any]:
    starts = [line.period_start for line in lines if line.period_start]
    ends = [line.period_end for line in lines if line.period_end]
    return {"BT-73": _day(min(starts, default=None)), "BT-74": _day(max(ends, default=None), last=True)}


def _account(paper: Paper) -> dict[str, Any]:
    bank = paper.seller.get("bank") or {}
    if paper.kind != Kind.INVOICE or not bank.get("iban"):
        return {}
    return {
        "BT-81": SEPA if paper.currency == "EUR" else TRANSFER,
        "BT-83": paper.reference,
        "BT-84": bank["iban"],
        "BT-85": bank.get("holder"),
        "BT-86": bank.get("bic"),
    }


def _untaxed(paper: Paper) -> bool:
    """Outside the scope of VAT: such a paper must name no VAT number of either side."""
    return all(tax.category == Category.OUTSIDE for tax in paper.taxes)


def _seller(paper: Paper) -> dict[str, Any]:
    seller, outside = paper.seller, _untaxed(paper)
    first, second, third = [*seller.get("address", "").splitlines(), "", "", ""][:3]
    party = {
        "name": seller["name"],
        "country_code": seller["country"],
        "addr_l1": first,
        "addr_l2": second,
        "addr_l3": third,
        "contacts": [{"email": seller["email"]}] if seller.get("email") else [],
    }
    if outside:
        return party | {"identifiers": {None: seller.get("vat_id") or seller["email"]}}
    return party | {"vat_identifier": seller["vat_id"]}


def _buyer(paper: Paper) -> dict[str, Any]:
    buyer = paper.buyer
    return {
        "name": buyer["name"],
        "country_code": buyer["country"],
        "addr_l1": buyer.get("street", ""),
        "postcode": buyer.get("postcode", ""),
        "city": buyer.get("city", ""),
        "vat_identifier": None if _untaxed(paper) else buyer.get("vat_id") or None,
    }


def _taxes(paper: Paper) -> Sequence[TaxLine]:
    """The breakdown; lines without any tax are outside the scope."""
    return paper.taxes or [TaxLine("VAT", None, Category.OUTSIDE, 0, paper.subtotal_minor, 0)]


def _breakdown(tax: TaxLine, amount: _Amounts) -> dict[str, Any]:
    text, code = EXEMPT.get(Category(tax.category), (None, None))
    return {
        "BT-116": amount(tax.base_minor),
        "BT-117": amount(tax.amount_minor),
        "BT-118": str(tax.category),
        "BT-119": None if tax.category == Category.OUTSIDE else _percent(tax.rate_bp),
        "BT-120": text,
        "BT-121": code,
    }


def _percent(rate_bp: int) -> str:
    return str(Decimal(rate_bp).scaleb(-2))


def _lines(paper: Paper) -> Sequence[Line]:
    """The lines, each under its tax; where a credit note's cannot be told apart, one line for each tax."""
    if all(line.tax_position is not None for line in paper.lines) or not paper.taxes:
        return paper.lines
    name = paper.lines[0].description or paper.reason
    return [Line(name, 1, tax.base_minor, at) for at, tax in enumerate(paper.taxes) if tax.base_minor]


def _line(at: int, line: Line, paper: Paper, amount: _Amounts) -> dict[str, Any]:
    """A line; a price is never below zero, so what is given back has a quantity below zero."""
    tax = _taxes(paper)[line.tax_position or 0]
    quantity = line.quantity if line.amount_minor % line.quantity == 0 else 1
    sign = -1 if line.amount_minor < 0 else 1
    return {
        "BT-126": str(at),
        "BT-129": str(sign * quantity),
        "BT-130": ONE,
        "BT-131": amount(line.amount_minor),
        "BT-134": _day(line.period_start),
        "BT-135": _day(line.period_end, last=True),
        "BT-146": amount(abs(line.amount_minor) // quantity),
        "BT-151": str(tax.category),
        "BT-152": None if tax.category == Category.OUTSIDE else _percent(tax.rate_bp),
        "BT-153": line.description or paper.reason,
    }

"""Papers made by hand, for tests of what is printed and of e-invoices."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from portal.billing.paper import Kind, Line, Paper, Received, TaxLine

START = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
SELLER: dict[str, Any] = {
    "name": "Bazaar Platform GmbH",
    "brand": "Bazaar",
    "accent": "#4f46e5",
    "logo": "",
    "address": "Lindenstraße 12\n10969 Berlin",
    "country": "DE",
    "vat_id": "DE136695976",
    "email": "billing@bazaar.example",
    "footer": "",
    "note": "",
    "bank": {"holder": "Bazaar Platform GmbH", "iban": "DE89370400440532013000", "bic": "COBADEFFXXX", "name": "Bank"},
}
BUYER: dict[str, Any] = {
    "name": "Kilim House",
    "street": "Rue de la Paix 4",
    "postcode": "75002",
    "city": "Paris",
    "country": "FR",
    "vat_id": "FR40303265045",
    "email": "",
    "locale": "en",
    "code": "kilim-house",
}


def line(minor: int, tax: int | None = 0, quantity: int = 1, text: str = "Professional, monthly") -> Line:
    """A line for a month."""
    return Line(text, quantity, minor, tax, START, START + timedelta(days=31))


def paper(kind: Kind, lines: list[Line], taxes: list[TaxLine], **more: Any) -> Paper:
    """A paper whose sums fit its lines and taxes; an invoice is paid, a proforma open."""
    net, tax = sum(n.amount_minor for n in lines), sum(t.amount_minor for t in taxes)
    prefix = {Kind.INVOICE: "INV", Kind.PROFORMA: "PF", Kind.CREDIT_NOTE: "CN"}[kind]
    about: dict[str, Any] = {
        "kind": kind,
        "number": f"{prefix}-2027-00001",
        "issued_on": date(2027, 1, 15),
        "currency": "EUR",
        "seller": SELLER | more.pop("seller", {}),
        "buyer": BUYER | more.pop("buyer", {}),
        "lines": lines,
        "taxes": taxes,
        "subtotal_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
        **_state(kind, net + tax),
    }
    return Paper(**(about | more))


def _state(kind: Kind, total: int) -> dict[str, Any]:
    if kind == Kind.CREDIT_NOTE:
        return {"corrects": ("INV-2027-00001", date(2027, 1, 15)), "reason": "Charged by mistake"}
    if kind == Kind.PROFORMA:
        return {"due_minor": total, "due_on": date(2027, 1, 29), "reference": "RF8700000042"}
    return {"paid_on": date(2027, 1, 20), "received": [Received(total, START + timedelta(days=5))]}

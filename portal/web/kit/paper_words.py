"""A paper's words and figures in its reader's language, ready for print (templates/paper/paper.typ)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask_babel import force_locale, get_locale
from flask_babel import gettext as _

from portal.billing import documents, payment_slip, references
from portal.billing.paper import Kind, Line, Paper, TaxLine
from portal.billing.rules import Category
from portal.kit.money import Money
from portal.web.kit import countries, filters, line_words

#: Where the postcode stands behind the city.
CITY_FIRST = frozenset({"US", "CA", "AU", "NZ", "GB", "IN", "JP"})


def pdf(paper: Paper) -> bytes:
    """The paper as PDF in the language that the vendor had when it was written."""
    with force_locale(paper.buyer.get("locale") or "en"):
        return documents.pdf(paper, words(paper))


def words(paper: Paper) -> dict[str, Any]:
    """Everything that is printed, in the present language."""
    seller, buyer = paper.seller, paper.buyer
    return {
        "language": str(get_locale() or "en"),
        "keywords": [paper.number],
        "accent": seller["accent"],
        "brand": seller["brand"],
        "title": _title(paper),
        "number": paper.number,
        "seller": {"name": seller["name"], "lines": _seller_lines(seller)},
        "sender_line": " · ".join([seller["name"], *seller.get("address", "").splitlines()]),
        "buyer": {"name": buyer["name"], "lines": _buyer_lines(buyer, seller.get("country", ""))},
        "facts": _facts(paper),
        "intro": _intro(paper),
        "columns": [_("Description"), _("Quantity"), _("Amount")],
        "lines": [_line(paper, line) for line in paper.lines],
        "totals": _totals(paper),
        "pay": _pay(paper),
        "notes": _notes(paper),
        "footer": _footer(seller),
        "page_words": [_("Page"), _("of")],
    }


def _title(paper: Paper) -> str:
    return {
        Kind.INVOICE: _("Invoice"),
        Kind.PROFORMA: _("Proforma invoice"),
        Kind.CREDIT_NOTE: _("Credit note"),
    }[paper.kind]


def _seller_lines(seller: dict[str, Any]) -> list[str]:
    lines = seller.get("address", "").splitlines()
    if country := seller.get("country"):
        lines.append(countries.name(country))
    if vat_id := seller.get("vat_id"):
        lines.append(_("VAT number %(number)s", number=vat_id))
    return [*lines, *filter(None, [seller.get("email")])]


def _buyer_lines(buyer: dict[str, Any], home: str) -> list[str]:
    """The address as it is written there; the country's name only abroad."""
    country = buyer.get("country", "")
    parts = [buyer.get("postcode", ""), buyer.get("city", "")]
    place = " ".join(filter(None, reversed(parts) if country in CITY_FIRST else parts))
    abroad = countries.name(country) if country and country != home else ""
    return [line for line in (*buyer.get("street", "").splitlines(), place, abroad) if line]


def _facts(paper: Paper) -> list[tuple[str, str]]:
    dated = {
        Kind.INVOICE: _("Invoice date"),
        Kind.PROFORMA: _("Date"),
        Kind.CREDIT_NOTE: _("Date"),
    }[paper.kind]
    facts = [(_("Number"), paper.number), (dated, filters.day(paper.issued_on))]
    if paper.corrects:
        number, day = paper.corrects
        facts += [(_("Corrects invoice"), number), (_("Invoice date"), filters.day(day))]
    if paper.due_minor and paper.due_on and not paper.void:
        facts.append((_("Please pay by"), filters.day(paper.due_on)))
    if vat_id := paper.buyer.get("vat_id"):
        facts.append((_("Your VAT number"), vat_id))
    return [*facts, (_("Customer"), paper.buyer.get("code", ""))]


def _intro(paper: Paper) -> list[str]:
    if paper.void:
        return [_("This proforma was withdrawn. Please do not pay it.")]
    if paper.kind == Kind.PROFORMA:
        return [_("This is a request for payment. You get the invoice when the whole amount has arrived.")]
    if paper.kind == Kind.CREDIT_NOTE and paper.corrects:
        return [
            _("This credit note corrects invoice %(number)s.", number=paper.corrects[0]),
            _("Reason: %(reason)s", reason=line_words.said(paper.reason)),
        ]
    return []


def _line(paper: Paper, line: Line) -> dict[str, Any]:
    return {
        "text": _said(paper, line),
        "period": _period(line.period_start, line.period_end),
        "quantity": filters.number(line.quantity),
        "amount": _money(paper, line.amount_minor),
    }


def _said(paper: Paper, line: Line) -> str:
    """What a line is for; a credit note's may have no words of its own."""
    if paper.corrects and line.rest:
        return _("All that was left of invoice %(number)s", number=paper.corrects[0])
    if paper.corrects and not line.description:
        return _("Part of invoice %(number)s", number=paper.corrects[0])
    return line_words.said(line.description)


def _period(start: datetime | None, end: datetime | None) -> str | None:
    """First to last day; periods are half-open."""
    if start is None or end is None:
        return None
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return f"{filters.day(start.astimezone(UTC).date())} – {filters.day(last)}"


def _totals(paper: Paper) -> list[dict[str, Any]]:
    """Net, each tax, gross; then what was paid of it and what is left."""
    rows = [(_("Net"), paper.subtotal_minor, False)] if paper.taxes else []
    rows += [(tax_label(tax, paper.money(tax.base_minor)), tax.amount_minor, False) for tax in paper.taxes]
    rows.append((_("Total"), paper.total_minor, True))
    if paper.balance_used_minor:
        rows.append((_("From your balance"), -paper.balance_used_minor, False))
    rows += [
        (_("Received on %(date)s", date=filters.day(part.at.astimezone(UTC).date())), -part.amount_minor, False)
        for part in paper.received
    ]
    if paper.kind != Kind.CREDIT_NOTE and paper.due_minor != paper.total_minor:
        rows.append((_("Left to pay"), paper.due_minor, True))
    return [{"label": label, "value": _money(paper, minor), "strong": strong} for label, minor, strong in rows]


def _money(paper: Paper, minor: int) -> str:
    """An amount in print: with a minus sign, not a hyphen."""
    return filters.money(paper.money(minor)).replace("-", "\N{MINUS SIGN}")


def tax_label(tax: TaxLine, base: Money) -> str:
    """VAT 19% on €100.00."""
    label, rate = filters.translated(tax.label), percent(tax.rate_bp)
    return _("%(tax)s %(rate)s on %(base)s", tax=label, rate=rate, base=filters.money(base))


def percent(rate_bp: int) -> str:
    """A rate (hundredths of a percent) as it is read: 19%, 5.5%."""
    from babel.numbers import format_percent

    shown = format_percent(rate_bp / 10_000, "#,##0.##%", locale=str(get_locale() or "en"))
    return shown if str(get_locale() or "en").startswith("en") else shown.replace("%", "\N{NO-BREAK SPACE}%")


def _pay(paper: Paper) -> dict[str, Any] | None:
    """How to pay what is left, with a code for banking apps where the scheme has one."""
    bank = paper.seller.get("bank") or {}
    if paper.kind != Kind.PROFORMA or paper.void or not paper.due_minor or not bank.get("iban"):
        return None
    account = payment_slip.Account(bank["holder"], bank["iban"], bank.get("bic", ""), bank.get("name", ""))
    due = paper.money(paper.due_minor)
    reference = paper.reference
    rows = [
        (_("Amount"), filters.money(due)),
        (_("Account holder"), account.holder),
        ("IBAN", references.shown(account.iban)),
        ("BIC", account.bic),
        (_("Bank"), account.bank),
        (_("Reference"), references.shown(reference) if reference else paper.number),
        (_("By"), filters.day(paper.due_on) if paper.due_on else ""),
    ]
    code = payment_slip.epc_payload(account, due, reference) if reference else None
    return {
        "title": _("How to pay by bank transfer"),
        "rows": [row for row in rows if row[1]],
        "code": payment_slip.qr_svg(code) if code else None,
        "code_words": _("Scan with your banking app"),
    }


def _notes(paper: Paper) -> list[str]:
    notes = []
    categories = {tax.category for tax in paper.taxes}
    if Category.REVERSE_CHARGE in categories:
        notes.append(_("Reverse charge: the recipient owes the VAT (Article 196 of Directive 2006/112/EC)."))
    if Category.OUTSIDE in categories:
        notes.append(_("Not subject to VAT in the country of the sender: the service is taxed where you are."))
    if paper.kind == Kind.INVOICE and paper.paid_on:
        notes.append(_("Paid in full on %(date)s. Thank you.", date=filters.day(paper.paid_on)))
    if note := paper.seller.get("note"):
        notes.append(note)
    return notes


def _footer(seller: dict[str, Any]) -> list[str]:
    own = seller.get("footer", "").splitlines()
    return own or [" · ".join(filter(None, [seller["name"], seller.get("email")]))]

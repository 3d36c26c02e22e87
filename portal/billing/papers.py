"""Our own invoices, for whoever pays by bank transfer: asked as a proforma, numbered when paid, corrected by credit
notes. Every verb flushes; the caller holds the vendor's lock (``subscriptions.history.lock``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.audit import service as audit
from portal.billing import balance, numbering, parties, tax
from portal.billing.models import CreditNote, Invoice, InvoiceLine, InvoiceTax, Payment
from portal.billing.rules import Category, Credited, InvoiceStatus, Series, Tax, TaxSum, share_gross, share_out, sum_up
from portal.identity.models import Vendor
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to write: ``amount_minor`` is the line's whole net amount, whatever the quantity; less than zero gives
    something back. The period is half-open. It names the tier's price that it is for, or the add-on's.
    """

    description: str
    amount_minor: int
    quantity: int = 1
    proration: bool = False
    price_id: int | None = None
    addon_price_id: int | None = None
    vendor_addon_id: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None


def issue_proforma(
    vendor_id: int, lines: Sequence[NewLine], currency: str, *, reason: str, due_at: datetime, now: datetime
) -> Invoice:
    """Ask a vendor for money: an open invoice of ours with a proforma number (BIL-4).

    Both sides' legal data and the taxes are kept as they are now. The vendor's balance is used up to the total; where
    it covers everything the invoice is paid at once. ValueError when there is no line or the lines sum below zero.
    """
    if not lines or sum(line.amount_minor for line in lines) < 0:
        raise ValueError("a proforma asks for something")
    vendor = db.session.get_one(Vendor, vendor_id)
    buyer = parties.buyer(vendor)
    taxes, positions = sum_up(
        [line.amount_minor for line in lines], tax.of_lines([line.period_start for line in lines], buyer, now)
    )
    invoice = _written(vendor_id, lines, positions, taxes, currency)
    invoice.reason, invoice.due_at, invoice.issued_at = reason, due_at, now
    invoice.seller, invoice.buyer = parties.seller(), buyer
    invoice.proforma_number = numbering.next_number(Series.PROFORMA, now)
    db.session.add(invoice)
    db.session.flush()
    db.session.add_all(_tax_rows(invoice, taxes))
    _use_balance(invoice, now)
    return invoice


def _written(
    vendor_id: int, lines: Sequence[NewLine], positions: Sequence[int | None], taxes: Sequence[TaxSum], currency: str
) -> Invoice:
    subtotal = sum(line.amount_minor for line in lines)
    tax_minor = sum(found.amount_minor for found in taxes)
    return Invoice(
        vendor_id=vendor_id,
        provider="transfer",
        status=InvoiceStatus.OPEN,
        currency=currency,
        subtotal_minor=subtotal,
        tax_minor=tax_minor,
        total_minor=subtotal + tax_minor,
        due_minor=subtotal + tax_minor,
        paid_minor=0,
        balance_applied_minor=0,
        credited_minor=0,
        refunded_minor=0,
        period_start=min((line.period_start for line in lines if line.period_start), default=None),
        period_end=max((line.period_end for line in lines if line.period_end), default=None),
        lines=[
            InvoiceLine(vendor_id=vendor_id, position=at, tax_position=position, **_values(line))
            for at, (line, position) in enumerate(zip(lines, positions, strict=True))
        ],
    )


def _values(line: NewLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__dataclass_fields__}


def _tax_rows(invoice: Invoice, taxes: Sequence[TaxSum]) -> list[InvoiceTax]:
    return [
        InvoiceTax(
            vendor_id=invoice.vendor_id,
            invoice_id=invoice.id,
            position=at,
            label=found.tax.label,
            country=found.tax.country,
            category=found.tax.category,
            rate_bp=found.tax.rate_bp,
            base_minor=found.base_minor,
            amount_minor=found.amount_minor,
        )
        for at, found in enumerate(taxes)
    ]


def _use_balance(invoice: Invoice, now: datetime) -> None:
    """Take what the vendor has, up to the total; what nothing is left of is paid."""
    used = min(balance.balance(invoice.vendor_id, invoice.currency).minor, invoice.total_minor)
    _book(invoice, -used, f"used:{invoice.id}", f"{invoice.proforma_number}", now)
    invoice.balance_applied_minor = -used
    invoice.due_minor = invoice.total_minor - used
    if invoice.due_minor == 0:
        _settle(invoice, at=now, now=now)
    db.session.flush()


def _book(invoice: Invoice, minor: int, cause: str, description: str, now: datetime) -> None:
    balance.add(
        invoice.vendor_id,
        Money(minor, invoice.currency),
        cause=cause,
        description=description,
        actor_label=SYSTEM.label,
        now=now,
        invoice_id=invoice.id,
    )


def locked(invoice_id: int, vendor_id: int) -> Invoice | None:
    """An invoice of a vendor under a lock, read anew."""
    return db.session.scalar(
        select(Invoice)
        .where(Invoice.id == invoice_id, Invoice.vendor_id == vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def receive(invoice: Invoice, amount_minor: int, *, reference: str, at: datetime, now: datetime) -> int:
    """Money came in by bank transfer, booked ``at``; gives the surplus in minor units, which goes to the balance.

    Once per ``reference``: the same again does nothing and gives 0. In part, the invoice stays open with less to pay.
    In full, it gets its number and today's date and is paid. What comes for a paid or void one is all surplus.
    """
    if amount_minor <= 0:
        raise ValueError("money that came in is more than zero")
    db.session.flush()
    locked(invoice.id, invoice.vendor_id)
    if not insert_once(Payment, _payment(invoice, amount_minor, reference, at), ["provider", "reference"]):
        return 0
    wanted = invoice.due_minor - invoice.paid_minor if invoice.status == InvoiceStatus.OPEN else 0
    taken = min(amount_minor, wanted)
    invoice.paid_minor += taken
    if taken and invoice.paid_minor == invoice.due_minor:
        _settle(invoice, at=at, now=now)
    surplus = amount_minor - taken
    _book(invoice, surplus, f"surplus:{reference}", invoice.number or f"{invoice.proforma_number}", now)
    db.session.flush()
    return surplus


def _payment(invoice: Invoice, amount_minor: int, reference: str, at: datetime) -> dict[str, Any]:
    return {
        "vendor_id": invoice.vendor_id,
        "invoice_id": invoice.id,
        "provider": "transfer",
        "reference": reference,
        "status": "succeeded",
        "currency": invoice.currency,
        "amount_minor": amount_minor,
        "at": at,
    }


def _settle(invoice: Invoice, *, at: datetime, now: datetime) -> None:
    """Paid in full: the proforma becomes the invoice, dated today so that numbers and dates run alike."""
    invoice.number = numbering.next_number(Series.INVOICE, now)
    invoice.status, invoice.paid_at, invoice.issued_at = InvoiceStatus.PAID, at, now


def void(invoice: Invoice, *, now: datetime) -> None:
    """Ask no longer; what was used of the balance, and what came in already, goes back to it. Again: nothing.

    Conflict when it is paid: then a credit note corrects it.
    """
    db.session.flush()
    locked(invoice.id, invoice.vendor_id)
    if invoice.status == InvoiceStatus.VOID:
        return
    if invoice.provider != "transfer" or invoice.status != InvoiceStatus.OPEN:
        raise Conflict(N_("Only an open invoice of our own can be voided."), code="not_open")
    back = -invoice.balance_applied_minor + invoice.paid_minor
    _book(invoice, back, f"void:{invoice.id}", f"{invoice.proforma_number}", now)
    invoice.status, invoice.voided_at = InvoiceStatus.VOID, now
    db.session.flush()


def credit(
    invoice: Invoice, lines: Sequence[NewLine] | None, *, reason: str, cause: str, actor: Actor, now: datetime
) -> CreditNote:
    """Correct a paid invoice of ours: all that is left of it, or these net amounts. Once per ``cause``.

    Taxes follow in proportion. Only the paper is written: the caller decides where the money goes (``balance.add``,
    or a refund). Conflict when the invoice is not a paid one of ours or nothing is left; Invalid (field ``amount``)
    when more is asked than is left, or nothing.
    """
    before, known = _notes_before(invoice, cause)
    if known is not None:
        return known
    net_left = invoice.subtotal_minor - sum(note.subtotal_minor for note in before)
    net = net_left if lines is None else sum(line.amount_minor for line in lines)
    if not 0 < net <= net_left:
        raise Invalid(fields={"amount": N_("Please enter an amount that is more than zero and not more than is left.")})
    taxes = _as_printed(invoice, share_out(net, *_left(invoice, before)))
    printed = _printed(invoice, lines, net, first=not before)
    return _noted(invoice, net, printed, taxes, reason=reason, cause=cause, actor=actor, now=now)


def credit_gross(
    invoice: Invoice, gross_minor: int, *, reason: str, cause: str, actor: Actor, now: datetime
) -> CreditNote:
    """Correct a paid invoice of ours by a sum with tax: money that went back of it. Otherwise as ``credit``."""
    before, known = _notes_before(invoice, cause)
    if known is not None:
        return known
    gross_left = invoice.total_minor - invoice.credited_minor
    if not 0 < gross_minor <= gross_left:
        raise Invalid(fields={"amount": N_("Please enter an amount that is more than zero and not more than is left.")})
    net, shares = share_gross(gross_minor, *_left(invoice, before))
    lines = None if gross_minor == gross_left else [NewLine("", net)]
    printed = _printed(invoice, lines, net, first=not before)
    return _noted(
        invoice, net, printed, _as_printed(invoice, shares), reason=reason, cause=cause, actor=actor, now=now
    )  # fmt: skip


def _notes_before(invoice: Invoice, cause: str) -> tuple[list[CreditNote], CreditNote | None]:
    """The invoice's credit notes under its lock, and the one of this cause; Conflict where none can be added."""
    db.session.flush()
    locked(invoice.id, invoice.vendor_id)
    before = notes_of(invoice)
    known = next((note for note in before if note.cause == cause), None)
    if known is None:
        _creditable(invoice)
    return before, known


def notes_of(invoice: Invoice) -> list[CreditNote]:
    """An invoice's credit notes, oldest first."""
    wanted = select(CreditNote).where(
        CreditNote.vendor_id == invoice.vendor_id, CreditNote.invoice_id == invoice.id
    )  # fmt: skip
    return list(db.session.scalars(wanted.order_by(CreditNote.id)))


def taxes_of(invoice: Invoice) -> list[InvoiceTax]:
    """An invoice's taxes in their order."""
    wanted = select(InvoiceTax).where(
        InvoiceTax.vendor_id == invoice.vendor_id, InvoiceTax.invoice_id == invoice.id
    )  # fmt: skip
    return list(db.session.scalars(wanted.order_by(InvoiceTax.position)))


def _creditable(invoice: Invoice) -> None:
    if invoice.provider != "transfer" or invoice.number is None:
        raise Conflict(
            N_("A credit note corrects a paid invoice of our own. Card payments are refunded, open invoices voided."),
            code="not_creditable",
        )
    if invoice.credited_minor >= invoice.total_minor:
        raise Conflict(N_("All of this invoice has been credited."), code="all_credited")


def _left(invoice: Invoice, before: Sequence[CreditNote]) -> tuple[list[TaxSum], list[Credited], int]:
    """An invoice's taxes, what was taken back of each, and what is left of lines without tax."""
    rows = taxes_of(invoice)
    done = [
        Credited(
            sum(note.taxes[at]["base_minor"] for note in before), sum(note.taxes[at]["amount_minor"] for note in before)
        )
        for at in range(len(rows))
    ]
    untaxed = sum(line.amount_minor for line in invoice.lines if line.tax_position is None)
    untaxed -= sum(n.subtotal_minor - sum(t["base_minor"] for t in n.taxes) for n in before)
    return [_sum_of(row) for row in rows], done, untaxed


def _as_printed(invoice: Invoice, shares: Sequence[Credited]) -> list[dict[str, Any]]:
    """The taxes of a credit note, as its paper prints them."""
    return [
        {"label": row.label, "country": row.country, "category": row.category, "rate_bp": row.rate_bp, **asdict(share)}
        for row, share in zip(taxes_of(invoice), shares, strict=True)
    ]


def _sum_of(row: InvoiceTax) -> TaxSum:
    found = Tax(Category(row.category), row.label, row.country, row.rate_bp)
    return TaxSum(found, row.base_minor, row.amount_minor)


def _printed(invoice: Invoice, lines: Sequence[NewLine] | None, net: int, *, first: bool) -> list[dict[str, Any]]:
    """A credit note's lines as they are kept; "rest" stands for what other credit notes left."""
    if lines is None and not first:
        return [{"description": "", "rest": True, "quantity": 1, "amount_minor": net, "tax_position": None}]
    chosen: Sequence[NewLine | InvoiceLine] = invoice.lines if lines is None else lines
    usual = next(iter({line.tax_position for line in invoice.lines}), None)
    return [
        {
            "description": line.description,
            "quantity": line.quantity,
            "amount_minor": line.amount_minor,
            "tax_position": getattr(line, "tax_position", usual),
            "period_start": line.period_start.isoformat() if line.period_start else None,
            "period_end": line.period_end.isoformat() if line.period_end else None,
        }
        for line in chosen
    ]


def _noted(
    invoice: Invoice,
    net: int,
    lines: list[dict[str, Any]],
    taxes: list[dict[str, Any]],
    *,
    reason: str,
    cause: str,
    actor: Actor,
    now: datetime,
) -> CreditNote:
    tax_minor = sum(found["amount_minor"] for found in taxes)
    note = CreditNote(
        vendor_id=invoice.vendor_id,
        invoice_id=invoice.id,
        provider="transfer",
        number=numbering.next_number(Series.CREDIT_NOTE, now),
        cause=cause,
        reason=reason,
        currency=invoice.currency,
        subtotal_minor=net,
        tax_minor=tax_minor,
        total_minor=net + tax_minor,
        lines=lines,
        taxes=taxes,
        actor_label=actor.label[:120],
        issued_at=now,
    )
    db.session.add(note)
    invoice.credited_minor += note.total_minor
    told = {
        "invoice": invoice.number,
        "credit_note": note.number,
        "amount_minor": note.total_minor,
        "currency": note.currency,
        "reason": reason,
    }
    audit.record(actor, "billing.credited", vendor_id=invoice.vendor_id, data=told, now=now)
    db.session.flush()
    return note

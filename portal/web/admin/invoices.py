"""Invoices of all vendors (ADM-8): search, filters, one in full, export."""

import csv
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy import select

from portal.billing import listing
from portal.billing.listing import InFull
from portal.billing.models import CreditNote, Invoice
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.reporting import invoice_list, vendor_detail
from portal.reporting.invoice_list import EXPORTED, OVERDUE, InvoiceFilter
from portal.web.admin.vendor_detail import MAY_CHANGE
from portal.web.kit import audience, invoice_words, papers, responder, signed_in

blueprint = Blueprint("admin_invoices", __name__)
TEMPLATE = "admin/invoices/page.html"
#: Bytes of an export that are kept in memory; a longer one waits on disk.
IN_MEMORY = 2**20


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of this list that keep what is chosen and change one thing; each begins at its first page."""

    wanted: InvoiceFilter

    def to(self, page: str | None = None, *, endpoint: str = "index", **change: str | None) -> str:
        """The list with ``change`` applied to its filter, at the page behind a cursor."""
        w = replace(self.wanted, **change)  # type: ignore[arg-type] # templates name its fields
        values: dict[str, Any] = {"q": w.words, "status": w.status, "provider": w.provider, "vendor": w.vendor_id}
        return url_for(f"admin_invoices.{endpoint}", **{k: v for k, v in values.items() if v}, page=page)


@blueprint.get("/admin/invoices")
@audience.staff()
def index() -> Response:
    """The list, or only its results while somebody types."""
    wanted, cursor = invoice_list.read(request.args), request.args.get("page")
    links = Links(wanted)
    response = responder.respond(
        TEMPLATE,
        "results",
        wanted=wanted,
        links=links,
        found=invoice_list.page(wanted, cursor, now=clock.business()),
        statuses=_statuses(links),
        providers=[(code, invoice_words.provider(code)) for code in invoice_list.PROVIDERS],
        may_export=_may_change(),
        **invoice_words.helpers(),
    )
    # Without the empty fields that a form sends.
    return responder.shown_at(response, links.to()) if cursor is None else response


def _statuses(links: Links) -> list[dict[str, Any]]:
    every = [*invoice_words.statuses(), ("uncollectible", _("Given up"))]
    every.insert(2, (OVERDUE, _("Overdue")))
    return [
        {"label": label, "href": links.to(status=value), "current": links.wanted.status == value}
        for value, label in every
    ]


def _may_change() -> bool:
    return signed_in.person().staff in MAY_CHANGE


@blueprint.get("/admin/invoices/export")
@audience.staff(StaffKind.FINANCE)
def export() -> Response:
    """Everything the filter leaves as CSV (UTF-8 with a mark, so that spreadsheets read it right)."""
    wanted = invoice_list.read(request.args)
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed where it is sent
    text = io.TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)
    rows = csv.writer(text)
    rows.writerow(EXPORTED)
    rows.writerows(invoice_list.export(wanted, now=clock.business()))
    text.flush()
    text.detach()
    file.seek(0)
    response = Response(_sent(file), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="invoices.csv"'
    return response


def _sent(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces; gone when it is sent or nobody listens any more."""
    with file:
        while piece := file.read(2**16):
            yield piece


def full(invoice_id: int) -> InFull:
    """An invoice of whichever vendor; NotFound for none."""
    vendor_id = db.session.scalar(select(Invoice.vendor_id).where(Invoice.id == invoice_id))
    if vendor_id is None:
        raise NotFound
    return listing.in_full(vendor_id, invoice_id, now=clock.business())


@blueprint.get("/admin/invoices/<int:invoice_id>")
@audience.staff()
def detail(invoice_id: int) -> Response:
    """One invoice with everything that belongs to it."""
    found = full(invoice_id)
    return responder.respond(
        "admin/invoices/detail.html",
        "whole",
        head=vendor_detail.head(found.invoice.vendor_id),
        may_change=_may_change(),
        refundable=any(payment.status == "succeeded" for payment in found.payments),
        note_href=lambda note_id: url_for("admin_invoices.credit_note_pdf", invoice_id=invoice_id, note_id=note_id),
        **invoice_words.of(found),
    )


@blueprint.get("/admin/invoices/<int:invoice_id>/pdf")
@audience.staff()
def pdf(invoice_id: int) -> Response:
    """Ours as a file, Stripe's at Stripe."""
    return papers.invoice(full(invoice_id).invoice)


@blueprint.get("/admin/invoices/<int:invoice_id>/credit-notes/<int:note_id>/pdf")
@audience.staff()
def credit_note_pdf(invoice_id: int, note_id: int) -> Response:
    """A credit note of ours as a file."""
    wanted = select(CreditNote.vendor_id).where(CreditNote.id == note_id, CreditNote.invoice_id == invoice_id)
    vendor_id = db.session.scalar(wanted)
    if vendor_id is None:
        raise NotFound
    return papers.credit_note(vendor_id, note_id)

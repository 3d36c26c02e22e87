"""A vendor's invoices, both ways to pay in one list; one in full; its PDF (BIL-4)."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.billing import listing, money_listing
from portal.billing.listing import Listed, Wanted
from portal.kit import clock
from portal.kit.paging import Page
from portal.web.kit import audience, invoice_words, papers, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor.billing import may_buy
from portal.web.vendor.reading import or_none

blueprint = Blueprint("vendor_invoices", __name__)


@blueprint.get("/vendor/<code>/invoices")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """The list; ``?status=`` and ``?year=`` narrow it, ``?page=`` is a cursor. Three statements."""
    vendor = signed_in.vendor()
    wanted = listing.read(request.args.get("status"), request.args.get("year"))
    cursor = request.args.get("page")
    found: Page[Listed] | None = or_none(lambda: listing.page(vendor.id, wanted, cursor, now=clock.business()))
    return responder.respond(
        "vendor/invoices/page.html",
        "results",
        vendor=vendor,
        wanted=wanted,
        found=found,
        chips_status=_statuses(vendor, wanted),
        chips_year=[] if responder.is_partial() and cursor else _years(vendor, wanted),
        to=lambda page: _to(vendor, wanted, page),
        tab_items=_tabs(vendor, "index"),
        **invoice_words.helpers(),
    )


def _to(vendor: VendorAtDoor, wanted: Wanted, page: str | None = None, **change: Any) -> str:
    """The list with what is chosen, one thing changed."""
    values = {"status": wanted.status, "year": wanted.year or "", **change}
    kept = {name: value for name, value in values.items() if value}
    return url_for("vendor_invoices.index", code=vendor.code, **kept, page=page)


def _statuses(vendor: VendorAtDoor, wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {"label": label, "href": _to(vendor, wanted, status=value), "current": wanted.status == value}
        for value, label in invoice_words.statuses()
    ]


def _years(vendor: VendorAtDoor, wanted: Wanted) -> list[dict[str, Any]]:
    """Every year with invoices; nothing to choose where there is only one."""
    years = or_none(lambda: listing.years(vendor.id)) or []
    if len(years) < 2 and not wanted.year:
        return []
    every = [("", _("Every year")), *((year, str(year)) for year in years)]
    return [
        {"label": label, "href": _to(vendor, wanted, year=value), "current": (wanted.year or "") == value}
        for value, label in every
    ]


@blueprint.get("/vendor/<code>/payments")
@audience.vendor(needs=Needs.ACCOUNT)
def payments(code: str) -> Response:
    """Money in and out, newest first. Two statements."""
    vendor, cursor = signed_in.vendor(), request.args.get("page")
    found = or_none(lambda: money_listing.page(vendor.id, cursor))
    return responder.respond(
        "vendor/invoices/payments.html",
        "results",
        vendor=vendor,
        found=found,
        to=lambda page: url_for("vendor_invoices.payments", code=vendor.code, page=page),
        tab_items=_tabs(vendor, "payments"),
        **invoice_words.helpers(),
    )


def _tabs(vendor: VendorAtDoor, here: str) -> list[dict[str, Any]]:
    """The two lists."""
    words = (("index", _("Invoices")), ("payments", _("Payments")))
    return [
        {"label": label, "href": url_for(f"vendor_invoices.{name}", code=vendor.code), "current": name == here}
        for name, label in words
    ]


@blueprint.get("/vendor/<code>/invoices/<int:invoice_id>")
@audience.vendor(needs=Needs.ACCOUNT)
def detail(code: str, invoice_id: int) -> Response:
    """One invoice in full; prints well."""
    vendor = signed_in.vendor()
    full = listing.in_full(vendor.id, invoice_id, now=clock.business())
    return responder.respond(
        "vendor/invoices/detail.html",
        vendor=vendor,
        may_buy=may_buy(vendor),
        note_href=lambda note_id: url_for("vendor_invoices.credit_note_pdf", code=vendor.code, note_id=note_id),
        **invoice_words.of(full),
    )


@blueprint.get("/vendor/<code>/invoices/<int:invoice_id>/pdf")
@audience.vendor(needs=Needs.ACCOUNT)
def pdf(code: str, invoice_id: int) -> Response:
    """Ours as a file, Stripe's at Stripe."""
    vendor = signed_in.vendor()
    return papers.invoice(listing.in_full(vendor.id, invoice_id, now=clock.business()).invoice)


@blueprint.get("/vendor/<code>/invoices/credit-notes/<int:note_id>/pdf")
@audience.vendor(needs=Needs.ACCOUNT)
def credit_note_pdf(code: str, note_id: int) -> Response:
    """A credit note of ours as a file."""
    return papers.credit_note(signed_in.vendor().id, note_id)

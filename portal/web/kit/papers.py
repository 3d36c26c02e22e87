"""Handing out papers: ours as files, Stripe's by leading to Stripe."""

from urllib.parse import urlsplit

from flask import Response, current_app

from portal.billing import paper as papers
from portal.billing.models import Invoice
from portal.billing.paper import Paper
from portal.kit.errors import NotFound, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading
from portal.web.kit import paper_words, responder

#: Where Stripe keeps its papers.
STRIPE_ORIGINS = frozenset({"https://pay.stripe.com", "https://invoice.stripe.com", "https://files.stripe.com"})


def invoice(found: Invoice) -> Response:
    """The PDF of an invoice, whoever wrote it. NotFound where there is none (yet)."""
    if found.provider == "stripe":
        return _at_stripe(found)
    paper = papers.of_invoice(found.vendor_id, found.id)
    if paper is None:
        raise NotFound
    return _file(paper)


def credit_note(vendor_id: int, note_id: int) -> Response:
    """The PDF of a credit note of ours."""
    paper = papers.of_credit_note(vendor_id, note_id)
    if paper is None:
        raise NotFound
    return _file(paper)


def _file(paper: Paper) -> Response:
    """To be kept, not shown in a frame; nobody between may keep it."""
    end_reading()
    response = Response(paper_words.pdf(paper), mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'attachment; filename="{paper.file_name}"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _at_stripe(found: Invoice) -> Response:
    """Led to where Stripe says it is, if that is a place of Stripe's."""
    if not found.pdf_url:
        raise NotFound
    if not is_stripes(found.pdf_url):
        raise Unavailable(N_("Stripe named an address for this PDF that is not Stripe's, so it is not opened."))
    return responder.go(found.pdf_url)


def is_stripes(address: str) -> bool:
    """Is this a page of Stripe's, or of the sandbox that stands for it?"""
    sandbox = current_app.extensions["portal_config"].sandbox_url
    parts, own = urlsplit(address), urlsplit(sandbox)
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin in STRIPE_ORIGINS or bool(sandbox and origin == f"{own.scheme}://{own.netloc}")

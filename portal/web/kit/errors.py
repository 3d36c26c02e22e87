"""One handler turns every error into a page, a fragment or problem JSON."""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from portal.entitlements.refusals import FeatureMissing, LimitReached
from portal.kit import log
from portal.kit.db import db
from portal.kit.errors import PortalError, TooMany, Unauthenticated
from portal.web.kit import callers, responder, signed_in, upsell
from portal.web.kit.filters import error_text
from portal.web.kit.signed_in import LeadElsewhere
from portal.web.kit.upsell import Upsell

logger = log.get(__name__)

#: Where a wrong address or method leads, by status: code, title and what to do are in the template.
CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


def problem(error: PortalError) -> Response:
    """RFC 9457 problem details with a stable code; field errors under ``errors``."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error_text(error),
    }
    if error.fields:
        body["errors"] = {name: _(text) for name, text in error.fields.items()}
    if leads := error.action[1] if error.action else callers.way_out(error):
        body["next_url"] = leads
    body.update({name: value for name, value in error.facts.items() if name not in body})
    response = jsonify(body)
    response.status_code, response.mimetype = error.status, "application/problem+json"
    return response


def wants_json() -> bool:
    """Programs come through ``/api``."""
    return request.path.startswith("/api/")


def render(error: PortalError) -> Response:
    """The error in the shape that this request can show."""
    db.session.rollback()
    if wants_json():
        response = problem(error)
    else:
        template = "shared/error_fragment.html" if responder.is_partial() else "shared/error.html"
        response = responder.vary(
            make_response(render_template(template, error=error, told=_told(error)), error.status)
        )
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated) and wants_json():
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _told(error: PortalError) -> Upsell | None:
    """What the plan lacks and what would bring it, where that is why the vendor at the door was refused (LIM-2)."""
    who = signed_in.visitor() if "audience" in g else None
    if who is None or who.vendor is None or not isinstance(error, LimitReached | FeatureMissing):
        return None
    return upsell.refused(who.vendor, error)


def _sign_in() -> Response:
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    if responder.is_partial():
        target = request.headers.get("HX-Current-URL-Path") or None
    return responder.go(url_for("public_sign_in.form", next=responder.safe_next(target)))


def _known(error: PortalError) -> Response:
    if isinstance(error, Unauthenticated) and not wants_json():
        return _sign_in()
    return render(error)


def _http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return Response(status=error.code or 302, headers=error.get_headers())
    known = PortalError(code=CODES.get(error.code, "http_error"))
    known.status = error.code
    known.message = error.description or HTTPStatus(error.code).phrase
    response = render(known)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    logger.exception("request.failed", path=request.path, error=type(error).__name__)
    return render(PortalError())


def _csrf(error: CSRFError) -> Response:
    known = PortalError(_("This form is out of date. Load the page again, then send it."), code="csrf")
    known.status = 400
    return render(known)


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(PortalError, _known)
    app.register_error_handler(LeadElsewhere, lambda lead: lead_elsewhere(lead))
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def lead_elsewhere(lead: LeadElsewhere) -> Response:
    """A closed page leads to where it can be put right, with a line that says why."""
    separator = "&" if "?" in lead.url else "?"
    return responder.go(f"{lead.url}{separator}why={lead.reason}" if lead.reason else lead.url)

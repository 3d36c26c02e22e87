"""One responder decides page or fragment, redirect or HX-Redirect. No door reads HTMX headers."""

import json
from typing import Any
from urllib.parse import urlsplit

from flask import Response, flash, make_response, redirect, render_template, request
from jinja2_fragments.flask import render_block


def is_partial() -> bool:
    """Does htmx ask for a fragment? History restores ask for whole pages."""
    return request.headers.get("HX-Request-Type") == "partial"


def respond(template: str, block: str | None = None, *, status: int = 200, **context: Any) -> Response:
    """The page, or only ``block`` of it when htmx asked for a fragment."""
    html = render_block(template, block, **context) if block and is_partial() else render_template(template, **context)
    return vary(make_response(html, status))


def vary(response: Response) -> Response:
    """A cache must not give a fragment for a page."""
    response.vary.add("HX-Request-Type")
    return response


def waking(response: Response, *events: str) -> Response:
    """Let the regions that listen to ``events`` look again once this fragment has arrived."""
    response.headers["HX-Trigger"] = json.dumps({event: {} for event in events})
    return response


def shown_at(response: Response, url: str) -> Response:
    """Let the address bar show ``url`` for a fragment that stands for a page."""
    if is_partial():
        response.headers["HX-Replace-Url"] = url
    return response


def go(url: str) -> Response:
    """Send the browser to ``url``, on our origin or to a provider's page; htmx itself fetches same-origin only."""
    if is_partial():
        return Response(status=200, headers={"HX-Redirect": url})
    return Response(status=303, headers={"Location": redirect(url).location})


def done(url: str, message: str, *events: str, level: str = "success") -> Response:
    """A write succeeded. In a modal: close it, wake the regions that listen to ``events``, say so in a toast.

    Without htmx, or where the form had been opened as a page of its own: back to ``url`` with the message flashed.
    """
    if not is_partial() or _sent_from_its_own_page(url):
        flash(message, level)
        return go(url)
    triggers: dict[str, Any] = {"modal:close": {}, "toast": {"level": level, "text": message}}
    triggers.update({event: {} for event in events})
    return Response(status=200, headers={"HX-Trigger": json.dumps(triggers), "HX-Reswap": "none"})


def _sent_from_its_own_page(url: str) -> bool:
    """Does the form fill the page that the browser shows? Then there is no modal to close, and the page is over."""
    shown = urlsplit(request.headers.get("HX-Current-URL", "")).path
    return shown == request.path != urlsplit(url).path


def safe_next(target: str | None) -> str | None:
    """``target`` when it is a path on our own origin, else None: redirects never leave (open redirect)."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    if any(ord(c) < 32 for c in target) or "\\" in target:
        return None
    return target

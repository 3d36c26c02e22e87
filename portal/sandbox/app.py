"""The WSGI application of one sandbox instance."""

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request

from portal.sandbox import api, console, control, hosted_checkout, hosted_invoice, lines
from portal.sandbox.config import SandboxConfig
from portal.sandbox.engine import Sandbox

SAFE = ("GET", "HEAD", "OPTIONS")


def create_sandbox(config: SandboxConfig) -> Flask:
    """A sandbox as a Flask application; its engine is `app.extensions["sandbox"]`. Starts no thread."""
    app = Flask(__name__, template_folder="templates", static_folder="static", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    app.extensions["sandbox"] = Sandbox(config)
    app.jinja_env.filters.update(money=lines.money, day=lines.day)
    for door in (api.bp, control.bp, hosted_checkout.bp, hosted_invoice.bp, console.bp):
        app.register_blueprint(door)
    app.before_request(_refuse_other_sites)
    app.after_request(_headers)
    return app


def _refuse_other_sites() -> tuple[str, int] | None:
    """Another web site must not press the buttons of a sandbox on someone's machine (there is no cookie to check)."""
    if request.method in SAFE or request.path.startswith("/v1/"):
        return None
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None and origin is None:
        return None  # not a browser
    # A foreign name that leads to this machine (DNS rebinding) would make both headers look like our own.
    public = urlsplit(current_app.extensions["sandbox"].config.public_url).hostname
    known = urlsplit(f"//{request.host}").hostname in {"127.0.0.1", "localhost", "::1", public}
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign or not known or site not in (None, "same-origin", "none"):
        return "Requests from other sites are refused.", 403
    return None


def _headers(response: Response) -> Response:
    targets = " ".join(("'self'", *g.get("form_targets", ())))
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        f"form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
    return response

"""The mails that were kept because there is no mail server (NOT-2). Never in production."""

from flask import Blueprint, Response, current_app, make_response, render_template, request

from portal.kit.errors import NotFound
from portal.notifications import queries
from portal.notifications.models import SentMail
from portal.web.kit import audience

blueprint = Blueprint("public_mailbox", __name__)

#: A mail is a document of its own: it runs nothing, loads nothing and styles itself.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.get("/mailbox")
@audience.public
def index() -> Response:
    """Kept mails, newest first."""
    _only_where_kept()
    page = queries.kept(request.args.get("at"))
    return make_response(render_template("public/mailbox/page.html", page=page))


@blueprint.get("/mailbox/<int:mail_id>")
@audience.public
def show(mail_id: int) -> Response:
    """One mail: its head and its text, links to be followed."""
    return make_response(render_template("public/mailbox/mail.html", mail=_mail(mail_id)))


@blueprint.get("/mailbox/<int:mail_id>/html")
@audience.public
def html(mail_id: int) -> Response:
    """The mail's HTML as a mail program shows it."""
    response = make_response(_mail(mail_id).body_html or "")
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


def _only_where_kept() -> None:
    config = current_app.extensions["portal_config"]
    if config.app_env == "production" or config.mail_configured:
        raise NotFound


def _mail(mail_id: int) -> SentMail:
    _only_where_kept()
    if (mail := queries.kept_mail(mail_id)) is None:
        raise NotFound
    return mail

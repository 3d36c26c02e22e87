"""A visitor's question: no account needed, the answer comes by mail (SUB-6)."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, HiddenField, StringField, TextAreaField
from wtforms.validators import Length

from portal.kit import clock, tenancy
from portal.kit.unit_of_work import unit_of_work
from portal.support import service
from portal.support.rules import BODY_MAX, SUBJECT_MAX, Sender, TicketKind
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks
from portal.web.vendor.support import sold_on_request

blueprint = Blueprint("public_contact", __name__)
PAGE = "public/contact/page.html"


class ContactForm(Form):
    """Who asks, and what."""

    name = StringField(_l("Your name"), validators=[checks.needed(_l("Enter your name.")), checks.NAME_LENGTH])
    email = EmailField(
        _l("Email address"),
        validators=[checks.needed(_l("Enter your email address.")), checks.EMAIL_LENGTH, checks.email_address],
    )
    subject = StringField(
        _l("Subject"),
        validators=[
            checks.needed(_l("Say in a few words what it is about.")),
            Length(max=SUBJECT_MAX, message=_l("Use at most 150 characters.")),
        ],
    )
    body = TextAreaField(
        _l("Your question"),
        validators=[
            checks.needed(_l("Write what you need.")),
            Length(max=BODY_MAX, message=_l("Use at most 5,000 characters.")),
        ],
    )
    tier = HiddenField()


@blueprint.get("/contact")
@audience.public
def form() -> Response:
    """The form; ``?tier=`` asks for a plan without a public price. Who has a vendor asks from within it."""
    tier = request.args.get("tier", "")[:20]
    who = signed_in.visitor()
    if who and who.vendor:
        return responder.go(url_for("vendor_support.form", code=who.vendor.code, tier=tier or None))
    blank = ContactForm(None)
    if (named := sold_on_request(tier)) is not None:
        blank.tier.data = tier
        blank.subject.data = _("An offer for %(tier)s", tier=named)
    if who:
        blank.name.data, blank.email.data = who.name, who.email
    return _page(blank)


@blueprint.post("/contact")
@limits.limiter.limit(limits.ASK, methods=["POST"])
@audience.public
def send() -> Response:
    """Keep the question as a ticket; the same again within minutes is the same ticket."""
    filled = ContactForm()
    if not filled.validate():
        return _page(filled, 422)
    tier = filled.tier.data if sold_on_request(filled.tier.data or "") is not None else None
    sender = Sender(filled.name.data, filled.email.data, str(get_locale() or "en"))
    with tenancy.unscoped("a visitor's question belongs to no vendor"), unit_of_work():
        service.open_ticket(
            None, sender, subject=filled.subject.data, body=filled.body.data,
            kind=TicketKind.SALES if tier else TicketKind.QUESTION, tier_code=tier, now=clock.business(),
        )  # fmt: skip
    return make_response(render_template(PAGE, form=filled, sent=True, tier=None))


def _page(filled: ContactForm, status: int = 200) -> Response:
    tier = sold_on_request(filled.tier.data or "")
    return make_response(render_template(PAGE, form=filled, sent=False, tier=tier), status)

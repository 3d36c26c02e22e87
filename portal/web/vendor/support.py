"""A vendor's questions: asked, read, answered. Open in every standing."""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from portal.support import queries, service
from portal.support.rules import BODY_MAX, SUBJECT_MAX, Sender, TicketKind
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_support", __name__)


class QuestionForm(Form):
    """What it is about. ``tier`` is set where a plan without a public price is asked for."""

    subject = StringField(
        _l("Subject"),
        validators=[
            DataRequired(_l("Say in a few words what it is about.")),
            Length(max=SUBJECT_MAX, message=_l("Use at most 150 characters.")),
        ],
    )
    body = TextAreaField(
        _l("Your question"),
        validators=[
            DataRequired(_l("Write what you need.")),
            Length(max=BODY_MAX, message=_l("Use at most 5,000 characters.")),
        ],
    )
    tier = HiddenField()


class ReplyForm(Form):
    """One more message in a ticket."""

    body = TextAreaField(
        _l("Your reply"),
        validators=[
            DataRequired(_l("Write something first.")),
            Length(max=BODY_MAX, message=_l("Use at most 5,000 characters.")),
        ],
    )


@blueprint.get("/vendor/<code>/support")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """All tickets of the vendor, the newest message first."""
    vendor = signed_in.vendor()
    found = queries.of_vendor(vendor.id, request.args.get("page"))
    return responder.respond("vendor/support/page.html", "tickets", vendor=vendor, found=found)


@blueprint.get("/vendor/<code>/support/new")
@audience.vendor(needs=Needs.ACCOUNT)
def form(code: str) -> Response:
    """The question; ``?tier=`` asks for a plan without a public price (SUB-6)."""
    vendor = signed_in.vendor()
    blank = QuestionForm(None)
    tier = request.args.get("tier", "")[:20]
    if (named := sold_on_request(tier)) is not None:
        blank.tier.data = tier
        blank.subject.data = _("An offer for %(tier)s", tier=named)
    return _ask(vendor, blank)


@blueprint.post("/vendor/<code>/support")
@limits.limiter.limit(limits.ASK, methods=["POST"])
@audience.vendor(needs=Needs.ACCOUNT)
def ask(code: str) -> Response:
    """Open a ticket; the same question sent twice is one."""
    vendor, filled = signed_in.vendor(), QuestionForm()
    if not filled.validate():
        return _ask(vendor, filled, 422)
    tier = filled.tier.data if sold_on_request(filled.tier.data or "") is not None else None
    with unit_of_work():
        ticket = service.open_ticket(
            vendor.id, _sender(), subject=filled.subject.data, body=filled.body.data,
            kind=TicketKind.SALES if tier else TicketKind.QUESTION, tier_code=tier, now=clock.business(),
        )  # fmt: skip
    where = url_for("vendor_support.show", code=vendor.code, ticket_id=ticket)
    return responder.done(where, _("Your question has arrived. We answer here and by mail."), "tickets-changed")


@blueprint.get("/vendor/<code>/support/<int:ticket_id>")
@audience.vendor(needs=Needs.ACCOUNT)
def show(code: str, ticket_id: int) -> Response:
    """A ticket with all that was said."""
    return _thread(signed_in.vendor(), ticket_id, ReplyForm(None))


@blueprint.post("/vendor/<code>/support/<int:ticket_id>")
@limits.limiter.limit(limits.ASK, methods=["POST"])
@audience.vendor(needs=Needs.ACCOUNT)
def reply(code: str, ticket_id: int) -> Response:
    """Write more; a closed ticket is open again."""
    vendor, filled = signed_in.vendor(), ReplyForm()
    if not filled.validate():
        return _thread(vendor, ticket_id, filled, 422)
    with unit_of_work():
        service.reply(vendor.id, ticket_id, _sender(), filled.body.data, now=clock.business())
    here = url_for("vendor_support.show", code=vendor.code, ticket_id=ticket_id)
    return responder.done(here, _("Your reply has arrived."))


def sold_on_request(tier_code: str) -> str | None:
    """The name of an active tier whose price must be agreed; None for every other word."""
    tier = catalog.tier_by_code(tier_code) if tier_code else None
    on_request = tier is not None and tier.is_active and tier.is_public and not tier.self_service
    return _(tier.name) if tier and on_request else None


def _sender() -> Sender:
    who = signed_in.person()
    return Sender(who.name, who.email, who.locale, who.user_id)


def _ask(vendor: VendorAtDoor, filled: QuestionForm, status: int = 200) -> Response:
    return responder.respond(
        "vendor/support/ask.html",
        "modal",
        status=status,
        vendor=vendor,
        form=filled,
        tier=sold_on_request(filled.tier.data or ""),
    )


def _thread(vendor: VendorAtDoor, ticket_id: int, filled: ReplyForm, status: int = 200) -> Response:
    thread = queries.thread(ticket_id, vendor.id)
    return responder.respond("vendor/support/ticket.html", status=status, vendor=vendor, thread=thread, form=filled)

"""The operator's queue of tickets (ADM-6): read, answer by mail, close."""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import TextAreaField
from wtforms.validators import DataRequired, Length

from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from portal.support import queries, service
from portal.support.rules import BODY_MAX, TicketState
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_support", __name__)
ALL = "all"


class AnswerForm(Form):
    """What the asker is told."""

    body = TextAreaField(
        _l("Your answer"),
        validators=[
            DataRequired(_l("Write something first.")),
            Length(max=BODY_MAX, message=_l("Use at most 5,000 characters.")),
        ],
    )


@blueprint.get("/admin/support")
@audience.staff()
def index() -> Response:
    """The queue: open tickets first asked for, others by a click."""
    named = request.args.get("state", TicketState.OPEN)
    state = TicketState(named) if named in list(TicketState) else None
    found = queries.queue(state, request.args.get("page"))
    return responder.respond("admin/support/page.html", "tickets", found=found, state=state, chips_items=_chips(state))


def _chips(state: TicketState | None) -> list[dict[str, object]]:
    words = ((TicketState.OPEN, _("Open")), (TicketState.ANSWERED, _("Answered")), (TicketState.CLOSED, _("Closed")),
             (None, _("All")))  # fmt: skip
    return [
        {"label": label, "href": url_for("admin_support.index", state=value or ALL), "current": value == state}
        for value, label in words
    ]


@blueprint.get("/admin/support/<int:ticket_id>")
@audience.staff()
def show(ticket_id: int) -> Response:
    """A ticket with all that was said."""
    return _thread(ticket_id, AnswerForm(None))


@blueprint.post("/admin/support/<int:ticket_id>")
@audience.staff()
def answer(ticket_id: int) -> Response:
    """Answer: the asker gets it by mail."""
    filled = AnswerForm()
    if not filled.validate():
        return _thread(ticket_id, filled, 422)
    with unit_of_work():
        service.answer(ticket_id, filled.body.data, actor=signed_in.actor(), now=clock.business())
    return responder.done(url_for("admin_support.show", ticket_id=ticket_id), _("The answer is on its way by mail."))


@blueprint.post("/admin/support/<int:ticket_id>/close")
@audience.staff()
def close(ticket_id: int) -> Response:
    """Nothing more is to be done; a reply opens it again."""
    with unit_of_work():
        closed = service.close(ticket_id, actor=signed_in.actor(), now=clock.business())
    message = _("The ticket is closed.") if closed else _("The ticket was closed before.")
    return responder.done(url_for("admin_support.index"), message)


def _thread(ticket_id: int, filled: AnswerForm, status: int = 200) -> Response:
    return responder.respond("admin/support/ticket.html", status=status, thread=queries.thread(ticket_id), form=filled)

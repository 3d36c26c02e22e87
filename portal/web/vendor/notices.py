"""Notes of the portal for a vendor's people: a list, read one by one or all at once."""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from wtforms import IntegerField
from wtforms.validators import InputRequired, NumberRange

from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import notes
from portal.web.kit import audience, note_words, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_notices", __name__)
TEMPLATE = "vendor/notices/page.html"


@blueprint.get("/vendor/<code>/notifications")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """A page of notes, newest first."""
    vendor = signed_in.vendor()
    found = notes.page(vendor.id, request.args.get("page"))
    told = [note_words.tell(note, vendor.code) for note in found.rows]
    return responder.respond(TEMPLATE, "results", vendor=vendor, found=found, told=told)


@blueprint.post("/vendor/<code>/notifications/<int:note_id>/read")
@audience.vendor(needs=Needs.ACCOUNT)
def read(code: str, note_id: int) -> Response:
    """One is read, for everybody of the vendor; a second time changes nothing."""
    vendor = signed_in.vendor()
    with unit_of_work():
        notes.mark_read(vendor.id, note_id, now=clock.business())
    return responder.go(url_for("vendor_notices.index", code=vendor.code))


class UntilForm(Form):
    """The newest note that the person saw: what came later stays new."""

    until = IntegerField(validators=[InputRequired(), NumberRange(0, 2**63 - 1)])


@blueprint.post("/vendor/<code>/notifications/read")
@audience.vendor(needs=Needs.ACCOUNT)
def read_all(code: str) -> Response:
    """All that were on the page are read."""
    vendor, form = signed_in.vendor(), UntilForm()
    if not form.validate():
        raise Invalid
    with unit_of_work():
        changed = notes.mark_all_read(vendor.id, until=form.until.data or 0, now=clock.business())
    words = ngettext("%(num)d notification marked as read.", "%(num)d notifications marked as read.", changed)
    here = url_for("vendor_notices.index", code=vendor.code)
    return responder.done(here, words if changed else _("All were read already."), "notes-changed")

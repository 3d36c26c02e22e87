"""Setting up (ADM-5): what is under way, waits or failed, and what a person may do about it."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField
from wtforms import HiddenField, IntegerField, TextAreaField
from wtforms.validators import AnyOf, Optional
from wtforms.widgets import HiddenInput

from portal.addons import certificates, provisioning_flows
from portal.addons import provisioning_queries as queries
from portal.addons import provisioning_staff as staff
from portal.addons.certificate_rules import LARGEST, NO_CHAIN
from portal.addons.provisioning_queries import Setup, StepView
from portal.addons.rules import RunState, StepState
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, TooLarge
from portal.kit.unit_of_work import unit_of_work
from portal.web.admin import provisioning_words as words
from portal.web.kit import audience, responder, signed_in, uploads
from portal.web.kit.forms import Form
from portal.web.vendor.certificate import attachment

blueprint = Blueprint("admin_provisioning", __name__)
LIST, ONE = "admin/provisioning/page.html", "admin/provisioning/detail.html"
CHANGED = "provisioning-changed"
MAY_ACT = frozenset({StaffKind.ADMIN, StaffKind.SUPPORT})
#: What may be done; those in ASKED are confirmed with a reason first.
ASKED = ("complete", "skip", "undo", "cancel")
ACTS = ("retry", "again", *ASKED)


class ActForm(Form):
    """One act on a run or on a step of it."""

    do = HiddenField(validators=[AnyOf(ACTS)])
    step = IntegerField(widget=HiddenInput(), validators=[Optional()])
    note = TextAreaField(
        _l("Note"),
        description=_l("For your colleagues: it stands in the log and in the audit log, vendors do not see it."),
    )


class ChainForm(Form):
    """What the authority gave."""

    chain = FileField(
        _l("Certificate and chain"),
        description=_l("One PEM file, 64 KB at most: the domain's own certificate first, then who vouches for it."),
    )


@blueprint.get("/admin/provisioning")
@audience.staff()
def index() -> Response:
    """The table, or only its rows for another filter or page."""
    asked = request.args.get("show", "open")
    chosen = asked if asked in queries.FILTERS else "open"
    now = clock.business()
    counts = queries.counts(now)
    return responder.respond(
        LIST,
        "results",
        chosen=chosen,
        found=queries.page(chosen, request.args.get("page"), now),
        chips_items=_chips(chosen, counts),
        words=words,
        now=now,
    )


def _chips(chosen: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    labels = {"open": _("Open"), "staff": _("Waiting for staff"), "failed": _("Failed"), "late": _("Late"),
              "running": _("Running"), "vendor": _("Waiting for the vendor"), "all": _("All")}  # fmt: skip
    return [
        {"label": labels[name], "href": url_for("admin_provisioning.index", show=name), "current": name == chosen,
         "count": counts.get(name)}
        for name in queries.FILTERS
    ]  # fmt: skip


@blueprint.get("/admin/provisioning/<int:run_id>")
@audience.staff()
def show(run_id: int) -> Response:
    """One run: its steps, what may be done, and what happened."""
    return _detail(queries.of_run(run_id))


@blueprint.get("/admin/provisioning/<int:run_id>/act")
@audience.staff(StaffKind.SUPPORT)
def confirm(run_id: int) -> Response:
    """What an act does and does not do, with room for the reason."""
    blank = ActForm(None)
    blank.do.data, blank.step.data = request.args.get("do", ""), request.args.get("step", type=int)
    if blank.do.data not in ASKED:
        raise NotFound
    return _ask(queries.of_run(run_id), blank)


@blueprint.post("/admin/provisioning/<int:run_id>/act")
@audience.staff(StaffKind.SUPPORT)
def act(run_id: int) -> Response:
    """Do it; a reason that is missing comes back at the field."""
    setup, filled = queries.of_run(run_id), ActForm()
    if not filled.validate() or (filled.do.data not in ("cancel", "again") and not _has(setup, filled.step.data)):
        raise NotFound
    try:
        where = _do(setup, filled)
    except Invalid as error:
        filled.refuse(error)
        return _ask(setup, filled, 422)
    except Conflict as error:
        error.action = (_("Look at the run"), url_for("admin_provisioning.show", run_id=run_id))
        raise
    return responder.done(url_for("admin_provisioning.show", run_id=where), _said(filled.do.data), CHANGED)


def _has(setup: Setup, step_id: int | None) -> bool:
    return any(step.id == step_id for step in setup.steps)


def _do(setup: Setup, filled: ActForm) -> int:
    """Gives the run to look at afterwards."""
    assert setup.run_id is not None
    who, now, step, note = signed_in.actor(), clock.business(), filled.step.data, filled.note.data or ""
    if filled.do.data == "undo":
        provisioning_flows.undo(step, note=note, actor=who)
        return setup.run_id
    with unit_of_work():
        if filled.do.data == "again":
            return staff.start_again(setup.run_id, actor=who, now=now).id
        if filled.do.data == "cancel":
            staff.cancel(setup.run_id, note=note, actor=who, now=now)
        elif filled.do.data == "retry":
            staff.retry(step, actor=who, now=now)
        elif filled.do.data == "complete":
            staff.complete(step, note=note, actor=who, now=now)
        else:
            staff.skip(step, note=note, actor=who, now=now)
    return setup.run_id


def _said(do: str) -> str:
    return {
        "retry": _("The step is tried again now."),
        "again": _("Begun anew."),
        "complete": _("The step is done; the run goes on."),
        "skip": _("The step is left out; the run goes on."),
        "undo": _("The step is undone. Try it again, or stop the run."),
        "cancel": _("The run is stopped."),
    }[do]


@blueprint.get("/admin/provisioning/<int:run_id>/request")
@audience.staff(StaffKind.SUPPORT)
def request_file(run_id: int) -> Response:
    """The certificate request, to order with."""
    setup = queries.of_run(run_id)
    found = certificates.newer_than(setup.vendor_id, setup.addon_id, 0)
    if setup.provisioning != "certificate" or found is None:
        raise NotFound
    return attachment(found.request_pem, f"{found.name}.csr")


@blueprint.get("/admin/provisioning/<int:run_id>/chain")
@audience.staff(StaffKind.SUPPORT)
def chain_form(run_id: int) -> Response:
    """Where the chain is handed in."""
    return _upload(_of_certificate(run_id), ChainForm(None))


@blueprint.post("/admin/provisioning/<int:run_id>/chain")
@audience.staff(StaffKind.SUPPORT)
@uploads.takes_files(LARGEST)
def chain(run_id: int) -> Response:
    """Hand the chain in: checked against the key, the domain and the dates before it is kept."""
    setup, filled = _of_certificate(run_id), ChainForm()
    sent = request.files.get("chain")
    if sent is None or not sent.filename:
        filled.chain.errors = [_("Choose a file first.")]
        return _upload(setup, filled, 422)
    try:
        text = _text(sent.stream.read(LARGEST + 1))
        with unit_of_work():
            certificates.deliver(run_id, text, actor=signed_in.actor(), now=clock.business())
    except (Invalid, TooLarge, Conflict) as error:
        filled.refuse(error)
        return _upload(setup, filled, error.status)
    here = url_for("admin_provisioning.show", run_id=run_id)
    return responder.done(here, _("The certificate is kept, and the vendor can fetch it."), CHANGED)


def _text(sent: bytes) -> str:
    try:
        return sent.decode("ascii")
    except UnicodeDecodeError as error:
        raise Invalid(fields={"chain": NO_CHAIN}) from error


def _of_certificate(run_id: int) -> Setup:
    setup = queries.of_run(run_id)
    if setup.provisioning != "certificate":
        raise NotFound
    return setup


def _detail(setup: Setup) -> Response:
    assert setup.run_id is not None
    current, now = setup.current, clock.business()
    return responder.respond(
        ONE,
        "run",
        setup=setup,
        log=queries.log_of_run(setup.run_id),
        words=words,
        now=now,
        may_act=signed_in.person().staff in MAY_ACT,
        every="5s" if setup.state != RunState.FAILED and _moves(current, now) else None,
        wants_chain=setup.provisioning == "certificate" and current is not None and current.code == "order",
    )


def _moves(step: StepView | None, now: datetime) -> bool:
    """Is it being tried this moment, or about to be: also when it waited, and what it waited for has just come?"""
    if step is None:
        return False
    is_due = step.next_try_at is not None and step.next_try_at <= now
    return is_due or step.state in (StepState.TODO, StepState.RUNNING)


def _ask(setup: Setup, filled: ActForm, status: int = 200) -> Response:
    step = next((each for each in setup.steps if each.id == filled.step.data), None)
    if filled.do.data != "cancel" and step is None:
        raise NotFound
    template = "admin/provisioning/act.html"
    return responder.respond(template, "modal", status=status, setup=setup, form=filled, step=step, words=words)


def _upload(setup: Setup, filled: ChainForm, status: int = 200) -> Response:
    return responder.respond("admin/provisioning/chain.html", "modal", status=status, setup=setup, form=filled)

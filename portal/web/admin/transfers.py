"""Bank transfers (ADM-9): what came in, what is open, and saying that the one pays the other."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import DateField, HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, Optional, Regexp

from portal.billing import references, statements, transfer_views, transfers
from portal.billing.statement_files import amount, decimal_mark
from portal.billing.statements import Awaited
from portal.checkout import transfer
from portal.checkout.transfer import Approval, Decided
from portal.gateways import storage
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound, PortalError
from portal.kit.money import Money, minor_digits
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.settings import queries as settings
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_transfers", __name__)
PAGE, APPROVE, REJECT = "admin/transfers/page.html", "admin/transfers/approve.html", "admin/transfers/reject.html"
EVENTS = ("transfers-changed", "subscription-changed", "history-changed")
#: How long money is recognised that comes for something rejected or cancelled.
STILL_KNOWN = timedelta(days=90)
OUT_OF_DATE = _l("This form is out of date. Load the page again, then send it.")


class ApproveForm(Form):
    """What came in, when it was booked, and when the paid period begins if not by itself."""

    amount = StringField(_l("Amount that arrived"), validators=[InputRequired(_l("Enter the amount."))])
    booked_on = DateField(_l("Booked on"), validators=[InputRequired(_l("Enter the day."))])
    start = DateField(_l("Paid period begins on"), validators=[Optional()])
    line = HiddenField(validators=[Optional(), Regexp(r"^\d{1,18}$")])
    base_version = HiddenField(validators=[Regexp(r"^\d{1,18}$", message=OUT_OF_DATE)])


class RejectForm(Form):
    """Why the money is not there."""

    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why: the vendor reads it.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )
    base_version = HiddenField(validators=[Regexp(r"^\d{1,18}$", message=OUT_OF_DATE)])


@blueprint.get("/admin/transfers")
@audience.staff(StaffKind.FINANCE)
def index() -> Response:
    """Two columns: what came in with the transfer that it probably pays, and what is open (of ``?vendor=``); three
    statements.
    """
    vendor_id = request.args.get("vendor", type=int)
    known = statements.awaited(
        vendor_id=min(vendor_id, 2**63 - 1) if vendor_id else None, closed_since=clock.business() - STILL_KNOWN
    )
    awaited = [found for found in known if found.is_waiting]
    show = "aside" if request.args.get("show") == "aside" else "new"
    return responder.respond(
        PAGE,
        "queue",
        show=show,
        vendor_id=vendor_id,
        awaited=awaited,
        incoming=statements.incoming(known) if show == "new" else [],
        aside=statements.laid_aside() if show == "aside" else [],
        counts=statements.counts(),
        grouped=references.shown,
        now=clock.business(),
        me=signed_in.actor().id,
    )


def _one(transfer_id: int, *, closed_too: bool = False) -> Awaited:
    since = clock.business() - STILL_KNOWN if closed_too else None
    found = statements.awaited(transfer_id=transfer_id, closed_since=since)
    if found:
        return found[0]
    transfers.vendor_of(transfer_id)
    raise Conflict(
        N_("This transfer has been decided already. Nothing was counted twice."), code="decided",
        action=(_("To the transfers"), url_for("admin_transfers.index")),
    )  # fmt: skip


@blueprint.get("/admin/transfers/<int:transfer_id>/approve")
@audience.staff(StaffKind.FINANCE)
def approve_form(transfer_id: int) -> Response:
    """The modal: what the first of two people said is filled in, what a booking (``?line=``) says, or all that is
    open.
    """
    found, line = _one(transfer_id), _line(request.args.get("line", ""))
    came_in = Money(line.amount_minor, line.currency) if line else found.first.amount if found.first else found.open
    filled = ApproveForm(
        None,
        data={
            "amount": plain(came_in),
            "booked_on": line.booked_on if line else clock.business().date(),
            "start": found.first.start.date() if found.first and found.first.start else None,
            "line": str(line.id) if line else "",
            "base_version": str(found.version),
        },
    )
    return _show(found, filled)


def _line(text: str) -> Any:
    if not text.isdecimal() or len(text) > 18:
        return None
    return statements.read(int(text))


def plain(money: Money) -> str:
    """An amount as it is typed: 99.00."""
    digits = minor_digits(money.currency)
    return f"{Decimal(money.minor).scaleb(-digits):.{digits}f}"


@blueprint.post("/admin/transfers/<int:transfer_id>/approve")
@audience.staff(StaffKind.FINANCE)
def approve(transfer_id: int) -> Response:
    """Count the money. What fails comes back in the same form; a second click finds it decided (409)."""
    found, filled = _one(transfer_id), ApproveForm()
    if not filled.validate():
        return _show(found, filled, 422)
    try:
        approval = _approval(found, filled)
        decided = _approve(transfer_id, approval)
    except (Invalid, Conflict, Forbidden) as error:
        filled.refuse(error)
        return _show(_fresh(found), filled, error.status)
    return responder.done(url_for("admin_transfers.index"), _said(found, decided), *EVENTS)


def _approval(found: Awaited, filled: ApproveForm) -> Approval:
    try:
        minor = amount(filled.amount.data, found.open.currency, decimal_mark([filled.amount.data]))
    except ValueError as error:
        raise Invalid(fields={"amount": str(error)}) from error
    line = int(filled.line.data) if filled.line.data else None
    start = _moment(filled.start.data) if filled.start.data else None
    return Approval(minor, _moment(filled.booked_on.data), int(filled.base_version.data), start, line)


def _moment(day: date) -> datetime:
    """A bank's day as a moment: today is now, any other its noon (UTC)."""
    now = clock.business()
    return now if day == now.date() else datetime.combine(day, time(12), UTC)


def _approve(transfer_id: int, approval: Approval) -> Decided:
    with unit_of_work():
        return transfer.approve(transfer_id, approval, actor=signed_in.actor(), now=clock.business())


def _fresh(found: Awaited) -> Awaited:
    return next(iter(statements.awaited(transfer_id=found.id)), found)


def _said(found: Awaited, decided: Decided) -> str:
    if decided.closed:
        kept = filters.money(Money(decided.surplus_minor, found.open.currency))
        return _("%(amount)s is kept as credit of %(vendor)s.", amount=kept, vendor=found.vendor_name)
    if decided.second:
        return _("Noted. Because of its amount somebody else must approve it too.")
    if decided.open_minor:
        still = filters.money(Money(decided.open_minor, found.open.currency))
        return _("Counted. %(amount)s of %(vendor)s is still open.", amount=still, vendor=found.vendor_name)
    if decided.surplus_minor:
        more = filters.money(Money(decided.surplus_minor, found.open.currency))
        return _("%(vendor)s has paid. %(amount)s was too much and is kept as credit.", vendor=found.vendor_name,
                 amount=more)  # fmt: skip
    return _("%(vendor)s has paid. What it paid for is open.", vendor=found.vendor_name)


def _show(found: Awaited, filled: ApproveForm, status: int = 200) -> Response:
    limit = settings.current().second_approval_above_minor
    return responder.respond(
        APPROVE, "modal", status=status, transfer=found, form=filled, reference=references.shown(found.reference),
        limit=Money(limit, found.open.currency) if limit else None,
        own=found.first is not None and found.first.by == signed_in.actor().id,
    )  # fmt: skip


@blueprint.get("/admin/transfers/lines/<int:line_id>/match")
@audience.staff(StaffKind.FINANCE)
def choose(line_id: int) -> Response:
    """A booking without a proposal: on to the form of the transfer that was chosen for it."""
    found = _one(request.args.get("transfer", 0, type=int))
    return responder.go(url_for("admin_transfers.approve_form", transfer_id=found.id, line=line_id))


@blueprint.post("/admin/transfers/lines/<int:line_id>/match")
@audience.staff(StaffKind.FINANCE)
def match(line_id: int) -> Response:
    """One click on a proposed match: the whole booking is counted for that transfer, or kept as credit."""
    found = _one(request.form.get("transfer", 0, type=int), closed_too=True)
    version, line = request.form.get("base_version", 0, type=int), statements.read(line_id)
    if line is None:
        raise NotFound
    approval = Approval(line.amount_minor, _moment(line.booked_on), version, line_id=line_id)
    try:
        decided = _approve(found.id, approval)
    except PortalError as error:
        error.action = error.action or (_("To the transfers"), url_for("admin_transfers.index"))
        raise
    return responder.done(url_for("admin_transfers.index"), _said(found, decided), *EVENTS)


@blueprint.post("/admin/transfers/lines/<int:line_id>/lay-aside")
@audience.staff(StaffKind.FINANCE)
def lay_aside(line_id: int) -> Response:
    """A booking that has nothing to do with the portal."""
    with unit_of_work():
        statements.lay_aside(line_id, actor=signed_in.actor())
    return responder.done(url_for("admin_transfers.index"), _("Laid aside. It can be taken up again."), *EVENTS[:1])


@blueprint.post("/admin/transfers/lines/<int:line_id>/take-up")
@audience.staff(StaffKind.FINANCE)
def take_up(line_id: int) -> Response:
    """A booking that counts after all."""
    with unit_of_work():
        statements.take_up(line_id, actor=signed_in.actor())
    return responder.done(url_for("admin_transfers.index"), _("It is among the new ones again."), *EVENTS[:1])


@blueprint.get("/admin/transfers/<int:transfer_id>/reject")
@audience.staff(StaffKind.FINANCE)
def reject_form(transfer_id: int) -> Response:
    """The modal that asks for the reason."""
    found = _one(transfer_id)
    return _show_reject(found, RejectForm(None, data={"base_version": str(found.version)}))


@blueprint.post("/admin/transfers/<int:transfer_id>/reject")
@audience.staff(StaffKind.FINANCE)
def reject(transfer_id: int) -> Response:
    """The money is not there; the vendor is told why."""
    found, filled = _one(transfer_id), RejectForm()
    if not filled.validate():
        return _show_reject(found, filled, 422)
    try:
        with unit_of_work():
            transfer.reject(transfer_id, filled.reason.data, base_version=int(filled.base_version.data),
                            actor=signed_in.actor(), now=clock.business())  # fmt: skip
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _show_reject(_fresh(found), filled, error.status)
    message = _("Rejected. %(vendor)s was told why.", vendor=found.vendor_name)
    return responder.done(url_for("admin_transfers.index"), message, *EVENTS)


def _show_reject(found: Awaited, filled: RejectForm, status: int = 200) -> Response:
    return responder.respond(REJECT, "modal", status=status, transfer=found, form=filled)


@blueprint.get("/admin/transfers/<int:transfer_id>/proof")
@audience.staff(StaffKind.FINANCE)
def proof(transfer_id: int) -> Response:
    """The proof as a download that no browser runs."""
    found = transfer_views.one(transfer_id, transfers.vendor_of(transfer_id)).proof
    if found is None:
        raise NotFound
    end_reading()
    answer = Response(storage.get(found["key"]), mimetype=found["type"])
    answer.headers.set("Content-Disposition", "attachment", filename=found["name"])
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return answer

"""Importing bank statements: CAMT.053 at once, CSV after saying which column is what (ADM-9)."""

import re
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_wtf.file import FileField
from wtforms import HiddenField, SelectField, StringField
from wtforms.validators import Optional, Regexp

from portal.audit import service as audit
from portal.billing import statement_files, statements
from portal.billing.statement_files import LARGEST, Column, Read, Table
from portal.checkout.transfer_flows import shown_name
from portal.gateways import storage
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.kit import audience, responder, signed_in, uploads
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_statements", __name__)
UPLOAD, COLUMNS = "admin/transfers/import.html", "admin/transfers/columns.html"
#: Rows that are shown while the columns are chosen.
SHOWN = 5


class UploadForm(Form):
    """The file as the bank gave it."""

    file = FileField(_l("Statement"), description=_l("CAMT.053 (XML) or CSV, as your bank exports it; 5 MB at most."))


class ColumnsForm(Form):
    """Which column is what."""

    sha = HiddenField(validators=[Regexp(r"^[0-9a-f]{64}$")])
    name = HiddenField()
    date = SelectField(_l("Day of booking"), validate_choice=False)
    amount = SelectField(_l("Amount"), validate_choice=False)
    currency = SelectField(_l("Currency"), validate_choice=False)
    payer = SelectField(_l("Payer"), validate_choice=False)
    purpose = SelectField(_l("Purpose"), validate_choice=False)
    usual = StringField(
        _l("Currency where no column says"),
        default="EUR",
        validators=[Optional(), Regexp(r"^[A-Za-z]{3}$", message=_l("Enter three letters, such as EUR."))],
    )


@blueprint.get("/admin/transfers/import")
@audience.staff(StaffKind.FINANCE)
def form() -> Response:
    """The modal that takes the file."""
    return responder.respond(UPLOAD, form=UploadForm(None))


@blueprint.post("/admin/transfers/import")
@audience.staff(StaffKind.FINANCE)
@uploads.takes_files(LARGEST)
def take() -> Response:
    """A CAMT.053 document is imported; a CSV file is kept until its columns are named."""
    filled, sent = UploadForm(), request.files.get("file")
    if sent is None or not sent.filename:
        filled.file.errors = [_("Choose a file first.")]
        return responder.respond(UPLOAD, status=422, form=filled)
    data = sent.stream.read(LARGEST + 1)
    try:
        if statement_files.is_xml(data):
            name = shown_name(sent.filename, "xml")
            return _keep(name, "camt053", statement_files.sha256(data), statement_files.camt(data))
        return _ask_columns(data, shown_name(sent.filename, "csv"))
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return responder.respond(UPLOAD, status=error.status, form=filled)


def _ask_columns(data: bytes, name: str) -> Response:
    found, sha = statement_files.table(data), statement_files.sha256(data)
    if statements.known_file(sha):
        raise Conflict(N_("This file was imported before. Nothing was counted twice."), code="known_file")
    end_reading()
    storage.put(_key(sha), data)
    guessed = {str(column): str(at) for column, at in statement_files.guess(found.heading).items()}
    filled = ColumnsForm(None, data={"sha": sha, "name": name, "usual": "EUR", **guessed})
    return _show(found, filled)


def _key(sha: str) -> str:
    return f"statements/{sha}.csv"


def _show(found: Table, filled: ColumnsForm, status: int = 200) -> Response:
    choices = [("", _("not in the file")), *((str(i), cell or str(i + 1)) for i, cell in enumerate(found.heading))]
    for column in Column:
        filled[column].choices = choices
    context: dict[str, Any] = {"form": filled, "table": found, "rows": found.rows[:SHOWN], "more": len(found.rows)}
    return responder.respond(COLUMNS, status=status, **context)


@blueprint.post("/admin/transfers/import/columns")
@audience.staff(StaffKind.FINANCE)
def columns() -> Response:
    """Import the CSV file with the columns that were chosen; what cannot be read is told and nothing is kept."""
    filled = ColumnsForm()
    if not re.fullmatch(r"[0-9a-f]{64}", filled.sha.data or ""):
        raise NotFound
    end_reading()
    data = storage.get(_key(filled.sha.data))
    found = statement_files.table(data)
    if not filled.validate():
        return _show(found, filled, 422)
    chosen = {column: int(filled[column].data) for column in Column if str(filled[column].data).isdecimal()}
    try:
        read = statement_files.bookings(found, chosen, (filled.usual.data or "EUR").upper())
        _refuse_wrong(read)
        return _keep(shown_name(filled.name.data or "", "csv"), "csv", filled.sha.data, read)
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _show(found, filled, error.status)


def _refuse_wrong(read: Read) -> None:
    """A wrong column makes every row wrong, so a file is imported whole or not at all."""
    if read.wrong:
        number, why = read.wrong[0]
        raise Invalid(N_("Line %(number)s cannot be read. %(why)s"), number=number, why=_(why))


def _keep(name: str, kind: str, sha: str, read: Read) -> Response:
    _refuse_wrong(read)
    with unit_of_work():
        now, actor = clock.business(), signed_in.actor()
        done = statements.keep(name, kind, sha, read.bookings, actor=actor, now=now)
        audit.record(actor, "statement.imported", vendor_id=None, data={"file": name, "new": done.new}, now=now)
    _forget(sha)
    message = ngettext("%(num)d new booking.", "%(num)d new bookings.", done.new)
    if done.known:
        message += " " + ngettext("%(num)d was known already.", "%(num)d were known already.", done.known)
    if done.out:
        message += " " + ngettext(
            "%(num)d that went out was left aside.", "%(num)d that went out were left aside.", done.out
        )
    return responder.done(url_for("admin_transfers.index"), message, "transfers-changed")


def _forget(sha: str) -> None:
    try:
        storage.delete(_key(sha))
    except PortalError:
        return  # it is only a copy: the next import of this file replaces it

"""Correcting a paid invoice of ours by a credit note (BIL-4)."""

import secrets

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, RadioField, SelectChoice, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Regexp

from portal.billing import balance, papers, refund_notes
from portal.billing.listing import InFull
from portal.billing.models import CreditNote
from portal.billing.papers import NewLine
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.money import parse_minor
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock_if_any
from portal.web.admin.invoices import full
from portal.web.kit import audience, filters, invoice_words, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_credit_note", __name__)
TEMPLATE = "admin/invoices/credit_note.html"
TO_BALANCE, BY_HAND = "balance", "by_hand"


class CreditForm(Form):
    """How much, why, and where the money goes. ``once`` lets two clicks write one credit note."""

    amount = StringField(_l("Amount without tax"))
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why: it stands on the credit note.")),
            Length(max=500, message=_l("Use at most 500 characters.")),
        ],
    )
    money = RadioField(
        _l("The money"),
        choices=[
            SelectChoice(TO_BALANCE, _l("goes to the vendor's balance and is used for the next invoice")),
            SelectChoice(BY_HAND, _l("is sent back by bank transfer, which you do and note yourself")),
        ],
        default=TO_BALANCE,
    )
    once = HiddenField(validators=[Regexp(r"^[A-Za-z0-9_-]{16,32}$")])


@blueprint.route("/admin/invoices/<int:invoice_id>/credit-note", methods=["GET", "POST"])
@audience.staff(StaffKind.FINANCE)
def form(invoice_id: int) -> Response:
    """The modal, or the page where there is no JavaScript; what fails comes back in it."""
    found = full(invoice_id)
    if request.method == "GET":
        return _show(found, CreditForm(None, once=secrets.token_urlsafe(16)))
    filled = CreditForm()
    if not filled.validate():
        return _show(found, filled, 422)
    try:
        note = _credit(found, filled)
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _show(full(invoice_id), filled, error.status)
    message = _(
        "Credit note %(number)s over %(amount)s is written.",
        number=note.number,
        amount=filters.money(found.money(note.total_minor)),
    )
    here = url_for("admin_invoices.detail", invoice_id=invoice_id)
    return responder.done(here, message, "invoices-changed", "subscription-changed")


def _credit(found: InFull, filled: CreditForm) -> CreditNote:
    """Write the credit note, and the balance with it; both or neither."""
    lines, actor, now = _lines(found, filled), signed_in.actor(), clock.business()
    vendor_id, cause = found.invoice.vendor_id, f"staff:{filled.once.data}"
    with unit_of_work():
        lock_if_any(vendor_id)
        invoice = papers.locked(found.invoice.id, vendor_id)
        if invoice is None:
            raise NotFound
        note = papers.credit(invoice, lines, reason=filled.reason.data, cause=cause, actor=actor, now=now)
        if filled.money.data == TO_BALANCE:
            balance.add(
                vendor_id,
                found.money(note.total_minor),
                cause=refund_notes.balance_cause(note),
                description=note.number,
                actor_label=actor.label,
                now=now,
                invoice_id=invoice.id,
            )
    return note


def _lines(found: InFull, filled: CreditForm) -> list[NewLine] | None:
    """One line over what was typed; None (all that is left) where nothing was."""
    if not (typed := (filled.amount.data or "").strip()):
        return None
    try:
        return [NewLine("", parse_minor(typed, found.invoice.currency))]
    except ValueError as error:
        raise Invalid(fields={"amount": N_("Enter an amount such as 12.50, or nothing for all of it.")}) from error


def _show(found: InFull, filled: CreditForm, status: int = 200) -> Response:
    net_left = found.invoice.subtotal_minor - sum(note.subtotal_minor for note in found.notes)
    return responder.respond(
        TEMPLATE, "modal", status=status, form=filled, net_left=found.money(net_left), **invoice_words.of(found)
    )

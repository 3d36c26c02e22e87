"""Paying by bank transfer: what to send where, the proof of it, and how it stands (SUB-10)."""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField
from markupsafe import Markup

from portal.billing import references, transfer_views, transfers
from portal.billing.payment_slip import epc_payload, qr_svg
from portal.billing.transfer_rules import CLOSED
from portal.checkout import transfer, transfer_flows
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, TooLarge
from portal.kit.unit_of_work import unit_of_work
from portal.kit.uploads import LARGEST
from portal.web.kit import audience, frame, responder, signed_in, uploads
from portal.web.kit.audience import Needs
from portal.web.kit.forms import Form
from portal.web.vendor.billing import may_buy

blueprint = Blueprint("vendor_transfer", __name__)
TEMPLATE = "vendor/transfer/page.html"


class ProofForm(Form):
    """What shows that the money is on its way."""

    proof = FileField(
        _l("Proof of payment"), description=_l("A PDF, PNG or JPEG of your bank's confirmation, 10 MB at most.")
    )


@blueprint.get("/vendor/<code>/transfer")
@audience.vendor(needs=Needs.ACCOUNT)
def waiting(code: str) -> Response:
    """To the transfer of ``?invoice=``, or the newest that is waited for; to billing where there is none."""
    vendor = signed_in.vendor()
    found = transfer_views.waiting_for(vendor.id, request.args.get("invoice", type=int))
    if found is None:
        return responder.go(url_for("vendor_billing.index", code=vendor.code))
    return responder.go(url_for("vendor_transfer.show", code=vendor.code, transfer_id=found))


@blueprint.get("/vendor/<code>/transfer/<int:transfer_id>")
@audience.vendor(needs=Needs.ACCOUNT)
def show(code: str, transfer_id: int) -> Response:
    """Where to pay, with the code for banking apps, and what has happened; 404 for another vendor's."""
    return _page(transfer_id, ProofForm(None))


@blueprint.post("/vendor/<code>/transfer/<int:transfer_id>/proof")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
@uploads.takes_files(LARGEST)
def proof(code: str, transfer_id: int) -> Response:
    """Hand in a proof. What is no document comes back with a message at the field, and nothing is kept."""
    vendor, filled = signed_in.vendor(), ProofForm()
    transfer_views.one(transfer_id, vendor.id)
    sent = request.files.get("proof")
    if sent is None or not sent.filename:
        filled.proof.errors = [_("Choose a file first.")]
        return _page(transfer_id, filled, 422)
    try:
        transfer_flows.hand_in(
            vendor.id, transfer_id, sent.filename, sent.stream.read(LARGEST + 1), actor=signed_in.actor()
        )
    except (Invalid, TooLarge, Conflict) as error:
        filled.refuse(error)
        return _page(transfer_id, filled, error.status)
    message = _("Thank you. We look at it and tell you by mail when the money has arrived.")
    return responder.done(url_for("vendor_transfer.show", code=vendor.code, transfer_id=transfer_id), message)


@blueprint.post("/vendor/<code>/transfer/<int:transfer_id>/cancel")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def cancel(code: str, transfer_id: int) -> Response:
    """Not to pay it after all; a second click changes nothing."""
    vendor = signed_in.vendor()
    here = url_for("vendor_transfer.show", code=vendor.code, transfer_id=transfer_id)
    try:
        with unit_of_work():
            transfer.cancel(transfer_id, vendor.id, actor=signed_in.actor(), now=clock.business())
    except Conflict as error:
        error.action = error.action or (_("Back to the transfer"), here)
        raise
    message = _("Cancelled. Nothing is asked of you for it any more.")
    return responder.done(url_for("vendor_plans.index", code=vendor.code), message, "subscription-changed")


def _page(transfer_id: int, filled: ProofForm, status: int = 200) -> Response:
    vendor = signed_in.vendor()
    found = transfer_views.one(transfer_id, vendor.id)
    if found.state in CLOSED:
        frame.leave_the_call_to_the_page()
    account = transfers.account()
    payload = epc_payload(account, found.open, found.reference) if found.is_waiting else None
    return responder.respond(
        TEMPLATE,
        status=status,
        vendor=vendor,
        transfer=found,
        reference=references.shown(found.reference),
        account=account,
        iban=references.shown(account.iban),
        qr=Markup(qr_svg(payload)) if payload else None,  # noqa: S704 - digits and bars of our own making
        form=filled,
        may_buy=may_buy(vendor),
        overdue=found.is_waiting and found.due_at < clock.business(),
    )

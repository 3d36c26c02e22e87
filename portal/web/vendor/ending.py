"""Leaving and going on (SUB-7): what happens and what does not, on which date, before anything happens."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, RadioField, SelectChoice, TextAreaField
from wtforms.validators import AnyOf, Length, Optional, Regexp

from portal.accounts.queries import VendorAtDoor
from portal.addons import queries as addons
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading
from portal.subscriptions import ending_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.endings import COMMENT_MAX, Wish
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Feedback
from portal.subscriptions.states import Event, allowed
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.kit.filters import day, money, translated
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_ending", __name__)
TEMPLATE = "vendor/ending/cancel.html"
EVENTS = ("subscription-changed", "credits-changed", "usage-changed")
#: What the button says that ends a paid plan at once; the other one says nothing.
NOW = "now"
OUT_OF_DATE = _l("This form is out of date. Load the page again, then send it.")

#: Why somebody leaves, as Stripe knows it and as we ask.
REASONS = {
    Feedback.TOO_EXPENSIVE: _l("It costs too much"),
    Feedback.MISSING_FEATURES: _l("Something I need is missing"),
    Feedback.SWITCHED_SERVICE: _l("I am changing to something else"),
    Feedback.UNUSED: _l("I do not use it enough"),
    Feedback.CUSTOMER_SERVICE: _l("The help I got was not good enough"),
    Feedback.TOO_COMPLEX: _l("It is too complicated"),
    Feedback.LOW_QUALITY: _l("It does not work well enough"),
    Feedback.OTHER: _l("Something else"),
}


class CancelForm(Form):
    """Why, if somebody wants to say it, and the version of the subscription that they saw."""

    feedback = RadioField(
        _l("Why are you leaving?"),
        choices=[SelectChoice(str(code), words) for code, words in REASONS.items()],
        validators=[Optional()],
    )
    comment = TextAreaField(
        _l("What could we have done better?"),
        validators=[Length(max=COMMENT_MAX, message=_l("Use at most 500 characters."))],
    )
    base_version = HiddenField(validators=[Regexp(r"^\d{1,18}$", message=OUT_OF_DATE)])
    when = HiddenField(validators=[Optional(), AnyOf([NOW], message=OUT_OF_DATE)])


@dataclass(frozen=True, slots=True)
class Leaving:
    """What cancelling would do. ``at_once``: a trial without a card ends now; else ``ends_at`` is the period's end.

    ``may_now``: a plan that is paid for can end at once, too, if somebody wants that.
    """

    held: Overview
    at_once: bool
    may_now: bool
    ends_at: datetime
    is_free: bool
    owes: bool


@blueprint.get("/vendor/<code>/cancel")
@audience.vendor(role=Role.OWNER, needs=Needs.ACCOUNT)
def form(code: str) -> Response:
    """What cancelling does, and the button that does it; or that there is nothing to cancel."""
    return _show(signed_in.vendor(), CancelForm(None))


@blueprint.post("/vendor/<code>/cancel")
@audience.vendor(role=Role.OWNER, needs=Needs.ACCOUNT)
def cancel(code: str) -> Response:
    """Cancel for the period's end or at once, or end a trial. What fails comes back in the form, as it stands now."""
    vendor, filled = signed_in.vendor(), CancelForm()
    leaving = _leaving(subscriptions.overview(vendor.id))
    if leaving is None:
        return _show(vendor, filled, 409)
    if not filled.validate():
        return _show(vendor, filled, 422)
    now = leaving.may_now and filled.when.data == NOW
    wish = Wish(leaving.at_once or now, filled.feedback.data or None, filled.comment.data or None)
    try:
        ending_flows.cancel(vendor.id, wish, actor=signed_in.actor(), base_version=int(filled.base_version.data))
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        filled.base_version.data = None
        return _show(vendor, filled, error.status)
    except Unavailable:
        message = _("Stripe does not answer right now. Your cancellation is written down, and we go on trying.")
        return responder.done(_billing(vendor), message, *EVENTS, level="warning")
    if now:
        flash(_("Your subscription has ended. Nothing more is charged, and your data is kept."), "success")
        _tell_credit(vendor)
        return responder.go(_billing(vendor))  # the product is closed: everything around the page is another
    return _cancelled(vendor, leaving)


@blueprint.post("/vendor/<code>/resume")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def resume(code: str) -> Response:
    """Take the cancellation back; a second click changes nothing."""
    vendor, version = signed_in.vendor(), request.form.get("base_version", type=int)
    if version is None:
        raise Invalid(fields={"base_version": N_("Load the page again.")})
    try:
        _go_on(vendor, version)
    except Unavailable:
        message = _("Stripe does not answer right now. Your wish is written down, and we go on trying.")
        return responder.done(_billing(vendor), message, *EVENTS, level="warning")
    message = _("The cancellation is taken back. Your plan goes on as before.")
    return responder.done(_billing(vendor), message, *EVENTS)


def _go_on(vendor: VendorAtDoor, version: int) -> None:
    """Whoever goes on means it whatever else has changed since: add-ons that were cancelled along with the plan tell
    their own, seconds later. Conflict where there is nothing to go on with any more.
    """
    try:
        ending_flows.resume(vendor.id, actor=signed_in.actor(), base_version=version)
    except Conflict:
        held = subscriptions.overview(vendor.id)
        end_reading()
        if held is None or not held.cancel_at_period_end or held.version == version:
            raise
        ending_flows.resume(vendor.id, actor=signed_in.actor(), base_version=held.version)


def _tell_credit(vendor: VendorAtDoor) -> None:
    held = subscriptions.overview(vendor.id)
    if held and held.on_balance and held.on_balance.minor > 0:
        amount = money(held.on_balance)
        flash(_("%(amount)s stands on your balance. It pays your next invoices first.", amount=amount), "info")


def _cancelled(vendor: VendorAtDoor, leaving: Leaving) -> Response:
    if leaving.at_once:
        flash(_("Your trial has ended. Nothing was charged, and your data is kept."), "success")
        return responder.go(_billing(vendor))  # the product is closed: everything around the page is another
    ends = day(leaving.ends_at)
    message = _("Your subscription is cancelled. Everything stays open until %(date)s.", date=ends)
    return responder.done(_billing(vendor), message, *EVENTS)


def _billing(vendor: VendorAtDoor) -> str:
    return url_for("vendor_billing.index", code=vendor.code)


def _leaving(held: Overview | None) -> Leaving | None:
    """None where there is nothing to cancel (any more)."""
    if held is None or held.cancel_at_period_end:
        return None
    now = clock.business()
    owes = held.past_due_since is not None
    may_now = allowed(held.status, Event.CANCEL_NOW, "user")
    if not allowed(held.status, Event.CANCEL_AT_END, "user"):
        return Leaving(held, True, False, now, True, owes) if may_now else None
    ends = held.paid_until or held.period_end
    return Leaving(held, False, may_now, ends, held.free_until(now) is not None and not held.paid_until, owes)


def _show(vendor: VendorAtDoor, filled: CancelForm, status: int = 200) -> Response:
    held = subscriptions.overview(vendor.id)
    if not filled.base_version.data:
        filled.base_version.data = str(held.version) if held else "0"
    under_way = held is not None and held.pending is not None and held.pending.state != ChangeState.SCHEDULED
    leaving = _leaving(held)
    had = [addon for addon in addons.of_vendor(vendor.id, clock.business()) if not addon.is_over] if leaving else []
    return responder.respond(
        TEMPLATE, "modal", status=status, vendor=vendor, held=held, leaving=leaving, form=filled, under_way=under_way,
        had=list(dict.fromkeys(translated(addon.name) for addon in had)),
        with_mail=any(addon.provisioning == "mailboxes" for addon in had),
        with_key=any(addon.provisioning == "certificate" for addon in had),
    )  # fmt: skip

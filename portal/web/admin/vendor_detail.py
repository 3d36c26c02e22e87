"""One vendor (ADM-2): its card, meters and money, each a region that re-fetches itself, and tabs (vendor_tabs.py)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from wtforms import HiddenField
from wtforms.validators import Regexp

from portal.billing import balance
from portal.billing import queries as billing
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Conflict, NotFound
from portal.kit.money import Money
from portal.reporting import vendor_detail
from portal.settings import queries as settings
from portal.subscriptions import change_flows, queries
from portal.subscriptions import meters as usage
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import Provider, Status, suspends_at
from portal.subscriptions.states import Event, allowed
from portal.web.admin import vendor_tabs, words
from portal.web.kit import audience, invoice_words, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_vendor_detail", __name__)
TEMPLATE = "admin/vendor_detail/page.html"

#: Staff who may change what a vendor has and pays; everybody else of the staff may look.
MAY_CHANGE = frozenset({StaffKind.ADMIN, StaffKind.FINANCE})
INVOICES = 6

#: What a region's template needs, from the vendor's id and its subscription.
Context = Callable[[int, Overview | None], dict[str, Any]]


@blueprint.get("/admin/vendors/<int:vendor_id>")
@audience.staff()
def index(vendor_id: int) -> Response:
    """Everything about a vendor at a glance, and one tab: the one that the address names."""
    shown = vendor_tabs.find(request.args.get("tab"))
    if shown is None:
        raise NotFound
    tabbed = _tabbed(vendor_id, shown)
    overview = queries.overview(vendor_id)
    parts = _card(vendor_id, overview), _meters(vendor_id, overview), _money(vendor_id, overview), tabbed
    context = {key: value for part in parts for key, value in part.items()}
    return responder.respond(TEMPLATE, **context)


@blueprint.get("/admin/vendors/<int:vendor_id>/tabs/<name>")
@audience.staff()
def tab(vendor_id: int, name: str) -> Response:
    """The row of tabs with what the named one shows; as a page it is the whole vendor with that tab open."""
    shown = vendor_tabs.find(name)
    if shown is None:
        raise NotFound
    tabbed = _tabbed(vendor_id, shown)
    if not responder.is_partial():
        page: dict[str, Any] = {"page": request.args["page"]} if request.args.get("page") else {}
        return responder.go(url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab=name, **page))
    return responder.respond("admin/vendor_detail/_tabs.html", **tabbed)


def _tabbed(vendor_id: int, shown: vendor_tabs.Tab) -> dict[str, Any]:
    head = vendor_detail.head(vendor_id, vendor_tabs.counts())
    return {
        "vendor_id": vendor_id,
        "head": head,
        "tab": shown,
        "tab_items": vendor_tabs.items(vendor_id, shown, head.counts),
        **shown.read(vendor_id, request.args.get("page")),
    }


@blueprint.get("/admin/vendors/<int:vendor_id>/card")
@audience.staff()
def card(vendor_id: int) -> Response:
    """The subscription card alone."""
    return _part(vendor_id, "card", _card)


@blueprint.get("/admin/vendors/<int:vendor_id>/meters")
@audience.staff()
def meters(vendor_id: int) -> Response:
    """The usage meters alone."""
    return _part(vendor_id, "meters", _meters)


@blueprint.get("/admin/vendors/<int:vendor_id>/money")
@audience.staff()
def money(vendor_id: int) -> Response:
    """Credits and the latest invoices: a change of the tier moves both."""
    return _part(vendor_id, "money", _money)


@blueprint.get("/admin/vendors/<int:vendor_id>/history")
@audience.staff()
def history(vendor_id: int) -> Response:
    """A later page of the event log, to be added under the first."""
    found = vendor_tabs.history(vendor_id, request.args.get("page"))
    if not found["events"] or not responder.is_partial():
        vendor_detail.head(vendor_id)
    if not responder.is_partial():
        page: dict[str, Any] = {"page": request.args["page"]} if request.args.get("page") else {}
        return responder.go(url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab="history", **page))
    return responder.respond("admin/vendor_detail/tabs/history.html", vendor_id=vendor_id, **found)


class UndoForm(Form):
    """What the button carries: the version of the subscription that the person saw."""

    base_version = HiddenField(validators=[Regexp(r"^\d{1,18}$")])


@blueprint.post("/admin/vendors/<int:vendor_id>/undo-change")
@audience.staff(StaffKind.FINANCE)
def undo(vendor_id: int) -> Response:
    """Take back the change that waits for the next billing cycle."""
    vendor_detail.head(vendor_id)
    form = UndoForm()
    if not form.validate():
        raise Conflict
    change_flows.undo_change(vendor_id, actor=signed_in.actor(), base_version=int(form.base_version.data))
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id)
    return responder.done(here, _("The planned change is taken back."), "subscription-changed", "history-changed")


def _part(vendor_id: int, block: str, context: Context) -> Response:
    """One region; somebody who opens its address as a page is led to the whole.

    Whether the vendor exists at all is asked only where nothing was found, so that a region stays at two reads.
    """
    vendor_detail.sound_id(vendor_id)
    if not responder.is_partial():
        vendor_detail.head(vendor_id)
        return responder.go(url_for("admin_vendor_detail.index", vendor_id=vendor_id))
    overview = queries.overview(vendor_id)
    if overview is None:
        vendor_detail.head(vendor_id)
    return responder.respond(TEMPLATE, block, **context(vendor_id, overview))


def _card(vendor_id: int, overview: Overview | None) -> dict[str, Any]:
    return {
        "vendor_id": vendor_id,
        "overview": overview,
        "card_addons": vendor_detail.addons_on_card(vendor_id, overview.tier_id) if overview else None,
        "may_change": signed_in.person().staff in MAY_CHANGE,
        "has_trial": overview is not None and has_trial(overview),
        "endings": ending_choices(overview),
        "closes_at": _closes_at(overview),
        "now": clock.business(),
        "words": words,
    }


def ending_choices(overview: Overview | None) -> list[str]:
    """When staff may end this subscription as it stands now: at the period's ``end``, ``now``, or not at all."""
    if overview is None:
        return []
    found = []
    if not overview.cancel_at_period_end and allowed(overview.status, Event.CANCEL_AT_END, "staff"):
        found.append("end")
    if allowed(overview.status, Event.CANCEL_NOW, "staff"):
        found.append("now")
    return found


def _closes_at(overview: Overview | None) -> datetime | None:
    if overview is None or overview.past_due_since is None:
        return None
    return suspends_at(overview.past_due_since, settings.current().grace_days)


def has_trial(overview: Overview) -> bool:
    """Is there a trial to give more days to? One without a card may have ended; one with a card must still run."""
    if overview.provider == Provider.NONE:
        return overview.status in (Status.TRIAL, Status.TRIAL_ENDED)
    return overview.status == Status.ACTIVE and overview.free_until(clock.business()) is not None


def _meters(vendor_id: int, overview: Overview | None) -> dict[str, Any]:
    seen = usage.meters(vendor_id, overview.period_start, clock.business()) if overview else []
    return {"vendor_id": vendor_id, "usage": seen, "words": words}


def _money(vendor_id: int, overview: Overview | None) -> dict[str, Any]:
    found = billing.latest(vendor_id, INVOICES)
    may_change = signed_in.person().staff in MAY_CHANGE
    return {
        "vendor_id": vendor_id,
        "overview": overview,
        "invoices": found,
        "may_change": may_change,
        "on_balance": on_balance(vendor_id, overview),
        "status_of": invoice_words.status,
    }


def on_balance(vendor_id: int, overview: Overview | None) -> Money | None:
    """Money that stands with us for who pays by transfer."""
    if overview is None or overview.provider != Provider.TRANSFER or overview.amount is None:
        return None
    return balance.balance(vendor_id, overview.amount.currency)

"""Stripe's events (ADM-5): what came, what became of it, and handling it once more."""

import json
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import queries, replay
from portal.stripe_events.queries import FAMILIES, STATES, EventFilter
from portal.web.admin import webhook_words as words
from portal.web.kit import audience, responder, signed_in

blueprint = Blueprint("admin_webhooks", __name__)
LIST, ONE = "admin/webhooks/page.html", "admin/webhooks/detail.html"
#: The list and the open event look again; the figures too, and go on looking while something waits.
CHANGED = ("webhooks-changed", "webhooks-asked")
#: Staff who may have an event handled again; everybody else of the staff may look.
MAY_REPLAY = frozenset({StaffKind.ADMIN, StaffKind.FINANCE})


@blueprint.get("/admin/webhooks")
@audience.staff()
def index() -> Response:
    """The list, or only its results while somebody types."""
    wanted, cursor = queries.read(request.args), request.args.get("page")
    links = Links(wanted)
    response = responder.respond(
        LIST,
        "results",
        wanted=wanted,
        links=links,
        found=queries.page(wanted, cursor),
        states=_states(wanted),
        families=FAMILIES,
        words=words,
        **({} if responder.is_partial() else _figures()),
    )
    return responder.shown_at(response, links.to()) if cursor is None else response


@blueprint.get("/admin/webhooks/figures")
@audience.staff()
def figures() -> Response:
    """How many failed and how many wait: fetched every few seconds while some do; at the end the list follows."""
    if not responder.is_partial():
        return responder.go(url_for("admin_webhooks.index"))
    seen = _figures()
    response = responder.respond(LIST, "figures", **seen)
    return response if seen["attention"].waiting else responder.waking(response, "webhooks-changed")


@blueprint.get("/admin/webhooks/<int:event_id>")
@audience.staff()
def show(event_id: int) -> Response:
    """One event: what it says, what became of it, whose it is."""
    found = queries.detail(event_id)
    payload = json.dumps(found.payload, indent=2, ensure_ascii=False, sort_keys=True)
    return responder.respond(
        ONE, "event", found=found, row=found.row, payload=payload, words=words, may_replay=_may_replay()
    )


@blueprint.get("/admin/webhooks/<int:event_id>/replay")
@audience.staff(StaffKind.FINANCE)
def confirm(event_id: int) -> Response:
    """What a replay does and does not do, before it is done."""
    return responder.respond("admin/webhooks/replay.html", "modal", row=queries.detail(event_id).row, words=words)


@blueprint.post("/admin/webhooks/<int:event_id>/replay")
@audience.staff(StaffKind.FINANCE)
def again(event_id: int) -> Response:
    """Have one event handled again."""
    with unit_of_work():
        replay.event(event_id, actor=signed_in.actor(), now=clock.business())
    here = url_for("admin_webhooks.show", event_id=event_id)
    return responder.done(here, _("The event is being handled again."), *CHANGED)


@blueprint.get("/admin/webhooks/replay-failed")
@audience.staff(StaffKind.FINANCE)
def confirm_all() -> Response:
    """How many failed, before all of them are handled again."""
    return responder.respond("admin/webhooks/replay_failed.html", "modal", attention=queries.attention())


@blueprint.post("/admin/webhooks/replay-failed")
@audience.staff(StaffKind.FINANCE)
def all_again() -> Response:
    """Have everything that failed handled again, in the background; the page says how far it is."""
    with unit_of_work():
        count = replay.all_failed(actor=signed_in.actor(), now=clock.business())
    message = (
        ngettext("%(num)d event is being handled again.", "%(num)d events are being handled again.", count)
        if count
        else _("No event has failed.")
    )
    return responder.done(url_for("admin_webhooks.index"), message, *CHANGED)


def _figures() -> dict[str, Any]:
    return {"attention": queries.attention(), "may_replay": _may_replay()}


def _may_replay() -> bool:
    return signed_in.person().staff in MAY_REPLAY


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of this list that keep what is chosen and change one thing; each begins at its first page."""

    wanted: EventFilter

    def to(self, page: str | None = None, **change: str) -> str:
        """The list with ``change`` applied to its filter, at the page behind a cursor."""
        w = replace(self.wanted, **change)
        values = {"state": w.state, "type": w.family, "q": w.words}
        return url_for("admin_webhooks.index", **{k: v for k, v in values.items() if v}, page=page)  # type: ignore[arg-type]


def _states(wanted: EventFilter) -> list[dict[str, Any]]:
    """The chips: all, and each state."""
    links = Links(wanted)
    every = [("", _("All")), *((value, words.state(value)[0]) for value in STATES)]
    return [{"label": label, "href": links.to(state=value), "current": wanted.state == value} for value, label in every]

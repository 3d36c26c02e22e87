"""The list of vendors (ADM-1). Everything it shows is in its address, so it can be sent to a colleague."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for

from portal.identity.rules import Stage
from portal.reporting import vendor_list
from portal.reporting.vendor_list import DEFAULT_SORT, NO_PLAN, VendorFilter
from portal.subscriptions.rules import Status
from portal.web.admin import words
from portal.web.kit import audience, responder

blueprint = Blueprint("admin_vendors", __name__)
TEMPLATE = "admin/vendors/page.html"


@blueprint.get("/admin/vendors")
@audience.staff()
def index() -> Response:
    """The list, or only its results while somebody types."""
    wanted, cursor = vendor_list.read(request.args), request.args.get("page")
    links = Links(wanted)
    response = responder.respond(
        TEMPLATE,
        "results",
        wanted=wanted,
        links=links,
        found=vendor_list.page(wanted, cursor),
        standings=_standings(wanted),
        stages=[(str(stage), words.stage(stage)) for stage in Stage],
        tier_names=vendor_list.tier_names,
    )
    # Without the empty fields that a form sends.
    return responder.shown_at(response, links.to()) if cursor is None else response


@blueprint.get("/admin/clients")
@audience.staff()
def clients() -> Response:
    """Vendors under the name that others use for them."""
    asked = urlencode(list(request.args.items(multi=True)))
    return responder.go(f"{url_for('admin_vendors.index')}{'?' if asked else ''}{asked}")


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of this list that keep what is chosen and change one thing; each begins at its first page."""

    wanted: VendorFilter

    def to(self, page: str | None = None, **change: str) -> str:
        """The list with ``change`` applied to its filter, at the page behind a cursor."""
        w = replace(self.wanted, **change)
        values: dict[str, Any] = {"q": w.words, "tier": w.tier, "standing": w.standing, "stage": w.stage}
        values["sort"] = w.sort if w.sort != DEFAULT_SORT else ""
        return url_for("admin_vendors.index", **{k: v for k, v in values.items() if v}, page=page)

    def sorted_by(self, column: str) -> str:
        """Sorted by a column; once more turns the direction round."""
        here = self.wanted.column == column
        down = self.wanted.direction == "asc" if here else column == "since"
        return self.to(sort=f"-{column}" if down else column)

    def direction(self, column: str) -> str | None:
        """Which way the list is sorted by this column, None when it is not."""
        return self.wanted.direction if self.wanted.column == column else None


def _standings(wanted: VendorFilter) -> list[dict[str, Any]]:
    """The chips: all, each standing, and vendors that never chose a tier."""
    every = [("", words.all_standings()), *((str(s), words.standing(s)) for s in Status), (NO_PLAN, words.no_plan())]
    links = Links(wanted)
    return [
        {"label": label, "href": links.to(standing=value), "current": wanted.standing == value}
        for value, label in every
    ]

"""The tabs of a vendor in the back office (ADM-2).

**To add a tab**: one entry in TABS. ``read`` gets the vendor's id and the cursor of the address (``?page=``) and gives
what the template needs, in at most two statements; ``count`` is a subquery made with vendor_tabs.rows_of (or none);
``events`` wake it while it is shown. The template is a part of the page, without a layout. Every tab has an address
of its own, ``/admin/vendors/<id>?tab=<name>``, that works without JavaScript.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import url_for
from flask_babel import gettext as _

from portal.billing import queries as billing
from portal.checkout import purchases
from portal.credits import queries as credits
from portal.kit import clock
from portal.kit.text import N_
from portal.reporting import vendor_detail
from portal.reporting import vendor_tabs as rows
from portal.reporting.vendor_tabs import Count
from portal.support import queries as support
from portal.web.admin import audit_words, history_words, override, vendor_usage, words
from portal.web.kit import invoice_words

Read = Callable[[int, str | None], dict[str, Any]]
FOLDER = "admin/vendor_detail/tabs"
#: Rows that a tab without pages of its own shows at most.
MOST = 50


@dataclass(frozen=True, slots=True)
class Tab:
    """``name`` is its part of the address, ``label`` a message id; ``count`` None: nothing to count."""

    name: str
    label: str
    read: Read
    count: Count | None = None
    events: str = ""

    @property
    def template(self) -> str:
        """What shows it."""
        return f"{FOLDER}/{self.name.replace('-', '_')}.html"


def history(vendor_id: int, cursor: str | None) -> dict[str, Any]:
    """A page of what happened to the subscription, in words."""
    found = vendor_detail.history(vendor_id, cursor)
    lines = history_words.lines(found.rows, vendor_detail.names(found.rows))
    return {"events": lines, "next_events": found.next, "newer_events": found.previous}


def _credits(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    return {"entries": credits.ledger(vendor_id, MOST)}


def _invoices(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    return {"all_invoices": billing.latest(vendor_id, MOST), "status_of": invoice_words.status}


def _addons(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    return {"addons": rows.addons(vendor_id), "words": words}


def _team(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    return {"people": rows.team(vendor_id, clock.business())}


def _purchases(vendor_id: int, cursor: str | None) -> dict[str, Any]:
    return {"found": purchases.of_vendor(vendor_id, cursor)}


def _tickets(vendor_id: int, cursor: str | None) -> dict[str, Any]:
    return {"found": support.of_vendor(vendor_id, cursor)}


def _audit(vendor_id: int, cursor: str | None) -> dict[str, Any]:
    found = vendor_detail.audit(vendor_id, cursor)
    return {"found": found, "acts": [audit_words.act(row) for row in found.rows]}


#: The first is shown where the address names none.
TABS: tuple[Tab, ...] = (
    Tab("history", N_("History"), history, events="history-changed, subscription-changed"),
    Tab("usage", N_("Usage"), vendor_usage.tab, events="usage-changed, subscription-changed"),
    Tab("limits", N_("Limits"), override.tab, events="usage-changed, subscription-changed"),
    Tab("credits", N_("Credits"), _credits, events="credits-changed"),
    Tab("invoices", N_("Invoices"), _invoices, rows.INVOICES, events="subscription-changed"),
    Tab("add-ons", N_("Add-ons"), _addons, rows.ADDONS, events="addons-changed, subscription-changed"),
    Tab("team", N_("Team"), _team, rows.TEAM, events="team-changed"),
    Tab("purchases", N_("Purchases"), _purchases, rows.PURCHASES),
    Tab("tickets", N_("Tickets"), _tickets, rows.TICKETS),
    Tab("audit", N_("Audit log"), _audit, rows.ACTS),
)


def find(name: str | None) -> Tab | None:
    """The tab of that name, the first one where none is named; None for a name that no tab has."""
    return next((tab for tab in TABS if tab.name == name), None) if name else TABS[0]


def counts() -> dict[str, Count]:
    """What the vendor's head is read along with."""
    return {tab.name: tab.count for tab in TABS if tab.count is not None}


def items(vendor_id: int, current: Tab, counted: dict[str, int]) -> list[dict[str, Any]]:
    """The tabs as the template draws them; each is a link that also fetches itself into its place."""
    return [_item(vendor_id, tab, tab is current, counted.get(tab.name)) for tab in TABS]


def _item(vendor_id: int, tab: Tab, current: bool, count: int | None) -> dict[str, Any]:
    href = url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab=tab.name)
    attributes = {
        "id": f"tab-{tab.name}",
        "hx-get": url_for("admin_vendor_detail.tab", vendor_id=vendor_id, name=tab.name),
        "hx-target": "#vendor-tabs",
        "hx-swap": "outerHTML",
        "hx-push-url": href,
    }
    return {"label": _(tab.label), "href": f"{href}#vendor-tabs", "current": current, "count": count,
            "attrs": attributes}  # fmt: skip

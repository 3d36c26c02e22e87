"""What a vendor has, what it will pay, and when (BIL-1)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for

from portal.accounts.queries import VendorAtDoor
from portal.addons import queries as addons
from portal.billing import queries as billing
from portal.billing.queries import InvoiceRow
from portal.billing.rules import InvoiceStatus
from portal.credits import queries as credit_queries
from portal.identity.rules import Role, at_least
from portal.kit import clock
from portal.settings import queries as settings
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import is_open
from portal.subscriptions.states import Event, allowed
from portal.web.kit import audience, invoice_words, pay_methods, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor import addon_shelf, usage_panel
from portal.web.vendor.outlook import debt, outlook
from portal.web.vendor.reading import or_none

blueprint = Blueprint("vendor_billing", __name__)
TEMPLATE = "vendor/billing/page.html"
#: Invoices that the page shows, and how far back it looks for one that wants to be paid.
SHOWN, LOOKED_AT = 3, 12


@blueprint.get("/vendor/<code>/billing")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """The whole page: at most six statements whatever the number of invoices (P9)."""
    vendor, now = signed_in.vendor(), clock.business()
    held = subscriptions.overview(vendor.id, *addons.beside_plan())
    parts = {
        **_plan(vendor, held, now),
        **usage_panel.read(vendor, usage_panel.of(held), now, user_id=signed_in.person().user_id),
        **_invoices(vendor),
    }
    return responder.respond(
        TEMPLATE,
        **parts,
        **addon_shelf.shown(vendor, held),
        balance=held.balance if held else None,
        balance_known=True,
        checkout_cancelled=request.args.get("checkout") == "cancelled",
    )


@blueprint.get("/vendor/<code>/billing/plan-card")
@audience.vendor(needs=Needs.ACCOUNT)
def plan_card(code: str) -> Response:
    """The plan card alone, when the subscription has changed."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return _whole(vendor)
    held = subscriptions.overview(vendor.id, *addons.beside_plan())
    return responder.respond(TEMPLATE, "plan", **_plan(vendor, held, clock.business()))


@blueprint.get("/vendor/<code>/billing/meters")
@audience.vendor(needs=Needs.ACCOUNT)
def meters(code: str) -> Response:
    """The meters alone, when usage or rights have changed."""
    vendor, now = signed_in.vendor(), clock.business()
    if not responder.is_partial():
        return _whole(vendor, "usage")
    return responder.respond(TEMPLATE, "meters", **usage_panel.read(vendor, usage_panel.asked(vendor), now))


@blueprint.get("/vendor/<code>/billing/invoices-card")
@audience.vendor(needs=Needs.ACCOUNT)
def invoices_card(code: str) -> Response:
    """The latest invoices alone."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return _whole(vendor, "invoices")
    return responder.respond(TEMPLATE, "invoices", **_invoices(vendor))


@blueprint.get("/vendor/<code>/billing/credits")
@audience.vendor(needs=Needs.ACCOUNT)
def credits(code: str) -> Response:
    """The balance in the header of every page; "unavailable" when it cannot be read, never a wrong zero."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return _whole(vendor, "credits")
    return responder.respond("vendor/billing/_credits.html", "pill", **_balance(vendor))


@blueprint.get("/vendor/<code>/billing/credits-card")
@audience.vendor(needs=Needs.ACCOUNT)
def credits_card(code: str) -> Response:
    """The credits card alone."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return _whole(vendor, "credits")
    return responder.respond(TEMPLATE, "credits_card", vendor=vendor, **_balance(vendor))


def _whole(vendor: VendorAtDoor, part: str | None = None) -> Response:
    """A part asked for as a page is found on the whole one."""
    return responder.go(url_for("vendor_billing.index", code=vendor.code, _anchor=part))


def may_buy(vendor: VendorAtDoor) -> bool:
    """Members look, managers and owners buy."""
    return at_least(vendor.role, Role.MANAGER)


def _plan(vendor: VendorAtDoor, held: Overview | None, now: datetime) -> dict[str, Any]:
    return {
        "vendor": vendor,
        "held": held,
        "next": outlook(held, now),
        "may_buy": may_buy(vendor),
        "takes": pay_methods.live(),
        "open": _is_open(vendor),
        "debt": debt(held.status, held.past_due_since, now, settings.current().grace_days) if held else None,
        "may_cancel": held is not None and may_cancel(held),
    }


def may_cancel(held: Overview) -> bool:
    """Is there something that the vendor's people can cancel?"""
    if held.cancel_at_period_end:
        return False
    return allowed(held.status, Event.CANCEL_AT_END, "user") or allowed(held.status, Event.CANCEL_NOW, "user")


def _balance(vendor: VendorAtDoor) -> dict[str, Any]:
    """An account that was never opened holds nothing, which is known; a failed read knows nothing."""
    found = or_none(lambda: (credit_queries.balance(vendor.id),))
    return {"balance": found[0] if found else None, "balance_known": found is not None, "open": _is_open(vendor)}


def _is_open(vendor: VendorAtDoor) -> bool:
    return vendor.standing is not None and is_open(vendor.standing)


def _invoices(vendor: VendorAtDoor) -> dict[str, Any]:
    found: Sequence[InvoiceRow] | None = or_none(lambda: billing.latest(vendor.id, LOOKED_AT))
    wanting = [row for row in found or () if row.status == InvoiceStatus.OPEN]
    shown = found[:SHOWN] if found is not None else None
    unpaid = next(iter(wanting), None)
    return {"vendor": vendor, "invoices": shown, "unpaid": unpaid, "reason_of": invoice_words.reason,
            "status_of": invoice_words.status}  # fmt: skip

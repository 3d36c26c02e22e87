"""Tiers side by side, and the way from one to another (BIL-2)."""

from flask import Blueprint, Response, flash, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Price, Tier
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.text import N_
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import ChangeState, Provider, Status, When
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.audience import Needs
from portal.web.vendor import checkout, first_plan, plan_change, plan_shelf
from portal.web.vendor.billing import may_buy
from portal.web.vendor.outlook import outlook

blueprint = Blueprint("vendor_plans", __name__)


@blueprint.get("/vendor/<code>/plans")
@audience.vendor(needs=Needs.ACCOUNT)
def index(code: str) -> Response:
    """Every tier with what it would change; ``?cycle=`` switches, ``?why=`` says why one was led here (ACC-4)."""
    vendor, now = signed_in.vendor(), clock.business()
    held = subscriptions.overview(vendor.id)
    return responder.respond(
        "vendor/plans/page.html",
        vendor=vendor,
        held=held,
        next=outlook(held, now),
        may_buy=may_buy(vendor),
        reason=plan_shelf.reasons().get(request.args.get("why", "")),
        **plan_shelf.shelf(vendor, held, plan_shelf.asked_cycle(held)),
    )


@blueprint.post("/vendor/<code>/plans/choose")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def choose(code: str) -> Response:
    """Take a tier where no money is involved: start the trial, or change the tier within it.

    Where money is involved it leads on: to Checkout, or (409) to the change with its preview. 404 for a tier that is
    not on offer.
    """
    vendor = signed_in.vendor()
    found, tier = _on_offer(vendor)
    if vendor.standing is None:
        return _begin(vendor, found, tier)
    held = subscriptions.held(vendor.id)
    if "base_version" not in request.form and held.price_id == found.id and held.status == Status.TRIAL:
        return responder.go(url_for("vendor_dashboard.index"))  # the second click on "Start"
    if held.provider == Provider.NONE and held.status == Status.TRIAL:
        return _switch(vendor, found, tier)
    if held.status in (Status.TRIAL_ENDED, Status.CANCELLED):
        return checkout.leave_to_pay(vendor, found.id)
    way = url_for("vendor_plans.change", code=vendor.code, price=found.id)
    raise Conflict(checkout.ALREADY_PAID, code="already_paid", action=(_("See what it costs"), way))


def _on_offer(vendor: VendorAtDoor) -> tuple[Price, Tier]:
    named = request.form.get("cycle", "")
    cycle = Cycle(named) if named in list(Cycle) else Cycle.MONTHLY
    found = catalog.offer(request.form.get("tier", "")[:64].replace("\0", ""), cycle, vendor_id=vendor.id)
    tier = catalog.tier_by_id(found.tier_id) if found else None
    if found is None or tier is None:
        raise NotFound
    return found, tier


def _begin(vendor: VendorAtDoor, found: Price, tier: Tier) -> Response:
    began = first_plan.ensure(vendor, found.id, actor=signed_in.actor())
    if began is False:
        return responder.go(url_for("vendor_plans.index", code=vendor.code, why="trial_used"))
    if began:
        flash(_("Your trial of %(tier)s has begun.", tier=tier.name), "success")
    return responder.go(url_for("vendor_dashboard.index"))


def _switch(vendor: VendorAtDoor, found: Price, tier: Tier) -> Response:
    version = request.form.get("base_version", type=int)
    if version is None:
        raise Invalid(fields={"base_version": N_("Load the page again.")})
    change_flows.change_tier(vendor.id, found.id, When.NOW, actor=signed_in.actor(), base_version=version)
    message = _("You are trying %(tier)s now. Nothing was charged.", tier=tier.name)
    flash(message, "success")
    return responder.go(url_for("vendor_plans.index", code=vendor.code, cycle=found.cycle))


@blueprint.get("/vendor/<code>/plans/change")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def change(code: str) -> Response:
    """The tiers to choose from; with ``?price=`` what changing to it would do, and its confirmation."""
    return plan_change.show(signed_in.vendor())


@blueprint.post("/vendor/<code>/plans/change")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def apply(code: str) -> Response:
    """Change the plan if what would happen now is what was shown; else show it anew and ask again (409)."""
    return plan_change.apply(signed_in.vendor())


@blueprint.post("/vendor/<code>/plans/undo")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def undo(code: str) -> Response:
    """Take back a change that is planned for the end of the period."""
    vendor = signed_in.vendor()
    version = request.form.get("base_version", type=int)
    if version is None:
        raise Invalid(fields={"base_version": N_("Load the page again.")})
    change_flows.undo_change(vendor.id, actor=signed_in.actor(), base_version=version)
    message = _("The planned change was taken back. Your plan stays as it is.")
    return responder.done(url_for("vendor_billing.index", code=vendor.code), message, "subscription-changed")


@blueprint.post("/vendor/<code>/plans/give-up")
@audience.vendor(role=Role.MANAGER, needs=Needs.ACCOUNT)
def give_up(code: str) -> Response:
    """Give up a change that waits for its payment: its invoice is cancelled, nothing is charged."""
    vendor = signed_in.vendor()
    version = request.form.get("base_version", type=int)
    if version is None:
        raise Invalid(fields={"base_version": N_("Load the page again.")})
    state = change_flows.give_up(vendor.id, actor=signed_in.actor(), base_version=version)
    billing = url_for("vendor_billing.index", code=vendor.code)
    if state == ChangeState.APPLIED:
        return responder.done(billing, _("It was paid a moment ago: the new plan is yours."), level="info")
    return responder.done(billing, _("The change was given up. Nothing was charged, and your plan stays as it is."))

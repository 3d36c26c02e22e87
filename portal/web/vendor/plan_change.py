"""Changing a paid plan: the choice, the preview to the cent, one confirmation (SUB-4, SUB-5)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, IntegerField
from wtforms.validators import AnyOf, InputRequired, Optional
from wtforms.widgets import HiddenInput

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Tier
from portal.gateways.stripe import CardRefused
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.reporting.compare import compare
from portal.subscriptions import change_flows, flows
from portal.subscriptions import meters as usage
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.change_flows import Preview
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Provider, Status, When, add_months
from portal.web.kit import responder, signed_in
from portal.web.kit.filters import day, error_text, money
from portal.web.kit.forms import Form, second
from portal.web.vendor import changes, plan_shelf
from portal.web.vendor.changes import Changes
from portal.web.vendor.plan_cards import is_step_down
from portal.web.vendor.reading import or_none

TEMPLATE = "vendor/plans/change.html"
EVENTS = ("subscription-changed", "usage-changed", "credits-changed")


class ChangeForm(Form):
    """What is confirmed: which price and when, and what the person saw (version of the subscription, amount due)."""

    price = IntegerField(_l("Plan"), widget=HiddenInput(), validators=[InputRequired(_l("Choose a plan."))])
    when = HiddenField(_l("When"), validators=[AnyOf(list(When), _l("Choose when the change happens."))])
    base_version = IntegerField(widget=HiddenInput(), validators=[InputRequired(_l("Load the page again."))])
    due_minor = IntegerField(widget=HiddenInput(), validators=[Optional()])
    proration_at = IntegerField(widget=HiddenInput(), validators=[Optional()])

    @property
    def shown_for(self) -> datetime | None:
        """The second that the shown figures were computed for."""
        return second(self.proration_at.data)


@dataclass(frozen=True, slots=True)
class Prospect:
    """A change before it is confirmed. ``preview`` None: Stripe did not answer, so nothing can be confirmed.

    ``may_be_now`` False: for vendors a step down waits for the end of the period.
    """

    held: Overview
    tier: Tier
    price_id: int
    cycle: Cycle
    amount: Money
    apply: When
    may_be_now: bool
    preview: Preview | None
    changes: Changes
    next_at: datetime

    @property
    def is_free(self) -> bool:
        """A trial without a card: the change happens at once and costs nothing."""
        return self.held.provider == Provider.NONE

    @property
    def is_charged(self) -> bool:
        """Is anything to be paid today?"""
        return self.preview is not None and self.preview.due.minor > 0


def show(vendor: VendorAtDoor) -> Response:
    """The choice, or the confirmation of the price in the address."""
    held = _changeable(vendor)
    price_id = request.args.get("price", type=int)
    if price_id is None:
        return _chooser(vendor, held, 200)
    prospect = _prospect(vendor, held, price_id, request.args.get("when", ""))
    return _confirmation(vendor, prospect, 200)


def apply(vendor: VendorAtDoor) -> Response:
    """Change the plan if what would happen now is what was shown; else show it anew and ask again (409)."""
    held = _changeable(vendor)
    form = ChangeForm()
    if not form.validate():
        return _chooser(vendor, held, 422, next(iter(form.errors.values()))[0])
    prospect = _prospect(vendor, held, form.price.data, form.when.data, form.shown_for)
    if refusal := _differs(form, prospect):
        return _confirmation(vendor, prospect, *refusal)
    try:
        state = change_flows.change_tier(
            vendor.id,
            prospect.price_id,
            prospect.apply,
            actor=signed_in.actor(),
            base_version=form.base_version.data,
            proration_at=prospect.preview.proration_at if prospect.preview else None,
        )
    except (CardRefused, Conflict, Invalid) as error:
        return _refused(vendor, prospect, error)
    except Unavailable:
        return _carried_on(vendor)
    return _happened(vendor, prospect, state)


def _changeable(vendor: VendorAtDoor) -> Overview:
    """The subscription, when its tier can be changed now; Conflict with the way on otherwise."""
    held = subscriptions.overview(vendor.id)
    to_billing = (_("To billing"), url_for("vendor_billing.index", code=vendor.code))
    to_plans = (_("See the plans"), url_for("vendor_plans.index", code=vendor.code))
    if held is None or held.status in (Status.TRIAL_ENDED, Status.CANCELLED):
        raise Conflict(N_("There is no running plan to change. Choose one first."), code="no_plan", action=to_plans)
    if held.status not in (Status.TRIAL, Status.ACTIVE):
        raise Conflict(
            N_("An invoice is unpaid. Pay it first, then change the plan."), code="unpaid", action=to_billing
        )
    if held.pending and held.pending.state != ChangeState.SCHEDULED:
        raise Conflict(N_("A change of the plan is under way already."), code="change_under_way", action=to_billing)
    return held


def _prospect(
    vendor: VendorAtDoor, held: Overview, price_id: int, asked: str, shown_for: datetime | None = None
) -> Prospect:
    """Everything that the confirmation shows; NotFound for a price that this vendor cannot have."""
    if not 0 < price_id < 2**63 or price_id == held.price_id:
        raise NotFound
    try:
        found, tier = flows.offered(price_id, vendor.id)
    except Invalid as error:
        raise NotFound from error
    now_tier = catalog.tier_by_id(held.tier_id) if held.tier_id else None
    may_be_now = held.provider == Provider.NONE or not is_step_down(now_tier, held.cycle, tier, found.cycle)
    apply_when = When.NOW if may_be_now and (held.provider == Provider.NONE or asked != When.NEXT) else When.NEXT
    counted = or_none(lambda: usage.meters(vendor.id, held.period_start, clock.business())) or []
    found_changes = changes.words(compare(now_tier, tier, counted)) if now_tier else Changes((), (), ())
    return Prospect(
        held=held,
        tier=tier,
        price_id=found.id,
        cycle=found.cycle,
        amount=found.amount,
        apply=apply_when,
        may_be_now=may_be_now,
        preview=_preview(vendor.id, price_id, apply_when, shown_for),
        changes=found_changes,
        next_at=_next_charge(held, found.cycle, apply_when),
    )


def _preview(vendor_id: int, price_id: int, apply_when: When, shown_for: datetime | None) -> Preview | None:
    try:
        return change_flows.preview_change(vendor_id, price_id, apply_when, shown_for)
    except Unavailable:
        return None


def _next_charge(held: Overview, cycle: Cycle, apply_when: When) -> datetime:
    """When the new price is next due: an unpaid trial and a change in the same cycle keep the date."""
    now = clock.business()
    if free_until := held.free_until(now):
        return free_until
    if apply_when == When.NEXT or cycle == held.cycle:
        return held.period_end
    return add_months(now, 12 if cycle == Cycle.YEARLY else 1)


Refusal = tuple[int, str]


def _differs(form: ChangeForm, prospect: Prospect) -> Refusal | None:
    """Why what would happen now is not what was confirmed, with the status that says so."""
    if form.when.data != prospect.apply:
        return 422, _("A smaller plan always begins at the end of the period that is paid for.")
    if prospect.preview is None:
        return 503, _("Stripe does not answer right now. Nothing was changed; please try again in a minute.")
    if form.base_version.data != prospect.held.version:
        return 409, _("Your plan was changed meanwhile. This is how it stands now; nothing was charged.")
    if (form.due_minor.data or 0) != prospect.preview.due.minor:
        return 409, _(
            "The amount has changed since you looked: it is %(amount)s now. Nothing was charged; please confirm again.",
            amount=money(prospect.preview.due),
        )
    return None


def _refused(vendor: VendorAtDoor, before: Prospect, error: PortalError) -> Response:
    """Stripe or somebody quicker said no: nothing has changed, and the page shows the present state."""
    held = subscriptions.overview(vendor.id) or before.held
    prospect = _prospect(vendor, held, before.price_id, before.apply)
    words = next(iter(error.fields.values()), None)
    return _confirmation(vendor, prospect, error.status, _(words) if words else error_text(error))


def _carried_on(vendor: VendorAtDoor) -> Response:
    """The intent is written down; a job carries it on with the same key, so nothing is charged twice."""
    message = _("Stripe does not answer right now. We go on trying, and nothing is charged twice.")
    return responder.done(url_for("vendor_billing.index", code=vendor.code), message, *EVENTS, level="warning")


def _happened(vendor: VendorAtDoor, prospect: Prospect, state: ChangeState) -> Response:
    billing = url_for("vendor_billing.index", code=vendor.code)
    if state == ChangeState.AWAITING_PAYMENT:
        return responder.go(f"{billing}#pay")
    if state == ChangeState.APPLIED:
        flash(_("You are on %(tier)s now.", tier=prospect.tier.name), "success")
        return responder.go(billing)  # everything on the page depends on the tier: load it whole
    if state == ChangeState.SCHEDULED:
        message = _(
            "Your plan changes to %(tier)s on %(date)s. Until then you can take it back.",
            tier=prospect.tier.name,
            date=day(prospect.held.period_end),
        )
    else:
        message = _("We are waiting for Stripe. The change finishes by itself; nothing is charged twice.")
    return responder.done(billing, message, *EVENTS)


def _chooser(vendor: VendorAtDoor, held: Overview, status: int, wrong: str | None = None) -> Response:
    return responder.respond(
        "vendor/plans/choose.html",
        "modal",
        status=status,
        vendor=vendor,
        held=held,
        may_buy=True,
        wrong=wrong,
        **plan_shelf.shelf(vendor, held, plan_shelf.asked_cycle(held)),
    )


def _confirmation(vendor: VendorAtDoor, prospect: Prospect, status: int, wrong: str | None = None) -> Response:
    context: dict[str, Any] = {"vendor": vendor, "prospect": prospect, "wrong": wrong}
    return responder.respond(TEMPLATE, "modal", status=status, **context)

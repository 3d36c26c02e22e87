"""Changing a paid plan: the choice, the preview to the cent, one confirmation (SUB-4, SUB-5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import Response, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, HiddenField, IntegerField
from wtforms.validators import AnyOf, InputRequired, Optional
from wtforms.widgets import HiddenInput

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Price, Tier
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
from portal.subscriptions.changes import owes
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Provider, Status, When
from portal.web.kit import responder, signed_in
from portal.web.kit.filters import day, error_text, money
from portal.web.kit.forms import Form, second
from portal.web.vendor import addon_choices, changes, plan_shelf
from portal.web.vendor.addon_choices import AddonChoice
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
    currency = HiddenField()
    proration_at = IntegerField(widget=HiddenInput(), validators=[Optional()])
    understood = BooleanField(_l("I know what I lose, and from when"))

    @property
    def shown_for(self) -> datetime | None:
        """The second that the shown figures were computed for."""
        return second(self.proration_at.data)

    def shown(self, currency: str) -> Money:
        """The amount that was confirmed; what the form does not say was nothing."""
        said = self.currency.data if len(self.currency.data or "") == 3 else currency
        return Money(self.due_minor.data or 0, said)


@dataclass(frozen=True, slots=True)
class Prospect:
    """A change before it is confirmed. ``preview`` None: Stripe did not answer, so nothing can be confirmed.

    ``may_be_now`` False: for vendors a step down waits for the end of the period. ``gives_up``: the price that was
    bought at and is not sold any more, so that leaving it is for good. ``addons``: those to decide on.
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
    gives_up: Money | None
    addons: list[AddonChoice]

    @property
    def is_free(self) -> bool:
        """A trial without a card: the change happens at once and costs nothing."""
        return self.held.provider == Provider.NONE

    @property
    def is_charged(self) -> bool:
        """Is anything to be paid today?"""
        return self.preview is not None and self.preview.due.minor > 0

    @property
    def asks(self) -> bool:
        """Is something lost, so that it must be confirmed in so many words? Trials may be walked freely."""
        return not self.is_free and bool(self.changes.lost or self.changes.exceeded)


class PriceGoneError(Exception):
    """The price is not offered any more; ``now`` is the one that took its place, if the tier is still sold."""

    def __init__(self, now: Price | None) -> None:
        self.now = now
        super().__init__()


def show(vendor: VendorAtDoor) -> Response:
    """The choice, or the confirmation of the price in the address."""
    held = _changeable(vendor)
    price_id = request.args.get("price", type=int)
    if price_id is None:
        return _chooser(vendor, held, 200)
    try:
        prospect = _prospect(vendor, held, price_id, request.args.get("when", ""))
    except PriceGoneError as gone:
        return _other_price(vendor, held, gone, request.args.get("when", ""), 200)
    return _confirmation(vendor, prospect, 200)


def apply(vendor: VendorAtDoor) -> Response:
    """Change the plan if what would happen now is what was shown; else show it anew and ask again (409)."""
    held = _changeable(vendor)
    form = ChangeForm()
    if not form.validate():
        return _chooser(vendor, held, 422, next(iter(form.errors.values()))[0])
    try:
        prospect = _prospect(vendor, held, form.price.data, form.when.data, request.form)
    except PriceGoneError as gone:
        return _other_price(vendor, held, gone, form.when.data, 409)
    if refusal := _differs(form, prospect):
        return _confirmation(vendor, _with_preview(vendor, prospect, form.shown_for), *refusal)
    return _carry_out(vendor, prospect, form)


def _carry_out(vendor: VendorAtDoor, prospect: Prospect, form: ChangeForm) -> Response:
    try:
        state = change_flows.change_tier(
            vendor.id,
            prospect.price_id,
            prospect.apply,
            actor=signed_in.actor(),
            base_version=form.base_version.data,
            proration_at=form.shown_for,
            shown=None if prospect.is_free else form.shown(prospect.amount.currency),
            choices=addon_choices.decided(prospect.addons),
        )
    except (CardRefused, Conflict, Invalid) as error:
        return _refused(vendor, prospect, error)
    except Unavailable as error:
        if error.code == "preview_unavailable":
            return _confirmation(vendor, prospect, 503, _no_answer())
        return _carried_on(vendor)
    return _happened(vendor, prospect, state)


def _changeable(vendor: VendorAtDoor) -> Overview:
    """The subscription, when its tier can be changed now; Conflict with the way on otherwise."""
    held = subscriptions.overview(vendor.id)
    to_billing = (_("To billing"), url_for("vendor_billing.index", code=vendor.code, _anchor="pay"))
    to_plans = (_("See the plans"), url_for("vendor_plans.index", code=vendor.code))
    if held is None or held.status in (Status.TRIAL_ENDED, Status.CANCELLED):
        raise Conflict(N_("There is no running plan to change. Choose one first."), code="no_plan", action=to_plans)
    if held.pending and held.pending.state != ChangeState.SCHEDULED:
        raise Conflict(N_("A change of the plan is under way already."), code="change_under_way", action=to_billing)
    if held.status not in (Status.TRIAL, Status.ACTIVE) or owes(vendor.id):
        raise Conflict(
            N_("An invoice is unpaid. Pay it first, then change the plan."), code="unpaid", action=to_billing
        )
    if held.paid_until:
        raise Conflict(
            N_("The coming period is paid for already. The plan can be changed once it has begun."), code="paid_ahead",
            action=to_billing,
        )  # fmt: skip
    if held.cancel_at_period_end or held.cancelled_at is not None:
        raise Conflict(
            N_("Your subscription is cancelled. Take the cancellation back first, then change the plan."),
            code="already_cancelled",
            action=to_billing,
        )
    return held


def _prospect(
    vendor: VendorAtDoor, held: Overview, price_id: int, asked: str, sent: Mapping[str, str] | None = None
) -> Prospect:
    """Everything that the confirmation shows; NotFound for a price that this vendor cannot have.

    What was ``sent`` is there to be carried out, so that Stripe is not asked for a preview here.
    """
    found, tier = _offered(price_id, held, vendor.id)
    now_tier = catalog.tier_by_id(held.tier_id) if held.tier_id else None
    down = is_step_down(now_tier, held.cycle, tier, found.cycle, held.amount, found.amount)
    may_be_now = held.provider == Provider.NONE or not down
    apply_when = When.NOW if may_be_now and (held.provider == Provider.NONE or asked != When.NEXT) else When.NEXT
    counted = or_none(lambda: usage.meters(vendor.id, held.period_start, clock.business())) or []
    difference = compare(now_tier, tier, counted) if now_tier else None
    lost = difference.addons_lost if difference and held.provider != Provider.NONE else ()
    made = Prospect(
        held=held,
        tier=tier,
        price_id=found.id,
        cycle=found.cycle,
        amount=found.amount,
        apply=apply_when,
        may_be_now=may_be_now,
        preview=None,
        changes=changes.words(difference) if difference else Changes((), (), ()),
        gives_up=_old_price(held, vendor.id),
        addons=addon_choices.choices(vendor.id, lost, found.amount.currency, found.cycle, sent),
    )
    return made if sent is not None else _with_preview(vendor, made, None)


def _offered(price_id: int, held: Overview, vendor_id: int) -> tuple[Price, Tier]:
    if not 0 < price_id < 2**63 or price_id == held.price_id:
        raise NotFound
    try:
        return flows.offered(price_id, vendor_id)
    except Invalid as error:
        now = catalog.successor(price_id, vendor_id)
        known = catalog.price(price_id) if now is None else None
        tier = catalog.tier_by_id(known.tier_id) if known else None
        if now is None and (tier is None or tier.is_active):
            raise NotFound from error
        raise PriceGoneError(now) from error


def _old_price(held: Overview, vendor_id: int) -> Money | None:
    """The vendor's own price, where nobody can buy at it any more."""
    if held.provider == Provider.NONE or held.amount is None or held.cycle is None:
        return None
    todays = catalog.offer(held.tier_code, held.cycle, held.amount.currency, vendor_id)
    return held.amount if todays is None or todays.id != held.price_id else None


def _with_preview(vendor: VendorAtDoor, prospect: Prospect, shown_for: datetime | None) -> Prospect:
    try:
        figures = change_flows.preview_change(vendor.id, prospect.price_id, prospect.apply, shown_for)
    except Unavailable:
        return prospect
    return replace(prospect, preview=figures)


Refusal = tuple[int, str]


def _differs(form: ChangeForm, prospect: Prospect) -> Refusal | None:
    """Why what would happen now is not what was confirmed, with the status that says so."""
    if form.when.data != prospect.apply:
        return 422, _("A smaller plan always begins at the end of the period that is paid for.")
    if form.base_version.data != prospect.held.version:
        return 409, _("Your plan was changed meanwhile. This is how it stands now; nothing was charged.")
    if prospect.asks and not form.understood.data:
        return 422, _("Please confirm below that you know what you lose.")
    if any(choice.errors for choice in prospect.addons):
        return 422, _("Please decide below what becomes of the add-ons.")
    return None


def _no_answer() -> str:
    return _("Stripe does not answer right now. Nothing was changed; please try again in a minute.")


def _refused(vendor: VendorAtDoor, before: Prospect, error: PortalError) -> Response:
    """Stripe or somebody quicker said no: nothing has changed, and the page shows the present state."""
    held = subscriptions.overview(vendor.id) or before.held
    try:
        prospect = _prospect(vendor, held, before.price_id, before.apply)
    except PriceGoneError as gone:
        return _other_price(vendor, held, gone, before.apply, 409)
    words = next(iter(error.fields.values()), None)
    told = _(words) if words else error_text(error)
    if error.code in ("preview_changed", "preview_expired") and prospect.preview:
        told = _(
            "The amount has changed since you looked: it is %(amount)s now. Nothing was charged; please confirm again.",
            amount=money(prospect.preview.due),
        )
    return _confirmation(vendor, prospect, error.status, told)


def _other_price(vendor: VendorAtDoor, held: Overview, gone: PriceGoneError, asked: str, status: int) -> Response:
    """The operator changed the price, or took the tier off the market: nothing happened, and this is how it stands."""
    if gone.now is None or gone.now.id == held.price_id:
        return _chooser(vendor, held, status, _("This plan is not sold any more. Nothing was changed."))
    prospect = _prospect(vendor, held, gone.now.id, asked)
    told = _(
        "The price of %(tier)s has changed: it is %(amount)s now. Nothing was charged; please look again.",
        tier=_(prospect.tier.name),
        amount=money(gone.now.amount),
    )
    return _confirmation(vendor, prospect, status, told)


def _carried_on(vendor: VendorAtDoor) -> Response:
    """The intent is written down; a job carries it on with the same key, so nothing is charged twice."""
    message = _("Stripe does not answer right now. We go on trying, and nothing is charged twice.")
    return responder.done(url_for("vendor_billing.index", code=vendor.code), message, *EVENTS, level="warning")


def _happened(vendor: VendorAtDoor, prospect: Prospect, state: ChangeState) -> Response:
    billing = url_for("vendor_billing.index", code=vendor.code)
    if state == ChangeState.AWAITING_PAYMENT:
        flash(_("Your card must be confirmed first. Until then your plan stays as it is."), "warning")
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

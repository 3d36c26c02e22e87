"""Changing a vendor's tier from the back office (S4 §3.1): choices, live preview, apply."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.catalog.rules import Cycle
from portal.identity.rules import StaffKind
from portal.kit.errors import Conflict, Invalid, PaymentRequired, PortalError, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.reporting import tier_sheet
from portal.reporting.compare import Choice, Comparison
from portal.reporting.tier_sheet import TierSheet
from portal.subscriptions import change_flows
from portal.subscriptions.change_flows import Preview
from portal.subscriptions.rules import ChangeState, When
from portal.web.admin import tier_change_form, words
from portal.web.admin.tier_change_form import TierChangeForm
from portal.web.kit import audience, filters, responder, signed_in
from portal.web.kit.forms import second
from portal.web.vendor import addon_choices
from portal.web.vendor.addon_choices import AddonChoice

blueprint = Blueprint("admin_tier_change", __name__)
TEMPLATE = "admin/tier_change/page.html"
#: What the preview's address and the page's have in common; anything else in a query is not carried on.
SHARED = ("price", "when", "cycle", "notify")
CHANGED = ("subscription-changed", "history-changed")


@blueprint.get("/admin/vendors/<int:vendor_id>/tier-change")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal, or the page where there is no JavaScript; ``price`` in the address shows that choice's preview."""
    sheet = _sheet(vendor_id)
    filled = _fill(sheet, TierChangeForm(request.args if "price" in request.args else None, meta={"csrf": False}))
    return _show(sheet, filled)


@blueprint.get("/admin/vendors/<int:vendor_id>/tier-change/preview")
@audience.staff(StaffKind.FINANCE)
def preview(vendor_id: int) -> Response:
    """What the choice would cost and change, live under it."""
    sheet = _sheet(vendor_id)
    if not responder.is_partial():
        asked = urlencode({name: request.args[name] for name in SHARED if name in request.args})
        return responder.go(f"{url_for('admin_tier_change.form', vendor_id=vendor_id)}?{asked}")
    filled = TierChangeForm(request.args, meta={"csrf": False})
    filled.offer(sheet)
    outcome = _outcome(sheet, filled)
    refused = outcome.error.status if outcome and isinstance(outcome.error, PortalError) else 200
    # What Stripe cannot tell just now is said in the fragment with a way to try again; 5xx would not be shown.
    return responder.respond(TEMPLATE, "preview", status=refused if refused < 500 else 200, **_context(sheet, outcome))


@blueprint.post("/admin/vendors/<int:vendor_id>/tier-change")
@audience.staff(StaffKind.FINANCE)
def apply(vendor_id: int) -> Response:
    """Change the tier as chosen. What fails comes back in the same form, with the state as it is now."""
    sheet = _sheet(vendor_id)
    filled = TierChangeForm()
    filled.offer(sheet)
    if sheet.overview is None:
        return _refused(vendor_id, filled, Conflict(sheet.closed_because))
    if not filled.validate():
        return _show(sheet, filled, 422)
    choice = sheet.choice(filled.price.data)
    if choice is None or choice.price is None:
        raise Invalid
    try:
        state = change_flows.change_tier(
            vendor_id, choice.price.id, When(filled.when.data), actor=signed_in.actor(),
            base_version=int(filled.base_version.data), notify=filled.notify.data,
            choices=addon_choices.decided(_addons(sheet, choice, request.form)),
            **_confirmed(sheet, filled, choice.price.amount.currency),
        )  # fmt: skip
    except Unavailable as error:
        if error.code == "preview_unavailable":
            return _refused(vendor_id, filled, error)
        return _under_way(sheet)
    except (Invalid, Conflict, PaymentRequired) as error:
        return _refused(vendor_id, filled, error)
    return _done(sheet, choice, state)


def _confirmed(sheet: TierSheet, filled: TierChangeForm, currency: str) -> dict[str, Any]:
    """What was shown: the figures' second and their amount. Conflict when a change at once was sent without them."""
    shown_for = second(filled.proration_at.data)
    if sheet.costs_nothing:
        return {}
    if filled.when.data == When.NOW and (shown_for is None or filled.due_minor.data is None):
        raise Conflict(N_("Look at what it costs first, then apply the change."), code="preview_needed")
    if filled.when.data == When.NEXT:
        return {"shown": Money(0, currency)}
    return {"proration_at": shown_for, "shown": Money(filled.due_minor.data, currency)}


def _sheet(vendor_id: int) -> TierSheet:
    named = request.args.get("cycle")
    return tier_sheet.load(vendor_id, Cycle(named) if named in {*map(str, Cycle)} else None)


def _fill(sheet: TierSheet, filled: TierChangeForm) -> TierChangeForm:
    """Choices, and what is chosen at first. The next cycle costs nothing today, so it is what a mere look shows."""
    filled.offer(sheet)
    if filled.price.data is None:
        guess = tier_change_form.first_guess(sheet, request.args.get("tier"))
        filled.price.data = str(guess.price.id) if guess and guess.price else None
    if filled.when.data is None:
        filled.when.data = str(When.NOW if sheet.costs_nothing else When.NEXT)
    filled.base_version.data = str(sheet.overview.version) if sheet.overview else "0"
    return filled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a choice would do: its preview, or why there is none."""

    choice: Choice
    figures: Preview | None
    differences: Comparison | None
    error: PortalError | None
    addons: list[AddonChoice] = field(default_factory=list)


def _outcome(sheet: TierSheet, filled: TierChangeForm) -> Outcome | None:
    """The outcome of what is chosen; None while that is not a choice or the tier cannot change."""
    choice = sheet.choice(str(filled.price.data))
    when = str(filled.when.data)
    if (
        choice is None
        or choice.price is None
        or sheet.closed_because
        or when not in [c.value for c in filled.when.choices]
    ):
        return None
    differences = tier_sheet.comparison(sheet, choice)
    addons = _addons(sheet, choice, request.values)
    try:
        figures = change_flows.preview_change(sheet.head.id, choice.price.id, When(when))
    except PortalError as error:
        return Outcome(choice, None, differences, error, addons)
    return Outcome(choice, figures, differences, None, addons)


def _addons(sheet: TierSheet, choice: Choice, sent: Mapping[str, str]) -> list[AddonChoice]:
    """What becomes of add-ons that the coming tier does not include (SUB-5): they end, unless it is said otherwise."""
    found = tier_sheet.comparison(sheet, choice)
    if found is None or choice.price is None or sheet.costs_nothing:
        return []
    price = choice.price
    asked = addon_choices.choices(
        sheet.head.id, found.addons_lost, price.amount.currency, price.cycle, sent
    )  # fmt: skip
    return [each if each.data else replace(each, data=addon_choices.END, errors=()) for each in asked]


def _context(sheet: TierSheet, outcome: Outcome | None) -> dict[str, Any]:
    return {"sheet": sheet, "outcome": outcome, "words": words, "retry_href": request.full_path}


def _show(sheet: TierSheet, filled: TierChangeForm, status: int = 200) -> Response:
    return responder.respond(
        TEMPLATE, "modal", status=status, form=filled, cards=tier_change_form.cards(sheet),
        cycle_items=_cycle_items(sheet, filled), **_context(sheet, _outcome(sheet, filled)),
    )  # fmt: skip


def _cycle_items(sheet: TierSheet, filled: TierChangeForm) -> list[dict[str, Any]]:
    """Monthly and yearly, where both can be had; the tier that is chosen stays chosen."""
    choice = sheet.choice(str(filled.price.data))
    tier = choice.tier.code if choice else None
    if len(sheet.cycles) < 2:
        return []
    return [
        {
            "label": words.cycle(cycle),
            "href": url_for("admin_tier_change.form", vendor_id=sheet.head.id, cycle=str(cycle), tier=tier),
            "current": cycle == sheet.cycle,
        }
        for cycle in sheet.cycles
    ]


def _refused(vendor_id: int, filled: TierChangeForm, error: PortalError) -> Response:
    """The same form with the reason and the state as it is now, so that a second look can lead to a second try."""
    sheet = _sheet(vendor_id)
    filled.offer(sheet)
    filled.refuse(error)
    filled.base_version.data = str(sheet.overview.version) if sheet.overview else "0"
    return _show(sheet, filled, error.status)


def _under_way(sheet: TierSheet) -> Response:
    """The intent is written down and a job carries it on: accepted, the outcome still unknown."""
    message = _("Stripe does not answer. We keep checking; the change finishes by itself.")
    response = responder.done(_back(sheet), message, *CHANGED, level="warning")
    if responder.is_partial():
        response.status_code = 202
    return response


def _done(sheet: TierSheet, choice: Choice, state: ChangeState) -> Response:
    message, level = _told(sheet, choice, state)
    return responder.done(_back(sheet), message, *CHANGED, level=level)


def _told(sheet: TierSheet, choice: Choice, state: ChangeState) -> tuple[str, str]:
    vendor, tier = sheet.head.name, choice.tier.name
    if state == ChangeState.APPLIED:
        return _("%(vendor)s is on %(tier)s now.", vendor=vendor, tier=tier), "success"
    if state == ChangeState.SCHEDULED and sheet.overview:
        day = filters.day(sheet.overview.period_end)
        return _("%(vendor)s changes to %(tier)s on %(day)s.", vendor=vendor, tier=tier, day=day), "success"
    if state == ChangeState.AWAITING_PAYMENT:
        return _("%(vendor)s must confirm the payment first. Until then the tier stays.", vendor=vendor), "warning"
    if state == ChangeState.REQUESTED:
        return _("The change is being carried out; it finishes by itself."), "info"
    return _("The change was not carried out; the tier stays as it was."), "error"


def _back(sheet: TierSheet) -> str:
    return url_for("admin_vendor_detail.index", vendor_id=sheet.head.id)

"""Am I all right, and what next?"""

from dataclasses import dataclass

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor, Visitor
from portal.addons import queries as addons
from portal.identity.rules import Stage
from portal.kit import clock
from portal.settings import queries as settings
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import Provider, Status
from portal.web.kit import audience, responder, signed_in
from portal.web.vendor import activity, usage_panel
from portal.web.vendor.billing import may_buy
from portal.web.vendor.outlook import outlook
from portal.web.vendor.reading import or_none

blueprint = Blueprint("vendor_dashboard", __name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A line of the checklist."""

    label: str
    done: bool
    href: str
    text: str


@blueprint.get("/dashboard")
@audience.vendor()
def index() -> Response:
    """The chosen vendor's dashboard."""
    who, vendor, now = signed_in.person(), signed_in.vendor(), clock.business()
    held = subscriptions.overview(vendor.id, *addons.beside_plan())
    history = or_none(lambda: subscriptions.history(vendor.id, limit=30))
    return responder.respond(
        "vendor/dashboard/page.html",
        **usage_panel.read(vendor, usage_panel.of(held), now, user_id=who.user_id),
        who=who,
        held=held,
        next=outlook(held, now),
        happenings=activity.recent(history) if history is not None else None,
        tasks=_tasks(who, vendor, held),
        stages=_stages(),
        stage_index=list(Stage).index(Stage(vendor.stage)),
        may_buy=may_buy(vendor),
    )


def _tasks(who: Visitor, vendor: VendorAtDoor, held: Overview | None) -> list[Task]:
    """What is left to do; nothing once all of it is done."""
    billing = url_for("vendor_billing.index", code=vendor.code)
    plans = url_for("vendor_plans.index", code=vendor.code)
    tasks = [Task(_("Choose a plan"), held is not None, plans, "")]
    if settings.current().email_verification != "off":
        tasks.insert(0, Task(_("Confirm your email address"), who.verified, url_for("public_verify.waiting"),
                             _("Open the link that we sent you.")))  # fmt: skip
    if may_buy(vendor):
        paid = held is not None and (held.payment_method is not None or held.provider == Provider.TRANSFER)
        in_trial = held is not None and held.status == Status.TRIAL
        text = _("What is left of the trial stays free.") if in_trial else ""
        tasks.append(Task(_("Add a payment method"), paid, billing, text))
    return tasks if not all(task.done for task in tasks) else []


def _stages() -> list[str]:
    """Where the operator's work can stand, in order, in words."""
    words = {
        Stage.ONBOARDING: _("Onboarding"),
        Stage.BUILDING: _("Building"),
        Stage.DEPLOYED: _("Deployed"),
        Stage.ACTIVE: _("Active"),
        Stage.SUPPORTING: _("Supporting"),
    }
    return [words[stage] for stage in Stage]

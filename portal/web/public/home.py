"""The front page and the prices."""

from flask import Blueprint, Response, make_response, render_template, request, url_for

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.web.kit import audience, responder, signed_in
from portal.web.public import offers, start

blueprint = Blueprint("public_home", __name__)


@blueprint.get("/")
@audience.public
def index() -> Response:
    """What this is for; people who are signed in are led to where they work."""
    if who := signed_in.visitor():
        return responder.go(start.page_for(who))
    tiers = catalog.tiers()
    cheapest = min(
        (p for t in tiers for p in t.prices if p.cycle == Cycle.MONTHLY), key=lambda p: p.amount.minor, default=None
    )
    days = max((t.trial_days for t in tiers if t.self_service), default=0)
    return make_response(render_template("public/home/page.html", cheapest=cheapest, trial_days=days))


@blueprint.get("/pricing")
@audience.public
def pricing() -> Response:
    """Tiers side by side; ``?cycle=yearly`` shows yearly prices (ACC-1)."""
    cycle = Cycle.YEARLY if request.args.get("cycle") == Cycle.YEARLY else Cycle.MONTHLY
    tiers = catalog.tiers()
    days = max((t.trial_days for t in tiers if t.self_service), default=0)
    page = render_template(
        "public/pricing/page.html",
        offers=offers.offers(tiers, cycle),
        rows=offers.comparison(tiers),
        cycle=cycle,
        cycles=_switch(),
        months_free=offers.saving(tiers),
        trial_days=days,
        who=signed_in.visitor(),
    )
    return make_response(page)


def _switch() -> dict[Cycle, str]:
    """The addresses that the monthly/yearly switch leads to; the plain one is monthly."""
    plain = url_for("public_home.pricing")
    return {Cycle.MONTHLY: plain, Cycle.YEARLY: url_for("public_home.pricing", cycle="yearly")}

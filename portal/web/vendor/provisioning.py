"""Setting an add-on up, like a parcel on its way: steps in words, what to do when one waits for the vendor."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.addons import provisioning
from portal.addons import provisioning_queries as queries
from portal.addons.providers import Place
from portal.addons.provisioning_queries import Setup, StepView
from portal.addons.rules import RunState, StepState
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit import provisioning_words as words
from portal.web.kit.audience import Needs
from portal.web.kit.filters import translated

blueprint = Blueprint("vendor_provisioning", __name__)
TEMPLATE = "vendor/provisioning/page.html"
#: Something is being done this moment, or is only waited for.
SOON, LATER = "5s", "60s"
#: The pages on which a vendor does what a step waits for.
PLACES = {
    Place.CERTIFICATE: "vendor_certificate.form",
    Place.DOMAINS: "vendor_domains.index",
    Place.MAILBOXES: "vendor_mailboxes.index",
}
#: Where a vendor finds what was set up.
OWN = {"certificate": Place.CERTIFICATE, "domain": Place.DOMAINS, "mailboxes": Place.MAILBOXES}


@blueprint.get("/vendor/<code>/addons/<int:addon_id>/steps")
@audience.vendor(needs=Needs.ACCOUNT)
def steps(code: str, addon_id: int) -> Response:
    """The page; as a fragment the steps alone, and nothing (204) while ``seen`` is still what there is to see."""
    vendor = signed_in.vendor()
    setup = queries.of_addon(vendor.id, addon_id)
    if responder.is_partial() and request.args.get("seen") == setup.mark:
        return responder.vary(Response(status=204))
    if responder.is_partial():
        if "seen" not in request.args:
            return responder.respond(TEMPLATE, "setup", said=False, **context(vendor, setup))
        moved = responder.respond(TEMPLATE, "moving", said=True, **context(vendor, setup))
        return responder.waking(moved, f"setup-{addon_id}-moved")
    return responder.respond(TEMPLATE, said=False, log=queries.log_of(vendor.id, addon_id), **context(vendor, setup))


@blueprint.get("/vendor/<code>/addons/<int:addon_id>/steps/log")
@audience.vendor(needs=Needs.ACCOUNT)
def log(code: str, addon_id: int) -> Response:
    """What happened so far; as a page it stands under the steps."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return responder.go(url_for("vendor_provisioning.steps", code=vendor.code, addon_id=addon_id))
    lines = queries.log_of(vendor.id, addon_id)
    return responder.respond(TEMPLATE, "history", vendor=vendor, addon_id=addon_id, log=lines, words=words)


@blueprint.post("/vendor/<code>/addons/<int:addon_id>/steps/look")
@limits.limiter.limit(limits.LOOK, methods=["POST"])
@audience.vendor(needs=Needs.ACCOUNT)
def look(code: str, addon_id: int) -> Response:
    """The vendor has done its part and wants to know at once."""
    vendor = signed_in.vendor()
    with unit_of_work():
        woken = provisioning.wake(vendor.id, addon_id, now=clock.business())
    here = url_for("vendor_provisioning.steps", code=vendor.code, addon_id=addon_id)
    message = _("We are looking now.") if woken else _("Nothing is waiting at the moment.")
    return responder.done(here, message, f"setup-{addon_id}-changed")


def context(vendor: VendorAtDoor, setup: Setup) -> dict[str, Any]:
    """What the steps' template needs; also for pages that show them among other things."""
    current = setup.current
    return {
        "vendor": vendor,
        "setup": setup,
        "words": words,
        "summary": words.summary(setup, clock.business()),
        "every": _every(setup),
        "way": _way(setup),
        "place_href": _place(vendor, setup),
        "own_href": _href(vendor, setup, OWN.get(setup.provisioning)) if setup.provisioned_at else None,
        "may_look": current is not None and current.state in (StepState.WAITING_VENDOR, StepState.RETRYING)
        and setup.state != RunState.FAILED,
    }  # fmt: skip


def _every(setup: Setup) -> str | None:
    """How often the page looks again: not at all when nothing moves by itself."""
    current = setup.current
    if current is None or setup.state == RunState.FAILED:
        return None
    is_due = current.next_try_at is not None and current.next_try_at <= clock.business()
    return SOON if is_due or current.state in (StepState.TODO, StepState.RUNNING) else LATER


def _way(setup: Setup) -> list[dict[str, str]]:
    """Bought, the steps, ready; as the steps component takes them."""
    way = [_line("done", words.begun(setup), "")]
    way += [_line(words.look(setup, step), step.title, words.for_vendor(setup, step)) for step in setup.steps]
    if setup.run_id is not None:
        is_through = setup.state == RunState.DONE
        way.append(_line("done" if is_through else "todo", words.ended(setup), ""))
    return way


def _line(state: str, title: str, text: str) -> dict[str, str]:
    return {"state": state, "label": translated(title), "text": text}


def _place(vendor: VendorAtDoor, setup: Setup) -> str | None:
    step: StepView | None = setup.current
    if step is None or step.state != StepState.WAITING_VENDOR:
        return None
    return _href(vendor, setup, Place(step.place))


def _href(vendor: VendorAtDoor, setup: Setup, place: Place | None) -> str | None:
    if not place:
        return None
    of_addon: dict[str, Any] = {"addon_id": setup.addon_id} if place == Place.CERTIFICATE else {}
    return url_for(PLACES[place], code=vendor.code, **of_addon)

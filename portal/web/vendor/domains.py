"""A vendor's domains (ADD-7): where the shop is found, what is to be set in DNS, what was found there."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.addons import availability as names
from portal.addons import domain_checks, domain_names, domain_queries, domains, mailbox_queries, platform_address
from portal.addons.domain_queries import DomainRow
from portal.addons.domain_rules import Verdict
from portal.addons.rules import DomainState
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.entitlements.refusals import LimitReached
from portal.identity.rules import Role, at_least
from portal.kit import clock
from portal.kit.errors import Invalid, PortalError
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import dismissals
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.vendor import domain_offer

blueprint = Blueprint("vendor_domains", __name__)
TEMPLATE = "vendor/domains/page.html"
CHANGED = "domains-changed"


@blueprint.get("/vendor/<code>/domains")
@audience.vendor()
def index(code: str) -> Response:
    """All names of the vendor, and the platform's address; as a fragment the list."""
    vendor = signed_in.vendor()
    rows = domain_queries.of_vendor(vendor.id)
    offer = None if rows or responder.is_partial() else domain_offer.of(vendor, signed_in.person().user_id)
    mail = mailbox_queries.domains(vendor.id) if rows and not responder.is_partial() else []
    return responder.respond(TEMPLATE, "domains", rows=rows, offer=offer, mail=mail, **_context(vendor))


@blueprint.get("/vendor/<code>/domains/<int:domain_id>")
@audience.vendor()
def show(code: str, domain_id: int) -> Response:
    """One name with its records; as a fragment its card, which looks again while something is awaited."""
    vendor = signed_in.vendor()
    return _card(vendor, domain_queries.one(vendor.id, domain_id))


@blueprint.get("/vendor/<code>/domains/new")
@audience.vendor(Role.MANAGER)
def form(code: str) -> Response:
    """Which name? Says beforehand when no place is left."""
    vendor = signed_in.vendor()
    now = clock.business()
    verdict = gate.check(vendor.id, Metric.DOMAINS, now=now)
    full = gate.explained(vendor.id, verdict, now=now)
    return _ask(vendor, full=full)


@blueprint.post("/vendor/<code>/domains")
@limits.limiter.limit(limits.ADD_A_DOMAIN)
@audience.vendor(Role.MANAGER)
def add(code: str) -> Response:
    """Add a name that the vendor has elsewhere."""
    vendor = signed_in.vendor()
    try:
        name = domain_names.parse(request.form.get("domain", ""))
        with unit_of_work():
            added = domains.add_own(vendor.id, name, actor=signed_in.actor(), now=clock.business())
    except LimitReached as error:
        return _ask(vendor, full=error)
    except Invalid as error:
        return _ask(vendor, error)
    here = url_for("vendor_domains.index", code=vendor.code)
    return responder.done(here, _("%(domain)s was added. Set its records next.", domain=added.shown), CHANGED)


@blueprint.get("/vendor/<code>/domains/availability")
@limits.limiter.limit(limits.ASK_FOR_A_NAME)
@audience.vendor()
def availability(code: str) -> Response:
    """What is known of the name that is being typed; 422 with the reason for what is none."""
    vendor, typed, own = signed_in.vendor(), request.args.get("domain", ""), "own" in request.args
    found, refusal = None, ""
    try:
        found = names.ask(vendor.id, typed, ask_registrar=not own) if typed.strip() else None
    except Invalid as error:
        refusal = _(error.fields[domain_names.FIELD])
    return responder.respond(
        "vendor/domains/availability.html", "answer", status=422 if refusal else 200, vendor=vendor, found=found,
        own=own, refusal=refusal,
    )  # fmt: skip


@blueprint.post("/vendor/<code>/domains/<int:domain_id>/check")
@limits.limiter.limit(limits.LOOK)
@audience.vendor()
def check(code: str, domain_id: int) -> Response:
    """Look at DNS now."""
    vendor = signed_in.vendor()
    looked = domain_checks.look_by_hand(vendor.id, domain_id, now=clock.business())
    here = url_for("vendor_domains.index", code=vendor.code)
    if looked.state == DomainState.ACTIVE:
        return responder.done(here, _("We have looked: everything is right."), CHANGED)
    if all(found.verdict == Verdict.UNKNOWN for found in looked.checks):
        told = _("DNS did not answer, so nothing has changed. We ask again by ourselves.")
        return responder.done(here, told, CHANGED, level="warning")
    return responder.done(here, _("We have looked. The list shows what is still missing."), CHANGED, level="info")


@blueprint.post("/vendor/<code>/domains/<int:domain_id>/primary")
@audience.vendor(Role.MANAGER)
def choose(code: str, domain_id: int) -> Response:
    """This is the name that is shown for the shop."""
    return _choose(domain_id)


@blueprint.post("/vendor/<code>/domains/platform-address")
@audience.vendor(Role.MANAGER)
def choose_platform(code: str) -> Response:
    """The platform's address is the one that is shown."""
    return _choose(None)


@blueprint.post("/vendor/<code>/domains/dismiss-offer")
@audience.vendor()
def dismiss(code: str) -> Response:
    """Do not offer a name of one's own to this person again; the page still says how to get one."""
    vendor, who = signed_in.vendor(), signed_in.person()
    with unit_of_work():
        dismissals.dismiss(vendor.id, who.user_id, domain_offer.WHAT, now=clock.business())
    if responder.is_partial():
        return responder.vary(Response(""))
    return responder.go(url_for("vendor_domains.index", code=vendor.code))


def _choose(domain_id: int | None) -> Response:
    vendor = signed_in.vendor()
    with unit_of_work():
        domains.choose_primary(vendor.id, domain_id, actor=signed_in.actor(), now=clock.business())
    here = url_for("vendor_domains.index", code=vendor.code)
    return responder.done(here, _("This is the main address of your shop now."), CHANGED)


@blueprint.get("/vendor/<code>/domains/<int:domain_id>/remove")
@audience.vendor(Role.MANAGER)
def ask_removal(code: str, domain_id: int) -> Response:
    """What removing does, and what it does not."""
    vendor = signed_in.vendor()
    return _ask_removal(vendor, domain_queries.one(vendor.id, domain_id))


@blueprint.post("/vendor/<code>/domains/<int:domain_id>/remove")
@audience.vendor(Role.MANAGER)
def remove(code: str, domain_id: int) -> Response:
    """Give the name up."""
    vendor = signed_in.vendor()
    row = domain_queries.one(vendor.id, domain_id)
    try:
        with unit_of_work():
            domains.remove(vendor.id, domain_id, actor=signed_in.actor(), now=clock.business())
    except PortalError as error:
        return _ask_removal(vendor, row, error)
    here = url_for("vendor_domains.index", code=vendor.code)
    return responder.done(here, _("%(domain)s was removed.", domain=row.shown), CHANGED)


def _ask_removal(vendor: VendorAtDoor, row: DomainRow, refused: PortalError | None = None) -> Response:
    return responder.respond(
        "vendor/domains/remove.html", "modal", status=refused.status if refused else 200, vendor=vendor, row=row,
        refused=refused,
    )  # fmt: skip


def _ask(vendor: VendorAtDoor, refused: PortalError | None = None, *, full: PortalError | None = None) -> Response:
    errors = {name: _(message) for name, message in refused.fields.items()} if refused else {}
    told = refused or (full if request.method == "POST" else None)
    return responder.respond(
        "vendor/domains/add.html", "modal", status=told.status if told else 200, vendor=vendor, full=full,
        sent={"domain": request.form.get("domain", "")[:300]}, errors=errors, ask_how=False,
        offer=domain_offer.of(vendor, signed_in.person().user_id) if full else None,
    )  # fmt: skip


def _card(vendor: VendorAtDoor, row: DomainRow) -> Response:
    return responder.respond("vendor/domains/show.html", "domain", row=row, **_context(vendor))


def _context(vendor: VendorAtDoor) -> dict[str, Any]:
    return {
        "vendor": vendor,
        "platform": platform_address.of(vendor.code),
        "may_change": at_least(vendor.role, Role.MANAGER),
        "changed": CHANGED,
        "now": clock.business(),
    }

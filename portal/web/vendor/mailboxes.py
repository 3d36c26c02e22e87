"""Mailboxes of a vendor's email packages: a list, a new one, another password, deleting."""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, PasswordField, StringField

from portal.accounts.queries import VendorAtDoor
from portal.addons import mailbox_queries, mailboxes
from portal.addons.mailbox_queries import MailboxRow, MailDomain
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.entitlements.refusals import LimitReached
from portal.gateways import mailboxes as gateway
from portal.identity.rules import Role, at_least
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("vendor_mailboxes", __name__)
TEMPLATE = "vendor/mailboxes/page.html"
CHANGED = "mailboxes-changed"


class MailboxForm(Form):
    """A new address. The rules are the room's; its refusals come back to these fields."""

    domain = IntegerField(_l("Domain"))
    local = StringField(_l("Address"))
    name = StringField(_l("Name"))
    password = PasswordField(_l("Password"))


class PasswordForm(Form):
    """Another password."""

    password = PasswordField(_l("New password"))


@blueprint.get("/vendor/<code>/mailboxes")
@audience.vendor()
def index(code: str) -> Response:
    """All mailboxes; as a fragment the list."""
    vendor = signed_in.vendor()
    rows = mailbox_queries.of_vendor(vendor.id)
    places = mailbox_queries.domains(vendor.id) if not rows or not responder.is_partial() else None
    counted = None if responder.is_partial() else gate.check(vendor.id, Metric.MAILBOXES, 0, now=clock.business())
    return responder.respond(
        TEMPLATE, "mailboxes", vendor=vendor, rows=rows, places=places, counted=counted, changed=CHANGED,
        may_change=at_least(vendor.role, Role.MANAGER), by_hand=gateway.current() is None, moving=_moving(rows),
    )  # fmt: skip


def _moving(rows: list[MailboxRow]) -> bool:
    """Is one being made, or getting a password, so that the list should look again?"""
    return any(row.changing or row.state == "pending" for row in rows)


@blueprint.get("/vendor/<code>/mailboxes/new")
@audience.vendor(Role.MANAGER)
def form(code: str) -> Response:
    """Which address, for whom; says beforehand when the package is full."""
    vendor, now = signed_in.vendor(), clock.business()
    full = gate.explained(vendor.id, gate.check(vendor.id, Metric.MAILBOXES, now=now), now=now)
    return _ask(vendor, MailboxForm(None), full=full)


@blueprint.post("/vendor/<code>/mailboxes")
@limits.limiter.limit(limits.MAILBOX)
@audience.vendor(Role.MANAGER)
def create(code: str) -> Response:
    """Make it: the row at once, the mailbox itself within a minute."""
    vendor, filled = signed_in.vendor(), MailboxForm()
    ready = _ready(vendor)
    chosen = next((d for d in ready if d.domain_id == filled.domain.data), ready[0] if len(ready) == 1 else None)
    try:
        if chosen is None:
            raise Conflict(_("Choose a domain that mail is set up for."), code="no_package")
        end_reading()
        wish = mailboxes.wish(filled.local.data or "", filled.name.data or "", filled.password.data or "", chosen.name)
        with unit_of_work():
            made = mailboxes.create(vendor.id, chosen.domain_id, wish, actor=signed_in.actor(), now=clock.business())
    except LimitReached as error:
        return _ask(vendor, filled, full=error)
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _ask(vendor, filled, status=error.status)
    here = url_for("vendor_mailboxes.index", code=vendor.code)
    return responder.done(here, _("%(address)s is being made.", address=made.address), CHANGED)


@blueprint.get("/vendor/<code>/mailboxes/<int:mailbox_id>/password")
@audience.vendor(Role.MANAGER)
def password_form(code: str, mailbox_id: int) -> Response:
    """Another password for a mailbox."""
    vendor = signed_in.vendor()
    return _ask_password(vendor, _one(vendor, mailbox_id), PasswordForm(None))


@blueprint.post("/vendor/<code>/mailboxes/<int:mailbox_id>/password")
@limits.limiter.limit(limits.MAILBOX)
@audience.vendor(Role.MANAGER)
def password(code: str, mailbox_id: int) -> Response:
    """Set it: sealed until the mail server has it, and never shown again."""
    vendor, filled = signed_in.vendor(), PasswordForm()
    row = _one(vendor, mailbox_id)
    end_reading()
    try:
        wish = mailboxes.wish("postmaster", row.name, filled.password.data or "", row.address)
        with unit_of_work():
            mailboxes.new_password(vendor.id, mailbox_id, wish.password, actor=signed_in.actor(), now=clock.business())
    except (Invalid, Conflict) as error:
        filled.refuse(error)
        return _ask_password(vendor, row, filled, error.status)
    here = url_for("vendor_mailboxes.index", code=vendor.code)
    return responder.done(here, _("%(address)s gets its new password now.", address=row.address), CHANGED)


@blueprint.get("/vendor/<code>/mailboxes/<int:mailbox_id>/remove")
@audience.vendor(Role.MANAGER)
def ask_removal(code: str, mailbox_id: int) -> Response:
    """What deleting does."""
    vendor = signed_in.vendor()
    row = _one(vendor, mailbox_id)
    return responder.respond("vendor/mailboxes/remove.html", "modal", vendor=vendor, row=row)


@blueprint.post("/vendor/<code>/mailboxes/<int:mailbox_id>/remove")
@audience.vendor(Role.MANAGER)
def remove(code: str, mailbox_id: int) -> Response:
    """Delete it, with its mails."""
    vendor = signed_in.vendor()
    row = _one(vendor, mailbox_id)
    with unit_of_work():
        mailboxes.remove(vendor.id, mailbox_id, actor=signed_in.actor(), now=clock.business())
    here = url_for("vendor_mailboxes.index", code=vendor.code)
    return responder.done(here, _("%(address)s was deleted.", address=row.address), CHANGED)


def _ready(vendor: VendorAtDoor) -> list[MailDomain]:
    return [domain for domain in mailbox_queries.domains(vendor.id) if domain.ready]


def _one(vendor: VendorAtDoor, mailbox_id: int) -> MailboxRow:
    found = next((row for row in mailbox_queries.of_vendor(vendor.id) if row.id == mailbox_id), None)
    if found is None:
        raise NotFound
    return found


def _ask(vendor: VendorAtDoor, filled: MailboxForm, *, full: PortalError | None = None, status: int = 200) -> Response:
    if full is not None and request.method == "POST":
        status = full.status
    return responder.respond(
        "vendor/mailboxes/new.html", "modal", status=status, vendor=vendor, form=filled,
        full=full, places=_ready(vendor), chosen=request.form.get("domain", type=int),
        by_hand=gateway.current() is None,
    )  # fmt: skip


def _ask_password(vendor: VendorAtDoor, row: MailboxRow, filled: PasswordForm, status: int = 200) -> Response:
    return responder.respond(
        "vendor/mailboxes/password.html", "modal", status=status, vendor=vendor, row=row, form=filled
    )

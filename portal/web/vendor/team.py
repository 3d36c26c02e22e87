"""The vendor's team (ACC-8): who is in it, inviting, roles, leaving, handing the vendor over."""

from typing import Any

from flask import Blueprint, Response, flash, make_response, request, session, url_for
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, PasswordField, RadioField, SelectChoice

from portal.accounts import invitations, seats, team, team_queries
from portal.accounts.queries import VendorAtDoor
from portal.accounts.team_queries import Member
from portal.identity import api_keys, flows
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Conflict, Forbidden, Invalid, PaymentRequired, PortalError, TooMany, Unauthenticated
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks

blueprint = Blueprint("vendor_team", __name__)
TEMPLATE = "vendor/team/page.html"
CHANGED = "team-changed"
CHOICES = [SelectChoice(Role.MEMBER, _l("Member")), SelectChoice(Role.MANAGER, _l("Manager"))]


class InviteForm(Form):
    """Whom, and as what."""

    email = EmailField(
        _l("Email address"),
        validators=[checks.needed(_l("Enter an email address.")), checks.EMAIL_LENGTH, checks.email_address],
    )
    role = RadioField(_l("Role"), choices=CHOICES, default=Role.MEMBER, validate_choice=False)


class RoleForm(Form):
    """Another role."""

    role = RadioField(_l("Role"), choices=CHOICES, validate_choice=False)


class HandOverForm(Form):
    """The owner's password, once more."""

    password = PasswordField(
        _l("Your password"), validators=[checks.needed(_l("Enter your password.")), checks.PASSWORD_LENGTH]
    )


@blueprint.get("/vendor/<code>/team")
@audience.vendor()
def index(code: str) -> Response:
    """Everybody who works for the vendor and who is invited."""
    return _page(signed_in.vendor())


@blueprint.get("/vendor/<code>/team/seats")
@audience.vendor()
def seats_line(code: str) -> Response:
    """How many seats are taken, when that has changed."""
    vendor = signed_in.vendor()
    if not responder.is_partial():
        return responder.go(_here(vendor))
    return responder.respond(TEMPLATE, "seats", vendor=vendor, seats=seats.taken(vendor.id, now=clock.business()))


def _page(vendor: VendorAtDoor) -> Response:
    found = team_queries.team(vendor.id, request.args.get("page"))
    # The list alone does not show the seats: their line fetches itself.
    counted = None if responder.is_partial() else seats.taken(vendor.id, now=clock.business())
    return responder.respond(
        TEMPLATE, "people", vendor=vendor, found=found, owns=_owns(vendor), me=signed_in.person().user_id,
        now=clock.business(), page=request.args.get("page"), seats=counted,
    )  # fmt: skip


def _here(vendor: VendorAtDoor) -> str:
    return url_for("vendor_team.index", code=vendor.code)


def _owns(vendor: VendorAtDoor) -> bool:
    return vendor.role == Role.OWNER


@blueprint.get("/vendor/<code>/team/invite")
@audience.vendor(Role.OWNER)
def form(code: str) -> Response:
    """Ask somebody to join; says beforehand when no seat is free."""
    vendor = signed_in.vendor()
    full = seats.refusal(vendor.id, now=clock.business())
    return _ask(vendor, InviteForm(None), full=full)


@blueprint.post("/vendor/<code>/team/invite")
@limits.limiter.limit(limits.INVITE)
@audience.vendor(Role.OWNER)
def invite(code: str) -> Response:
    """Invite an address. The answer is the same whether it has an account or not."""
    vendor, filled = signed_in.vendor(), InviteForm()
    if not filled.validate():
        return _ask(vendor, filled, 422)
    try:
        with unit_of_work():
            invitations.invite(
                vendor.id, filled.email.data, filled.role.data or "", locale=str(get_locale() or "en"),
                actor=signed_in.actor(), now=clock.business(),
            )  # fmt: skip
    except (Invalid, TooMany) as error:
        filled.refuse(error)
        return _ask(vendor, filled, error.status, error)
    except (Forbidden, PaymentRequired) as error:
        return _ask(vendor, filled, error.status, full=error)
    message = _("The invitation to %(email)s is on its way.", email=filled.email.data)
    return responder.done(_here(vendor), message, CHANGED)


def _ask(
    vendor: VendorAtDoor,
    filled: InviteForm,
    status: int = 200,
    error: PortalError | None = None,
    full: PortalError | None = None,
) -> Response:
    page = responder.respond(
        "vendor/team/invite.html",
        "modal",
        status=status,
        vendor=vendor,
        form=filled,
        full=full,
        close_href=_here(vendor),
    )
    return _retry(page, error)


def _retry(response: Response, error: PortalError | None) -> Response:
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@blueprint.post("/vendor/<code>/team/invitations/<int:invitation_id>/send-again")
@limits.limiter.limit(limits.INVITE)
@audience.vendor(Role.OWNER)
def send_again(code: str, invitation_id: int) -> Response:
    """Mail the invitation once more; its seven days begin anew."""
    vendor = signed_in.vendor()
    try:
        with unit_of_work():
            invitation = invitations.send_again(vendor.id, invitation_id, actor=signed_in.actor(), now=clock.business())
    except (Conflict, TooMany) as error:
        raise _back(error, vendor) from error
    return responder.done(_here(vendor), _("Sent again to %(email)s.", email=invitation.email), CHANGED)


@blueprint.post("/vendor/<code>/team/invitations/<int:invitation_id>/withdraw")
@audience.vendor(Role.OWNER)
def withdraw(code: str, invitation_id: int) -> Response:
    """Take an invitation back; a second click changes nothing."""
    vendor = signed_in.vendor()
    try:
        with unit_of_work():
            invitations.withdraw(vendor.id, invitation_id, actor=signed_in.actor(), now=clock.business())
    except Conflict as error:
        raise _back(error, vendor) from error
    return responder.done(_here(vendor), _("The invitation is withdrawn. Its link opens nothing any more."), CHANGED)


def _back(error: PortalError, vendor: VendorAtDoor) -> PortalError:
    error.action = error.action or (_("Back to the team"), _here(vendor))
    return error


@blueprint.get("/vendor/<code>/team/<int:member_id>/role")
@audience.vendor(Role.OWNER)
def role_form(code: str, member_id: int) -> Response:
    """What somebody may do, to choose anew."""
    vendor = signed_in.vendor()
    member = _other(vendor, member_id)
    filled = RoleForm(None)
    filled.role.data = member.role
    return _modal("role", vendor, member, form=filled)


@blueprint.post("/vendor/<code>/team/<int:member_id>/role")
@audience.vendor(Role.OWNER)
def change_role(code: str, member_id: int) -> Response:
    """Another role, from the person's next request on."""
    vendor, filled = signed_in.vendor(), RoleForm()
    member = _other(vendor, member_id)
    try:
        with unit_of_work():
            team.change_role(
                vendor.id, member_id, filled.role.data or "", actor=signed_in.actor(), now=clock.business()
            )
    except Invalid as error:
        filled.refuse(error)
        return _modal("role", vendor, member, error.status, form=filled)
    return responder.done(
        _here(vendor), _("Saved. The new role of %(name)s counts at once.", name=member.name), CHANGED
    )


@blueprint.get("/vendor/<code>/team/<int:member_id>/remove")
@audience.vendor(Role.OWNER)
def ask_removal(code: str, member_id: int) -> Response:
    """The question before somebody is removed."""
    vendor = signed_in.vendor()
    member = _other(vendor, member_id)
    return _modal("remove", vendor, member, keys=api_keys.live_made_by(vendor.id, member.user_id))


@blueprint.post("/vendor/<code>/team/<int:member_id>/remove")
@audience.vendor(Role.OWNER)
def remove(code: str, member_id: int) -> Response:
    """Out of the team: the vendor's pages are closed to them at their next request, and their keys if so chosen."""
    vendor = signed_in.vendor()
    _other(vendor, member_id)
    with unit_of_work():
        gone, keys = team.remove(
            vendor.id, member_id, actor=signed_in.actor(), now=clock.business(), revoke_keys="revoke" in request.form
        )
    message = _("%(name)s is no longer in your team.", name=gone.name)
    if keys:
        message += " " + ngettext("%(num)d API key is revoked.", "%(num)d API keys are revoked.", keys)
    return responder.done(_here(vendor), message, CHANGED)


@blueprint.get("/vendor/<code>/team/<int:member_id>/owner")
@audience.vendor(Role.OWNER)
def hand_over_form(code: str, member_id: int) -> Response:
    """The question before the vendor is handed over."""
    vendor = signed_in.vendor()
    return _modal("hand_over", vendor, _other(vendor, member_id), form=HandOverForm(None))


@blueprint.post("/vendor/<code>/team/<int:member_id>/owner")
@limits.limiter.limit(limits.SIGN_IN)
@audience.vendor(Role.OWNER)
def hand_over(code: str, member_id: int) -> Response:
    """Make somebody else the owner, at once; needs the password, which is counted like a guess at sign-in."""
    vendor, filled = signed_in.vendor(), HandOverForm()
    member = _other(vendor, member_id)
    if not filled.validate():
        return _modal("hand_over", vendor, member, 422, form=filled)
    try:
        _prove(filled)
        with unit_of_work():
            team.hand_over(vendor.id, member_id, actor=signed_in.actor(), now=clock.business())
    except (Invalid, TooMany, Conflict) as error:
        filled.refuse(error)
        return _retry(_modal("hand_over", vendor, member, error.status, form=filled), error)
    flash(_("%(name)s owns %(vendor)s now. You are a manager.", name=member.name, vendor=vendor.name), "success")
    return responder.go(_here(vendor))


def _prove(filled: HandOverForm) -> None:
    try:
        flows.prove(signed_in.person().email, filled.password.data)
    except Unauthenticated as error:
        raise Invalid(fields={"password": _("This is not your password.")}) from error


@blueprint.get("/vendor/<code>/team/leave")
@audience.vendor()
def ask_to_leave(code: str) -> Response:
    """The question before one leaves the team."""
    vendor = signed_in.vendor()
    return responder.respond(
        "vendor/team/leave.html", "modal", vendor=vendor, owns=_owns(vendor), close_href=_here(vendor)
    )


@blueprint.post("/vendor/<code>/team/leave")
@audience.vendor()
def leave(code: str) -> Response:
    """Leave the team; the owner hands over first."""
    vendor, who = signed_in.vendor(), signed_in.person()
    try:
        with unit_of_work():
            team.leave(vendor.id, who.user_id, actor=signed_in.actor(), now=clock.business())
    except Conflict as error:
        raise _back(error, vendor) from error
    session.pop("vendor", None)
    flash(_("You have left %(vendor)s.", vendor=vendor.name), "success")
    return responder.go(url_for("profile.index"))


def _other(vendor: VendorAtDoor, member_id: int) -> Member:
    """Somebody of the team but its owner, whose place changes only by handing over."""
    member = team_queries.member(vendor.id, member_id)
    if member.role == Role.OWNER:
        error = Conflict(_("This is you, the owner. Hand the ownership over first."), code="is_owner")
        raise _back(error, vendor)
    return member


def _modal(name: str, vendor: VendorAtDoor, member: Member, status: int = 200, **more: Any) -> Response:
    page = responder.respond(
        f"vendor/team/{name}.html", "modal", status=status, vendor=vendor, member=member, close_href=_here(vendor),
        **more,
    )  # fmt: skip
    return make_response(page)

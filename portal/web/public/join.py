"""The end of the link in an invitation (ACC-8). Opening it changes nothing; one button, or a new login, joins."""

from flask import Blueprint, Response, flash, make_response, render_template, session, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import PasswordField, StringField

from portal.accounts import invitations
from portal.accounts.queries import Visitor
from portal.identity import invitations as rows
from portal.identity import passwords
from portal.identity import service as identity
from portal.identity.invitations import Invited, State
from portal.identity.links import LinkRefused
from portal.identity.rules import email_key
from portal.kit import clock, tenancy
from portal.kit.errors import Conflict, Forbidden, Invalid, PaymentRequired, PortalError
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks

blueprint = Blueprint("public_join", __name__)


class NewLoginForm(Form):
    """Somebody without a login: how they are called, and a password. The address is the invited one."""

    name = StringField(_l("Your name"), validators=[checks.needed(_l("Enter your name.")), checks.NAME_LENGTH])
    password = PasswordField(
        _l("Password"),
        validators=[checks.needed(_l("Choose a password.")), checks.PASSWORD_LENGTH, checks.NewPassword("name")],
    )


@blueprint.get("/join/<token>")
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def page(token: str) -> Response:
    """Who invites to what, and the one step that is left for whoever opened the link."""
    who = signed_in.visitor()
    try:
        invited = _examined(token)
    except (LinkRefused, Conflict, Forbidden, PaymentRequired) as error:
        return _joined_before(token, who) or _refused(error)
    return _page(token, invited, who)


@blueprint.post("/join/<token>")
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def join(token: str) -> Response:
    """Join: with the login that is signed in, or with a new one for the invited address."""
    who = signed_in.visitor()
    try:
        invited = _examined(token)
        if who is not None:
            return _join_as(who, token, invited)
        if rows.has_login(invited.email_key):
            return responder.go(_sign_in(token))
        return _join_as_new(token, invited)
    except (LinkRefused, Conflict, Forbidden, PaymentRequired) as error:
        return _joined_before(token, who) or _refused(error)


@blueprint.post("/join/<token>/switch")
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def switch(token: str) -> Response:
    """Sign this browser out and come back to the invitation."""
    if who := signed_in.visitor():
        with unit_of_work():
            identity.close_session(who.session_id)
        signed_in.leave()
    return responder.go(url_for("public_join.page", token=token))


def _examined(token: str) -> Invited:
    now = clock.business()
    invited = rows.behind(token, now)
    with tenancy.scoped(invited.vendor_id):
        invitations.examine(invited, now=now)
    return invited


def _join_as(who: Visitor, token: str, invited: Invited) -> Response:
    if not _is_theirs(who, invited):
        return _page(token, invited, who, 403)
    with tenancy.scoped(invited.vendor_id), unit_of_work():
        joined = invitations.join(token, who.user_id, now=clock.business())
    if joined:
        return _welcome(invited)
    flash(_("You are in the team of %(vendor)s already.", vendor=invited.vendor_name), "info")
    return _to(invited)


def _join_as_new(token: str, invited: Invited) -> Response:
    entered = NewLoginForm()
    if not (entered.validate() and _acceptable(entered, invited)):
        return _page(token, invited, None, 422, entered)
    end_reading()
    hashed = passwords.hashed(entered.password.data)
    try:
        with tenancy.scoped(invited.vendor_id), unit_of_work():
            user = invitations.join_as_new(
                token, entered.name.data, hashed, locale=str(get_locale() or "en"), now=clock.business()
            )
            browser = identity.open_session(user.id)
    except Invalid:  # somebody made a login for this address a moment ago
        return responder.go(_sign_in(token))
    signed_in.enter(browser)
    return _welcome(invited)


def _acceptable(entered: NewLoginForm, invited: Invited) -> bool:
    """A password that holds the invited address is easily guessed by whoever knows it."""
    if fault := passwords.fault(entered.password.data, (entered.name.data, invited.email, invited.vendor_name)):
        entered.password.errors = [_(fault)]
    return not entered.password.errors


def _is_theirs(who: Visitor, invited: Invited) -> bool:
    return email_key(who.email) == invited.email_key


def _sign_in(token: str) -> str:
    return url_for("public_sign_in.form", next=url_for("public_join.page", token=token))


def _welcome(invited: Invited) -> Response:
    flash(_("Welcome to the team of %(vendor)s.", vendor=invited.vendor_name), "success")
    return _to(invited)


def _to(invited: Invited) -> Response:
    session["vendor"] = invited.vendor_id
    return responder.go(url_for("vendor_dashboard.index"))


def _joined_before(token: str, who: Visitor | None) -> Response | None:
    """Whoever accepted it and opens the mail once more is simply led in."""
    try:
        invited = rows.behind(token, clock.business())
    except LinkRefused:
        return None
    if who is None or invited.state != State.ACCEPTED or invited.accepted_by_id != who.user_id:
        return None
    return _to(invited)


def _page(
    token: str, invited: Invited, who: Visitor | None, status: int = 200, entered: NewLoginForm | None = None
) -> Response:
    step = "new" if not rows.has_login(invited.email_key) else "sign_in"
    if who is not None:
        step = "join" if _is_theirs(who, invited) else "switch"
    html = render_template(
        "public/join/page.html", token=token, invited=invited, who=who, step=step, sign_in_href=_sign_in(token),
        form=entered or NewLoginForm(None), password_rules=checks.password_rules(),
    )  # fmt: skip
    return make_response(html, status)


def _refused(error: PortalError) -> Response:
    return make_response(render_template("public/join/refused.html", error=error), error.status)

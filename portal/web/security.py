"""Two-step sign-in on one's own profile: setting it up, recovery codes, switching it off (ACC-3)."""

from datetime import datetime, timedelta

from flask import Blueprint, Response, flash, make_response, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import PasswordField, StringField

from portal.identity import queries as identity
from portal.identity import second_factor
from portal.identity import second_factor_flows as flows
from portal.identity.models import User
from portal.identity.second_factor_flows import WrongCode
from portal.identity.second_factor_rules import address, in_groups
from portal.kit import clock
from portal.kit.errors import Conflict, Invalid, PortalError, TooMany, Unauthenticated
from portal.settings import queries as settings
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks
from portal.web.public.second_factor import CODE_LENGTH

blueprint = Blueprint("security", __name__)
#: When the password was last proved in this browser for a set-up; the secret is shown for this long.
PROVED, OPEN_FOR = "second_factor_proved", timedelta(minutes=15)


class PasswordForm(Form):
    """Proof that it is still the owner who sits here."""

    current = PasswordField(
        _l("Your password"), validators=[checks.needed(_l("Enter your password.")), checks.PASSWORD_LENGTH]
    )


class CodeForm(Form):
    """What the app shows."""

    code = StringField(
        _l("Code from the app"), validators=[checks.needed(_l("Enter the code that your app shows.")), CODE_LENGTH]
    )


class BothForm(PasswordForm):
    """Password and a code; a recovery code will do."""

    code = StringField(_l("Code"), validators=[checks.needed(_l("Enter a code.")), CODE_LENGTH])


@blueprint.route("/profile/second-factor", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.signed_in
def start() -> Response:
    """What it is, and the password; then the set-up opens."""
    user, entered = _myself(), PasswordForm()
    if second_factor.is_on(user.id):
        return _home(_("Two-step sign-in is on already."), "info")
    if not entered.validate_on_submit():
        return _page("start", 422 if entered.is_submitted() else 200, form=entered)
    try:
        flows.begin(user, entered.current.data)
    except (Unauthenticated, TooMany) as error:
        return _refused("start", entered, error)
    session[PROVED] = clock.wall().isoformat()
    return responder.go(url_for("security.set_up"))


@blueprint.route("/profile/second-factor/set-up", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.signed_in
def set_up() -> Response:
    """The QR code and the first code; then the recovery codes, once."""
    user, entered = _myself(), CodeForm()
    secret = second_factor.begun(user.id) if _just_proved() else None
    if secret is None:
        return responder.go(url_for("security.start"))
    if not entered.validate_on_submit():
        return _set_up(user, secret, entered, 422 if entered.is_submitted() else 200)
    try:
        keep = signed_in.person().session_id
        codes = flows.switch_on(user.id, entered.code.data, keep=keep, actor=signed_in.actor())
    except (Invalid, Conflict) as error:
        entered.refuse(error)
        return _set_up(user, secret, entered, error.status)
    session.pop(PROVED, None)
    return _page("codes", codes=codes, just_on=True)


@blueprint.route("/profile/second-factor/codes", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.signed_in
def codes() -> Response:
    """New recovery codes instead of the old ones, shown once."""
    user, entered = _myself(), BothForm()
    if not second_factor.is_on(user.id):
        return responder.go(url_for("security.start"))
    if not entered.validate_on_submit():
        return _page("renew", 422 if entered.is_submitted() else 200, form=entered)
    try:
        made = flows.renew_codes(user, entered.current.data, entered.code.data, actor=signed_in.actor())
    except (Unauthenticated, TooMany, Conflict) as error:
        return _refused("renew", entered, error)
    return _page("codes", codes=made, just_on=False)


@blueprint.route("/profile/second-factor/off", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.signed_in
def off() -> Response:
    """Switch it off, with password and code."""
    user, entered = _myself(), BothForm()
    held = second_factor.state(user.id)
    if not held.is_on:
        return _home(_("Two-step sign-in is off."), "info")
    if held.compulsory or not entered.validate_on_submit():
        status = 409 if held.compulsory and entered.is_submitted() else 422 if entered.is_submitted() else 200
        return _page("off", status, form=entered, compulsory=held.compulsory)
    try:
        flows.switch_off(user, entered.current.data, entered.code.data, actor=signed_in.actor())
    except (Unauthenticated, TooMany, Conflict) as error:
        return _refused("off", entered, error, compulsory=False)
    return _home(_("Two-step sign-in is off. Signing in asks for your password alone."), "success")


def _myself() -> User:
    user = identity.user(signed_in.person().user_id)
    if user is None:
        raise Unauthenticated
    return user


def _just_proved() -> bool:
    try:
        proved = datetime.fromisoformat(str(session.get(PROVED, "")))
    except ValueError:
        return False
    return clock.wall() - proved < OPEN_FOR


def _set_up(user: User, secret: str, entered: CodeForm, status: int) -> Response:
    import segno

    target = address(secret, account=user.email, issuer=settings.current().name)
    picture = segno.make(target, error="m").svg_data_uri(scale=5, border=4, dark="#000", light="#fff")
    return _page("set_up", status, form=entered, picture=picture, secret=in_groups(secret), address=target)


def _refused(page: str, entered: Form, error: PortalError, **context: object) -> Response:
    """The form again with the reason at the field that it belongs to; what counts tries, above it."""
    if isinstance(error, WrongCode):
        entered._fields["code"].errors = [_(error.message)]
    elif isinstance(error, Unauthenticated):
        entered._fields["current"].errors = [_("This is not your password.")]
    else:
        entered.refuse(error)
    response = _page(page, 422 if isinstance(error, Unauthenticated) else error.status, form=entered, **context)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _page(page: str, status: int = 200, **context: object) -> Response:
    why = request.args.get("why") == "staff_second_factor"
    return make_response(render_template(f"profile/second_factor/{page}.html", led_here=why, **context), status)


def _home(message: str, level: str) -> Response:
    flash(message, level)
    return responder.go(url_for("profile.index") + "#two-step")

"""Signing in and out."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, PasswordField

from portal.identity import flows
from portal.identity import service as identity
from portal.identity.flows import CodeNeeded
from portal.kit.errors import Forbidden, PortalError, TooMany, Unauthenticated
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks, second_factor, start

blueprint = Blueprint("public_sign_in", __name__)
TEMPLATE = "public/sign_in/page.html"


class SignInForm(Form):
    """Address and password."""

    email = EmailField(
        _l("Email address"), validators=[checks.needed(_l("Enter your email address.")), checks.EMAIL_LENGTH]
    )
    password = PasswordField(
        _l("Password"), validators=[checks.needed(_l("Enter your password.")), checks.PASSWORD_LENGTH]
    )


@blueprint.route("/sign-in", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.public
def form() -> Response:
    """Sign in, then go on to where a link led (``next``, on our origin only)."""
    target = responder.safe_next(request.args.get("next"))
    if who := signed_in.visitor():
        return responder.go(target or start.page_for(who))
    entered = SignInForm()
    if not entered.validate_on_submit():
        return _page(entered, target, 422 if entered.is_submitted() else 200)
    try:
        signed_in.enter(flows.sign_in(entered.email.data, entered.password.data))
    except CodeNeeded as needed:
        return second_factor.ask(needed.challenge, target)
    except (Unauthenticated, TooMany, Forbidden) as error:
        entered.refuse(error)
        return _page(entered, target, error.status, error)
    return responder.go(target or start.page_for(signed_in.person()))


def _page(entered: SignInForm, target: str | None, status: int, error: PortalError | None = None) -> Response:
    response = make_response(render_template(TEMPLATE, form=entered, next=target), status)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@blueprint.post("/sign-out")
@audience.public
def leave() -> Response:
    """Sign this browser out; its session is worth nothing from now on."""
    if who := signed_in.visitor():
        with unit_of_work():
            identity.close_session(who.session_id)
        signed_in.leave()
    return responder.go(url_for("public_home.index"))

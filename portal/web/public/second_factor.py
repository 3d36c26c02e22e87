"""The second step of signing in: a code, after the password was right. Nobody is signed in before it."""

from flask import Blueprint, Response, flash, make_response, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from wtforms import StringField
from wtforms.validators import Length

from portal.identity import second_factor_flows as flows
from portal.identity.links import LinkRefused
from portal.identity.second_factor_flows import Entered
from portal.kit.errors import PortalError, TooMany, Unauthenticated
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks, start

blueprint = Blueprint("public_second_factor", __name__)
#: What the cookie keeps between the two steps: signed, and good for ten minutes.
CHALLENGE = "second_factor"
CODE_LENGTH = Length(max=60, message=_l("This is too long for a code."))


class CodeForm(Form):
    """What the app shows."""

    code = StringField(_l("Code"), validators=[checks.needed(_l("Enter the code from your app.")), CODE_LENGTH])


class RecoveryForm(Form):
    """One of the ten codes that were kept for this."""

    code = StringField(
        _l("Recovery code"), validators=[checks.needed(_l("Enter one of your recovery codes.")), CODE_LENGTH]
    )


def ask(challenge: str, target: str | None) -> Response:
    """The password was right: keep that, and go on to the code."""
    session[CHALLENGE] = challenge
    return responder.go(url_for("public_second_factor.code", next=target))


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.public
def code() -> Response:
    """Sign in with the code that the app shows."""
    return _step(CodeForm(), "public/second_factor/code.html")


@blueprint.route("/sign-in/recovery-code", methods=["GET", "POST"])
@limits.limiter.limit(limits.SIGN_IN, methods=["POST"])
@audience.public
def recovery() -> Response:
    """Sign in with a recovery code, for somebody without their phone."""
    return _step(RecoveryForm(), "public/second_factor/recovery.html")


def _step(entered: CodeForm | RecoveryForm, template: str) -> Response:
    target = responder.safe_next(request.args.get("next"))
    if who := signed_in.visitor():
        return responder.go(target or start.page_for(who))
    challenge = str(session.get(CHALLENGE, ""))
    try:
        flows.waiting(challenge)
        if not entered.validate_on_submit():
            return _page(template, entered, target, 422 if entered.is_submitted() else 200)
        return _enter(flows.enter(challenge, entered.code.data), target)
    except LinkRefused:
        session.pop(CHALLENGE, None)
        if challenge:
            flash(_("More than ten minutes have passed. Please sign in again."), "info")
        return responder.go(url_for("public_sign_in.form", next=target))
    except (Unauthenticated, TooMany) as error:
        entered.code.errors = [_(error.message)]
        return _page(template, entered, target, error.status, error)


def _enter(entered: Entered, target: str | None) -> Response:
    signed_in.enter(entered.token)
    if entered.codes_left is not None:
        left = entered.codes_left
        flash(
            ngettext(
                "%(num)d recovery code is left. If your phone is gone, set up another one on your profile.",
                "%(num)d recovery codes are left. If your phone is gone, set up another one on your profile.",
                left,
            ),
            "info",
        )
    return responder.go(target or start.page_for(signed_in.person()))


def _page(template: str, entered: Form, target: str | None, status: int, error: PortalError | None = None) -> Response:
    response = make_response(render_template(template, form=entered, next=target), status)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response

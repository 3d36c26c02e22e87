"""A forgotten password, and the link to a new one."""

from flask import Blueprint, Response, flash, make_response, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, PasswordField

from portal.identity import links, mails, passwords
from portal.identity import queries as identity_queries
from portal.identity import service as identity
from portal.identity.links import LinkRefused, Purpose
from portal.identity.models import User
from portal.kit import clock
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.kit import audience, limits, responder
from portal.web.kit.forms import Form
from portal.web.public import checks

blueprint = Blueprint("public_password", __name__)


class ForgottenForm(Form):
    """Whose password."""

    email = EmailField(
        _l("Email address"),
        validators=[checks.needed(_l("Enter your email address.")), checks.EMAIL_LENGTH, checks.email_address],
    )


class ResetForm(Form):
    """The new password; ``about`` is set by the view to what is known of the person."""

    password = PasswordField(
        _l("New password"), validators=[checks.needed(_l("Choose a password.")), checks.PASSWORD_LENGTH]
    )


@blueprint.route("/password/forgotten", methods=["GET", "POST"])
@limits.limiter.limit(limits.MAIL_A_LINK, methods=["POST"])
@audience.public
def forgotten() -> Response:
    """Mail a link. The answer is the same, and takes as long, whether an account exists or not."""
    entered = ForgottenForm()
    if not entered.validate_on_submit():
        status = 422 if entered.is_submitted() else 200
        return make_response(render_template("public/password/forgotten.html", form=entered, sent=False), status)
    with unit_of_work():
        mails.ask_reset(entered.email.data)
    return make_response(render_template("public/password/forgotten.html", form=entered, sent=True))


@blueprint.route("/password/reset/<token>", methods=["GET", "POST"])
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def reset(token: str) -> Response:
    """Choose a new password; every session of the person ends."""
    try:
        opened = links.read(token, Purpose.RESET, Purpose.FIRST_PASSWORD)
        user = identity_queries.user(opened.user_id)
        if user is None or not links.fits(opened, user):
            raise LinkRefused
        entered = ResetForm()
        if not (entered.validate_on_submit() and _acceptable(entered, user)):
            return _page(entered, token, user)
        end_reading()
        hashed = passwords.hashed(entered.password.data)
        with unit_of_work():
            identity.reset_password(opened, hashed, now=clock.business())
    except LinkRefused as error:
        return make_response(render_template("public/password/refused.html", error=error), error.status)
    flash(_("Your new password is set. Sign in with it."), "success")
    return responder.go(url_for("public_sign_in.form"))


def _acceptable(entered: ResetForm, user: User) -> bool:
    """Is the password hard to guess for somebody who knows the person? Puts the fault at the field if not."""
    if fault := passwords.fault(entered.password.data, (user.name, user.email)):
        entered.password.errors = [_(fault)]
    return not entered.password.errors


def _page(entered: ResetForm, token: str, user: User) -> Response:
    status = 422 if entered.is_submitted() else 200
    action = url_for("public_password.reset", token=token)
    rules = checks.password_rules()
    page = render_template(
        "public/password/reset.html", form=entered, action=action, email=user.email, password_rules=rules
    )
    return make_response(page, status)

"""Confirming an address. Opening a link changes nothing (mail scanners open links too): one button does."""

from flask import Blueprint, Response, flash, make_response, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import EmailField

from portal.identity import links, mails
from portal.identity import queries as identity_queries
from portal.identity import service as identity
from portal.identity.links import LinkRefused, Opened, Purpose
from portal.identity.models import User
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks, start

blueprint = Blueprint("public_verify", __name__)


class ResendForm(Form):
    """The address of somebody who is not signed in."""

    email = EmailField(
        _l("Email address"),
        validators=[checks.needed(_l("Enter your email address.")), checks.EMAIL_LENGTH, checks.email_address],
    )


@blueprint.get("/verify")
@audience.public
def waiting() -> Response:
    """Says that a mail is under way and offers to send it again."""
    who = signed_in.visitor()
    if who and who.verified:
        return responder.go(start.page_for(who))
    return _waiting(ResendForm(), 200)


@blueprint.post("/verify")
@limits.limiter.limit(limits.MAIL_A_LINK)
@audience.public
def resend() -> Response:
    """Send the link again. The answer is the same whether an account exists or not."""
    who = signed_in.visitor()
    entered = ResendForm()
    if who is None and not entered.validate():
        return _waiting(entered, 422)
    with unit_of_work():
        mails.ask_verification(who.email if who else entered.email.data)
    flash(_("If this address waits to be confirmed, a new link is on its way."), "success")
    return responder.go(url_for("public_verify.waiting"))


@blueprint.route("/verify/<token>", methods=["GET", "POST"])
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def confirm(token: str) -> Response:
    """The end of the link in the mail: one button confirms the address."""
    who = signed_in.visitor()
    if who and who.verified:
        flash(_("Your address is confirmed already."), "info")
        return responder.go(start.page_for(who))
    try:
        opened = links.read(token, Purpose.VERIFY)
        user = _fitting(opened)
        if not FlaskForm().is_submitted():
            return _button(url_for("public_verify.confirm", token=token), user.email, change=False)
        with unit_of_work():
            identity.verify_email(opened, now=clock.business())
    except LinkRefused as error:
        return _refused(error)
    flash(_("Thank you, your address is confirmed."), "success")
    return _onward(opened)


@blueprint.route("/verify/email/<token>", methods=["GET", "POST"])
@limits.limiter.limit(limits.OPEN_A_LINK)
@audience.public
def change_email(token: str) -> Response:
    """The end of the link that was mailed to a new address: one button makes it the login."""
    who = signed_in.visitor()
    try:
        opened = links.read(token, Purpose.CHANGE_EMAIL)
        _fitting(opened)
        if not FlaskForm().is_submitted():
            return _button(url_for("public_verify.change_email", token=token), opened.email or "", change=True)
        keep = who.session_id if who and who.user_id == opened.user_id else None
        with unit_of_work():
            identity.change_email(opened, keep=keep, now=clock.business())
    except LinkRefused as error:
        return _refused(error)
    except Invalid as error:
        flash(_(error.fields["email"]), "error")
        return responder.go(url_for("profile.index") if who else url_for("public_sign_in.form"))
    flash(_("You sign in with %(email)s from now on.", email=opened.email), "success")
    return _onward(opened)


def _fitting(opened: Opened) -> User:
    user = identity_queries.user(opened.user_id)
    if user is None or not links.fits(opened, user):
        raise LinkRefused
    return user


def _onward(opened: Opened) -> Response:
    who = signed_in.visitor()
    if who and who.user_id == opened.user_id:
        return responder.go(start.page_for(who))
    return responder.go(url_for("public_sign_in.form"))


def _button(action: str, email: str, *, change: bool) -> Response:
    return make_response(render_template("public/verify/confirm.html", action=action, email=email, change=change))


def _refused(error: LinkRefused) -> Response:
    return make_response(render_template("public/verify/refused.html", error=error), error.status)


def _waiting(entered: ResendForm, status: int) -> Response:
    return make_response(render_template("public/verify/waiting.html", form=entered, who=signed_in.visitor()), status)

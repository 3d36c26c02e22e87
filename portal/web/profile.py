"""One's own name, language, address, password and sessions."""

from flask import Blueprint, Response, flash, make_response, render_template, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from wtforms import EmailField, PasswordField, SelectChoice, SelectField, StringField

from portal.identity import flows, mails, passwords, second_factor
from portal.identity import queries as identity_queries
from portal.identity import service as identity
from portal.identity.models import User
from portal.identity.rules import email_key
from portal.identity.second_factor_rules import FEW_LEFT
from portal.kit import clock
from portal.kit.errors import PortalError, TooMany, Unauthenticated
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks

blueprint = Blueprint("profile", __name__)


class DetailsForm(Form):
    """How one is called, in which language and light."""

    name = StringField(_l("Your name"), validators=[checks.needed(_l("Enter your name.")), checks.NAME_LENGTH])
    locale = SelectField(_l("Language"), choices=[SelectChoice("en", "English"), SelectChoice("de", "Deutsch")])
    theme = SelectField(
        _l("Appearance"),
        choices=[
            SelectChoice("auto", _l("As my device")),
            SelectChoice("light", _l("Light")),
            SelectChoice("dark", _l("Dark")),
        ],
    )


class EmailForm(Form):
    """A new address; it takes effect when the link that is mailed to it is opened."""

    email = EmailField(
        _l("New email address"),
        validators=[checks.needed(_l("Enter the new address.")), checks.EMAIL_LENGTH, checks.email_address],
    )
    current = PasswordField(
        _l("Your password"), validators=[checks.needed(_l("Enter your password.")), checks.PASSWORD_LENGTH]
    )


class PasswordForm(Form):
    """The old password and the new one."""

    current = PasswordField(
        _l("Current password"), validators=[checks.needed(_l("Enter your password.")), checks.PASSWORD_LENGTH]
    )
    password = PasswordField(
        _l("New password"),
        validators=[checks.needed(_l("Choose a password.")), checks.PASSWORD_LENGTH, checks.NewPassword()],
    )


@blueprint.get("/profile")
@audience.signed_in
def index() -> Response:
    """Everything about one's own login on one page."""
    return _page()


@blueprint.post("/profile/details")
@audience.signed_in
def details() -> Response:
    """Keep name, language and appearance."""
    entered = DetailsForm(prefix="details-")
    if not entered.validate():
        return _page(details=entered)
    who = signed_in.person()
    with unit_of_work():
        identity.rename(who.user_id, entered.name.data)
        identity.prefer(who.user_id, locale=entered.locale.data, theme=entered.theme.data)
    session["locale"], session["theme"] = entered.locale.data, entered.theme.data
    return _done(_("Saved."))


@blueprint.post("/profile/email")
@limits.limiter.limit(limits.MAIL_A_LINK)
@audience.signed_in
def email() -> Response:
    """Mail a link to a new address. Whether somebody else has it is not told here (ACC-10)."""
    entered = EmailForm(prefix="email-")
    user = _myself()
    if not entered.validate():
        return _page(email=entered)
    if email_key(entered.email.data) == user.email_key:
        entered.email.errors = [_("This is your address already.")]
        return _page(email=entered)
    if refused := _refused(entered, user):
        return refused
    with unit_of_work():
        mails.email_change(user, entered.email.data, now=clock.business())
    return _done(_("Open the link that we sent to %(email)s. Until then nothing changes.", email=entered.email.data))


@blueprint.post("/profile/password")
@limits.limiter.limit(limits.SIGN_IN)
@audience.signed_in
def password() -> Response:
    """Set a new password; other sessions end."""
    entered = PasswordForm(prefix="password-")
    user = _myself()
    if not entered.validate() or not _acceptable(entered, user):
        return _page(password=entered)
    if refused := _refused(entered, user):
        return refused
    end_reading()
    hashed = passwords.hashed(entered.password.data)
    keep = signed_in.person().session_id
    with unit_of_work():
        identity.change_password(user.id, hashed, keep=keep, actor=signed_in.actor(), now=clock.business())
    return _done(_("Your new password is set. Other devices were signed out."))


@blueprint.post("/profile/sessions")
@audience.signed_in
def sessions() -> Response:
    """Sign out everywhere else."""
    who = signed_in.person()
    with unit_of_work():
        ended = identity.end_sessions(who.user_id, keep=who.session_id)
    return _done(
        ngettext("One other session was ended.", "%(num)d other sessions were ended.", ended)
        if ended
        else _("There was no other session.")
    )


def _myself() -> User:
    user = identity_queries.user(signed_in.person().user_id)
    if user is None:
        raise Unauthenticated
    return user


def _acceptable(entered: PasswordForm, user: User) -> bool:
    if fault := passwords.fault(entered.password.data, (user.name, user.email)):
        entered.password.errors = [_(fault)]
        return False
    return True


def _refused(entered: EmailForm | PasswordForm, user: User) -> Response | None:
    """Check the current password, counted like a guess at sign-in; the page with the reason when it is wrong."""
    try:
        flows.prove(user.email, entered.current.data)
    except Unauthenticated:
        entered.current.errors = [_("This is not your password.")]
    except TooMany as error:
        entered.refuse(error)
        return _page(error, **{_name_of(entered): entered})
    else:
        return None
    return _page(**{_name_of(entered): entered})


def _name_of(entered: EmailForm | PasswordForm) -> str:
    return "email" if isinstance(entered, EmailForm) else "password"


def _page(error: PortalError | None = None, **entered: Form) -> Response:
    """The page with the form that was sent, if any, and the others as they were."""
    user = _myself()
    forms = {
        "details": DetailsForm(None, prefix="details-", obj=user),
        "email": EmailForm(None, prefix="email-"),
        "password": PasswordForm(None, prefix="password-"),
        **entered,
    }
    status = error.status if error else 422 if entered else 200
    page = render_template(
        "profile/page.html",
        forms=forms,
        user=user,
        sessions=identity_queries.open_sessions(user.id),
        password_rules=checks.password_rules(),
        two_step=second_factor.state(user.id),
        few_left=FEW_LEFT,
    )
    response = make_response(page, status)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _done(message: str) -> Response:
    flash(message, "success")
    return responder.go(url_for("profile.index"))

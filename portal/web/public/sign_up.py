"""Signing up with a chosen tier."""

from dataclasses import dataclass

from flask import Blueprint, Response, flash, make_response, render_template, request, session, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, HiddenField, PasswordField, StringField
from wtforms.validators import Length

from portal.accounts import service as accounts
from portal.accounts.service import Registered
from portal.catalog.rules import Cycle, Price, Tier
from portal.identity import service as identity
from portal.kit import clock
from portal.kit.errors import Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries as settings
from portal.settings.rules import Verification
from portal.web.kit import audience, limits, responder, signed_in
from portal.web.kit.forms import Form
from portal.web.public import checks, start

blueprint = Blueprint("public_sign_up", __name__)
TEMPLATE = "public/sign_up/page.html"


class SignUpForm(Form):
    """Four things to enter, and the tier that was chosen before."""

    business_name = StringField(
        _l("Business name"), validators=[checks.needed(_l("Enter the name of your business.")), checks.NAME_LENGTH]
    )
    name = StringField(_l("Your name"), validators=[checks.needed(_l("Enter your name.")), checks.NAME_LENGTH])
    email = EmailField(
        _l("Email address"),
        validators=[checks.needed(_l("Enter your email address.")), checks.EMAIL_LENGTH, checks.email_address],
    )
    password = PasswordField(
        _l("Password"),
        validators=[
            checks.needed(_l("Choose a password.")),
            checks.PASSWORD_LENGTH,
            checks.NewPassword("name", "email", "business_name"),
        ],
    )
    tier = HiddenField(_l("Plan"), validators=[Length(max=64)])
    cycle = HiddenField(_l("Billing"), validators=[Length(max=10)])


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tier in view beside the form; ``tier`` is None when what was sent is not offered."""

    tier: Tier | None
    cycle: Cycle

    @property
    def price(self) -> Price | None:
        """In the chosen cycle, or in the one there is."""
        return (self.tier.price(self.cycle) or next(iter(self.tier.prices), None)) if self.tier else None


@blueprint.route("/sign-up", methods=["GET", "POST"])
@limits.limiter.limit(limits.REGISTER, methods=["POST"])
@audience.public
def form() -> Response:
    """Open an account with the tier named in the address; without one the choice comes first."""
    if who := signed_in.visitor():
        return responder.go(start.page_for(who))
    entered = SignUpForm(tier=request.args.get("tier", ""), cycle=request.args.get("cycle", ""))
    if not entered.is_submitted():
        return _first_view(entered)
    if not entered.validate():
        return _page(entered, 422)
    try:
        registered, token = _open(entered)
    except Invalid as error:
        entered.refuse(error)
        return _page(entered, 422)
    return _welcome(registered, token, _cycle(entered))


def _first_view(entered: SignUpForm) -> Response:
    if not entered.tier.data:
        return responder.go(url_for("public_home.pricing"))
    if accounts.open_tier(entered.tier.data) is None:
        raise NotFound
    return _page(entered, 200)


def _open(entered: SignUpForm) -> tuple[Registered, str]:
    registration = accounts.prepare(
        business_name=entered.business_name.data,
        name=entered.name.data,
        email=entered.email.data,
        password=entered.password.data,
        tier_code=entered.tier.data or "",
        cycle=_cycle(entered),
        locale=str(get_locale() or "en"),
    )
    with unit_of_work():
        registered = accounts.register(registration, now=clock.business())
        return registered, identity.open_session(registered.user.id)


def _welcome(registered: Registered, token: str, cycle: Cycle) -> Response:
    signed_in.enter(token)
    session["vendor"], session["cycle"] = registered.vendor.id, str(cycle)
    if registered.trial_refused:
        flash(_("You had a free trial before, so this plan starts with your first payment."), "warning")
        return responder.go(url_for("vendor_plans.index", code=registered.vendor.code, why="trial_used"))
    if settings.current().email_verification == Verification.REQUIRED:
        return responder.go(url_for("public_verify.waiting"))
    return responder.go(url_for("vendor_dashboard.index"))


def _cycle(entered: SignUpForm) -> Cycle:
    return Cycle.YEARLY if entered.cycle.data == Cycle.YEARLY else Cycle.MONTHLY


def _page(entered: SignUpForm, status: int) -> Response:
    chosen = Chosen(accounts.open_tier(entered.tier.data or ""), _cycle(entered))
    rules = checks.password_rules()
    return make_response(render_template(TEMPLATE, form=entered, chosen=chosen, password_rules=rules), status)

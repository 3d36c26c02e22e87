"""The sign-in wrapper: Flask-Login around server-side sessions, and the guard before every view."""

import hashlib
from contextlib import AbstractContextManager
from typing import Any

from flask import current_app, g, request, session, url_for
from flask_babel import gettext as _
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from portal.accounts import queries as accounts
from portal.accounts.queries import VendorAtDoor, Visitor
from portal.catalog.rules import reaches
from portal.entitlements import ways
from portal.entitlements.refusals import FeatureMissing
from portal.identity.rules import at_least
from portal.kit import actor as actors
from portal.kit import clock, tenancy
from portal.kit.actor import Actor
from portal.kit.errors import Forbidden, NotFound, Unauthenticated
from portal.settings import queries as settings
from portal.subscriptions.rules import is_open
from portal.web.kit import audience, callers
from portal.web.kit.audience import Audience, Needs, Side
from portal.web.kit.hooks import HookedFlask, for_people


class Door(LoginManager):
    """Flask-Login, which finds the person by the session's token alone."""

    def _session_protection_failed(self) -> bool:
        """The row behind the token decides at every request. The library reckons a digest of address and browser
        first, only to mark a session whose network changed as not fresh, which nothing here asks; and signs it anew.
        """
        return False


login_manager = Door()


class SignedIn(UserMixin):
    """What Flask-Login holds: the visitor, found by the session token in the cookie."""

    def __init__(self, token: str, visitor: Visitor) -> None:
        self.token = token
        self.visitor = visitor
        self.name = visitor.name
        self.email = visitor.email

    def get_id(self) -> str:
        """The session token; only its hash is in the database."""
        return self.token


def token_hash(token: str) -> str:
    """The form in which a session token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


@login_manager.user_loader  # type: ignore[untyped-decorator]
def _load(token: str) -> SignedIn | None:
    code = (request.view_args or {}).get("code")
    visitor = accounts.visitor(token_hash(token), code=code, preferred_vendor=session.get("vendor"))
    return SignedIn(token, visitor) if visitor else None


def enter(token: str) -> None:
    """Make ``token`` (a session row exists for it) this browser's; a new Flask session id comes with it (ASVS)."""
    visitor = accounts.visitor(token_hash(token), code=None, preferred_vendor=None)
    if visitor is None:
        raise Unauthenticated
    kept = {k: session[k] for k in ("locale", "theme") if k in session}
    session.clear()
    session.update(kept)
    session.permanent = True
    login_user(SignedIn(token, visitor))


def leave() -> None:
    """Forget this browser's session cookie; the row is revoked by the identity room."""
    logout_user()
    session.clear()


def visitor() -> Visitor | None:
    """The person at the door, or None."""
    who = current_user._get_current_object()
    return who.visitor if isinstance(who, SignedIn) else None


def person() -> Visitor:
    """The person at the door; Unauthenticated when there is none."""
    found = visitor()
    if found is None:
        raise Unauthenticated
    return found


def vendor() -> VendorAtDoor:
    """The vendor this request speaks for; NotFound when the person has none or the address names another's."""
    found = person().vendor
    if found is None:
        raise NotFound
    return found


def actor() -> Actor:
    """The person at the door as the actor of what is done: staff on staff pages, user elsewhere."""
    who = person()
    declared: Audience | None = g.get("audience")
    if declared and declared.side == Side.STAFF:
        return actors.staff(who.user_id, who.name)
    return actors.user(who.user_id, who.name)


class LeadElsewhere(Exception):
    """The page is closed for now; ``url`` is where the person can put it right, ``reason`` says why."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(reason)


def guard() -> None:
    """Before every view: refuse what declares no audience, check the declared one, enter the tenant."""
    if request.endpoint is None or request.endpoint == "static":
        return
    declared = audience.of(current_app.view_functions.get(request.endpoint))
    if declared is None:
        raise Forbidden
    g.audience = declared
    if declared.side == Side.PUBLIC:
        return
    if declared.side == Side.API:
        _enter(tenancy.scoped(callers.admit(declared).id))
        return
    who = person()
    if declared.side == Side.STAFF:
        _check_staff(who, declared)
        _enter(tenancy.unscoped("staff look across vendors"))
    elif declared.side == Side.VENDOR:
        _check_vendor(who, declared)
        _enter(tenancy.scoped(vendor().id))


def _check_staff(who: Visitor, declared: Audience) -> None:
    if who.staff is None:
        raise NotFound
    if not who.second_factor and settings.current().staff_second_factor:
        raise LeadElsewhere(url_for("security.start"), "staff_second_factor")
    if who.staff not in declared.staff:
        raise Forbidden


def _check_vendor(who: Visitor, declared: Audience) -> None:
    if who.vendor is None:
        if who.staff and "code" not in (request.view_args or {}):
            raise LeadElsewhere(url_for("admin_vendors.index"), "")
        if "code" not in (request.view_args or {}):
            raise LeadElsewhere(url_for("profile.index"), "no_vendor")
        raise NotFound
    if who.vendor.blocked:
        raise Forbidden(code="BLOCKED")
    if not at_least(who.vendor.role, declared.role):
        raise Forbidden
    if declared.needs == Needs.PRODUCT and (reason := closed_because(who)):
        raise LeadElsewhere(
            url_for("public_verify.waiting")
            if reason == "unverified"
            else url_for("vendor_plans.index", code=who.vendor.code),
            reason,
        )
    if declared.feature is not None:
        _check_feature(who.vendor, declared.feature, declared.level)


def _check_feature(held: VendorAtDoor, feature: str, level: str | None) -> None:
    """The features came with the visitor, so asking costs nothing; which tier has it is looked up for a refusal."""
    level_held = held.features.get(feature)
    if reaches(feature, level_held, level):
        return
    with tenancy.scoped(held.id):
        found = ways.for_feature(held.id, feature, level, clock.business())
    error = FeatureMissing(feature, level_held, level, found)
    error.action = (_("Compare the plans"), url_for("vendor_plans.index", code=held.code))
    raise error


def closed_because(who: Visitor) -> str | None:
    """Why the product is closed for this person: a standing, ``no_plan``, ``unverified``, or None when it is open."""
    if who.vendor is None or who.vendor.standing is None:
        return "no_plan"
    if not is_open(who.vendor.standing):
        return str(who.vendor.standing)
    if not who.verified and settings.current().email_verification == "required":
        return "unverified"
    return None


def _enter(scope: AbstractContextManager[Any]) -> None:
    scope.__enter__()
    g.tenant_scope = scope


def _leave(_: BaseException | None = None) -> None:
    scope = g.pop("tenant_scope", None)
    if scope is not None:
        scope.__exit__(None, None, None)


def init_app(app: HookedFlask) -> None:
    """Hook Flask-Login and the guard into the app."""
    with app.hooks_where(for_people):
        login_manager.init_app(app)
    app.before_request(guard)
    app.teardown_request(_leave)

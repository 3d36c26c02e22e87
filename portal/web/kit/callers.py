"""The guard of the JSON interface: who calls, for which vendor, and whether this route is open to them.

Everything is looked up anew for each request (ACC-6). A platform's key names its vendor in the header ``X-Vendor``, so
that reads and writes are alike and nobody has to look into a body to know whose it is.
"""

from collections.abc import Iterable
from dataclasses import replace

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import OperationalError

from portal.accounts import callers
from portal.accounts.callers import Caller, CallingVendor
from portal.catalog.rules import reaches
from portal.entitlements import ways
from portal.entitlements.refusals import FeatureMissing
from portal.entitlements.rules import Refusal
from portal.identity import api_key_rules, api_keys, tokens
from portal.identity.api_key_rules import Reach
from portal.identity.rules import at_least
from portal.identity.tokens import Scope
from portal.kit import clock, log, tenancy
from portal.kit.actor import Actor
from portal.kit.direct import Condition
from portal.kit.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PaymentRequired,
    PortalError,
    TooMany,
    Unauthenticated,
)
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.rules import Status, is_open
from portal.web.kit import recent
from portal.web.kit.audience import Audience, Needs
from portal.web.kit.hooks import HookedFlask
from portal.web.kit.mails import full_address
from portal.web.kit.rates import Rates, Standing

logger = log.get(__name__)
VENDOR_HEADER = "X-Vendor"
FEATURE = "api_access"
#: A platform speaks for all its vendors, so it may send ten times what one vendor's program may.
PLATFORM_TIMES = 10
#: Refusals of the gate that a payment puts right; the others need another plan or an add-on.
PAID_ON_BILLING = frozenset({Refusal.SUSPENDED, Refusal.PAYMENT_PENDING, Refusal.PAST_DUE})
#: Wrong keys and tokens from one address in a minute.
WRONG_PROOFS = 60


def caller() -> Caller:
    """Who calls; Unauthenticated outside the JSON interface. Looks now, where that was left to the view."""
    if "only_if" in g:
        _settle()
    found: Caller | None = g.get("caller")
    if found is None:
        raise Unauthenticated
    return found


def likely() -> tuple[Caller, Condition | None]:
    """Who calls, as far as this process knows, and the condition under which that is true: for one statement that
    holds it. Without a condition it is proved. Any answer but that statement's success asks ``caller()`` first.
    """
    only_if: Condition | None = g.get("only_if")
    return (g.caller, only_if) if only_if else (caller(), None)


def _settle() -> None:
    """Prove the caller after all, by all that is asked of one. Raises as ``admit`` does, Conflict in the moment in
    which another vendor took over a name.
    """
    g.pop("only_if")
    presumed, declared = g.pop("caller"), replace(g.audience, proves=False)
    found = _prove(declared)
    g.caller = found
    if _passed(found, declared).id != presumed.vendor.id:
        raise Conflict


def vendor() -> CallingVendor:
    """The vendor that this request speaks for."""
    found = caller().vendor
    if found is None:
        raise NotFound
    return found


def actor() -> Actor:
    """The key or the person as the actor of what is done."""
    return caller().actor


def admit(declared: Audience) -> CallingVendor:
    """Let the caller in and say for which vendor, or raise why not; counts the request."""
    found = _prove(declared)
    g.caller = found
    _count(found)
    held = _passed(found, declared)
    _note_use(found)
    return held


def _passed(found: Caller, declared: Audience) -> CallingVendor:
    _check_reach(found, declared)
    held = _vendor(found)
    _check_vendor(found, held, declared)
    return held


def _prove(declared: Audience) -> Caller:
    try:
        return _known(declared)
    except Unauthenticated:
        rates: Rates = current_app.extensions["portal_rates"]
        rates.hit(f"wrong:{request.remote_addr}", WRONG_PROOFS)
        raise


def _known(declared: Audience) -> Caller:
    asked = recent.asked_here() if declared.recent else None
    if asked is not None and asked.proved is not None:
        return asked.proved
    kind, _, proof = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer" or not proof:
        raise Unauthenticated(N_("Send an API key or an access token: Authorization: Bearer …"))
    metric = declared.counts() if declared.counts else None
    if asked is not None:
        asked.metric = metric
    return _by_proof(proof, declared, metric)


def _by_proof(proof: str, declared: Audience, metric: str | None) -> Caller:
    now, code = clock.business(), request.environ.get("HTTP_X_VENDOR")
    if not proof.startswith("vp_"):
        found = callers.by_token(tokens.verify_access(proof), metric=metric, now=now)
        return _of_that_vendor(found, code)
    key = api_key_rules.read_key(proof)
    if key is None:
        raise Unauthenticated(callers.INVALID, code="key_invalid")
    if code is not None and not 0 < len(code) <= 64:
        raise NotFound
    if declared.proves and (found_likely := callers.likely(key, code=code, now=now)):
        found, g.only_if = found_likely
        return found
    return callers.by_key(key, code=code, metric=metric, now=now)


def _of_that_vendor(found: Caller, code: str | None) -> Caller:
    if code is not None and (found.vendor is None or found.vendor.code != code):
        raise NotFound
    return found


def _count(found: Caller) -> None:
    try:
        g.rate = count(current_app, found)
    except TooMany as error:
        g.rate = Standing(_limit(current_app, found), 0, error.retry_after)
        raise


def count(app: Flask, found: Caller) -> Standing | None:
    """Count a request of the caller's; None where nothing is counted. Raises TooMany above the limit."""
    if not app.extensions["portal_config"].ratelimit_enabled:
        return None
    rates: Rates = app.extensions["portal_rates"]
    return rates.hit(found.rate_key, _limit(app, found))


def _limit(app: Flask, found: Caller) -> int:
    each: int = app.extensions["portal_config"].api_requests_per_minute
    return each * (PLATFORM_TIMES if found.platform else 1)


def _check_reach(found: Caller, declared: Audience) -> None:
    if found.scopes is not None:
        if not found.scopes & declared.reach:
            raise _out_of_reach(declared.reach)
    elif found.token_scope != Scope.FULL and not declared.billing:
        raise Forbidden(N_("This token reaches plans, subscriptions and billing only."), code="scope_missing")


def require(reach: Reach) -> Caller:
    """The caller. Forbidden unless it reaches this; for views that need one thing or another, by what is sent."""
    found = caller()
    if found.scopes is not None and reach not in found.scopes:
        raise _out_of_reach({reach})
    return found


def _out_of_reach(needed: Iterable[str]) -> Forbidden:
    text = N_("This key does not reach that: it needs %(scope)s.")
    return Forbidden(text, code="scope_missing", scope=", ".join(sorted(needed)))


def _vendor(found: Caller) -> CallingVendor:
    if found.vendor is not None:
        return found.vendor
    if found.platform:
        wrong = {VENDOR_HEADER: N_("Name the vendor by its code.")}
        raise Invalid(
            N_("A platform key names the vendor in the header X-Vendor."), code="vendor_required", fields=wrong
        )
    raise Forbidden(N_("Account not configured"), code="ACCOUNT_REQUIRED", action=_lead("vendor_dashboard.index"))


def _check_vendor(found: Caller, held: CallingVendor, declared: Audience) -> None:
    if held.blocked:
        raise Forbidden(N_("This account is blocked."), code="BLOCKED", action=_lead("public_contact.form"))
    if not at_least(found.role, declared.role):
        raise Forbidden(N_("Your role does not allow this."))
    if declared.needs == Needs.PRODUCT and (refused := closed(held)):
        raise refused
    if found.scopes is not None and not found.platform:
        _check_feature(found, held, FEATURE)  # a vendor's own keys belong to its tier; the platform's do not (LIM-8)
    if declared.feature is not None:
        _check_feature(found, held, declared.feature, declared.level)


def _check_feature(found: Caller, held: CallingVendor, feature: str, level: str | None = None) -> None:
    level_held = found.state.rights.features.get(feature)
    if not reaches(feature, level_held, level):
        with tenancy.scoped(held.id):
            raise FeatureMissing(
                feature, level_held, level, ways.for_feature(held.id, feature, level, clock.business())
            )


def way_out(error: PortalError) -> str | None:
    """Where a person of the calling vendor can put right what the gate refused; None for any other refusal."""
    found: Caller | None = g.get("caller")
    if found is None or found.vendor is None or error.code not in set(Refusal):
        return None
    page = "vendor_billing.index" if error.code in PAID_ON_BILLING else "vendor_plans.index"
    return _lead(page, code=found.vendor.code)[1]


def closed(held: CallingVendor) -> PortalError | None:
    """Why the product is closed for this vendor (ACC-5), as what programs are told; None when it is open."""
    if held.standing is not None and is_open(held.standing):
        return None
    if held.standing in (None, Status.TRIAL_ENDED):
        text, code = N_("Active subscription required"), "PLAN_REQUIRED"
        return PaymentRequired(text, code=code, action=_lead("vendor_plans.index", code=held.code))
    pay = held.standing in (Status.SUSPENDED, Status.PENDING_PAYMENT)
    leads = _lead("vendor_billing.index" if pay else "vendor_plans.index", code=held.code)
    texts = {
        Status.PENDING_PAYMENT: N_("The first payment has not arrived yet."),
        Status.SUSPENDED: N_("An invoice is unpaid, so the product is closed until it is paid."),
        Status.CANCELLED: N_("The subscription has ended."),
    }
    return PaymentRequired(texts[held.standing], code=held.standing.name, action=leads)


def _lead(endpoint: str, **values: str) -> tuple[str, str]:
    return "", full_address(current_app, endpoint, **values)


def _note_use(found: Caller) -> None:
    """Keep that the key was used, at most once a minute. Should the database be busy, the request matters more."""
    at = clock.wall()
    if found.key_id is None or callers.use_is_noted(found, at):
        return
    try:
        with unit_of_work():
            api_keys.note_use(found.key_id, at)
        callers.remember_noting(found, at)
    except OperationalError:
        logger.warning("api_key.use_not_noted", key_id=found.key_id)


def _say_rate(response: Response) -> Response:
    response.headers.extend(rate_headers(g.get("rate")))
    return response


def rate_headers(rate: Standing | None) -> list[tuple[str, str]]:
    """How many requests the caller may send still; nothing where that is not counted."""
    if rate is None:
        return []
    return [
        ("RateLimit-Limit", str(rate.limit)),
        ("RateLimit-Remaining", str(rate.remaining)),
        ("RateLimit-Reset", str(rate.reset)),
    ]


def init_app(app: HookedFlask) -> None:
    """Give the app its counts and their headers."""
    app.extensions["portal_rates"] = Rates(app.extensions["portal_redis"])
    with app.hooks_where(HookedFlask.is_for_programs):
        app.after_request(_say_rate)

"""POST /api/v1/auth/register: open an account from a program (ACC-2).

An Idempotency-Key makes the request repeatable: the second answer names the same account. Tokens are never stored, so
a repetition gets fresh ones, after its password was checked against the account's. The fingerprint of the request
leaves the password out, because a quick hash of it would be easier to attack than the one it is kept by.
"""

from datetime import datetime
from typing import Any, Literal

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import Field

from portal.accounts import service as accounts
from portal.accounts.service import Registration
from portal.api import operation
from portal.api.operation import Given, Told, described
from portal.catalog.rules import Cycle
from portal.identity import flows, tokens
from portal.identity.tokens import Scope, Tokens
from portal.kit import clock, idempotency
from portal.kit.errors import Invalid, Unauthenticated
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, limits
from portal.web.kit.mails import full_address

blueprint = Blueprint("api_register", __name__)
SCOPE = "auth.register"


class RegisterBody(Given):
    """What may be sent; anything else is refused. Without ``tier`` the account waits for its plan to be chosen."""

    business_name: str = Field(max_length=120)
    name: str = Field(max_length=120)
    email: str = Field(max_length=254)
    password: str = Field(max_length=200)
    tier: str | None = Field(default=None, max_length=64)
    cycle: Literal["monthly", "yearly"] = "monthly"
    locale: Literal["en", "de"] = "en"


class RegisteredVendor(Told):
    """The vendor that was opened."""

    id: int
    code: str
    name: str


class Registered(Told):
    """The account, and tokens that reach plans, subscriptions and billing."""

    user_id: int
    account_id: int
    vendor: RegisteredVendor
    tier: str | None
    trial_refused: bool
    next_url: str
    token_type: str
    scope: str
    access: str
    access_expires_at: datetime
    refresh: str
    refresh_expires_at: datetime


@blueprint.post("/api/v1/auth/register", strict_slashes=False)
@limits.limiter.limit(limits.REGISTER)
@audience.public
@described(
    "Open an account", "Accounts", body=RegisterBody, answers={201: Registered}, problems=(429,), repeatable=True
)
def register() -> tuple[Response, int]:
    """201 with tokens of scope ``billing`` and ``next_url``; 422 with ``errors`` by field."""
    body, key = operation.body(RegisterBody), operation.key()
    prepared = _prepared(body)
    with unit_of_work():
        stored = idempotency.begin(SCOPE, key, _fingerprint(body)) if key else None
        answer = stored[1] if stored else _open(prepared, key)
        issued = None if stored else _issue(answer)
    if issued is None:
        _prove_again(body)
        with unit_of_work():
            issued = _issue(answer)
    return jsonify(**answer, **_spelled(issued)), 201


def _fingerprint(body: RegisterBody) -> str:
    return idempotency.fingerprint("POST", request.path.rstrip("/"), body.model_dump(exclude={"password"}))


def _prepared(body: RegisterBody) -> Registration | Invalid:
    """The checked registration, or why it is refused: a repetition is answered even if it would be refused by now."""
    try:
        return accounts.prepare(
            business_name=body.business_name,
            name=body.name,
            email=body.email,
            password=body.password,
            tier_code=body.tier,
            cycle=Cycle(body.cycle),
            locale=body.locale,
        )
    except Invalid as refused:
        return refused


def _open(prepared: Registration | Invalid, key: str | None) -> dict[str, Any]:
    """Open the account and keep the answer, without tokens, under the key."""
    if isinstance(prepared, Invalid):
        raise prepared
    registered = accounts.register(prepared, now=clock.business())
    vendor = registered.vendor
    closed = prepared.tier is None or registered.trial_refused
    answer = {
        "user_id": registered.user.id,
        "account_id": vendor.id,
        "vendor": {"id": vendor.id, "code": vendor.code, "name": vendor.name},
        "tier": prepared.tier.code if prepared.tier else None,
        "trial_refused": registered.trial_refused,
        "next_url": _next_url(vendor.code if closed else None),
    }
    if key:
        idempotency.remember(SCOPE, key, (201, answer))
    return answer


def _next_url(code_without_plan: str | None) -> str:
    """The plan choice where a plan is still needed, else the dashboard; on the configured address."""
    if code_without_plan:
        return full_address(current_app, "vendor_plans.index", code=code_without_plan)
    return full_address(current_app, "vendor_dashboard.index")


def _prove_again(body: RegisterBody) -> None:
    """Only who knows the password gets tokens for an account that exists; wrong ones count as guesses (429)."""
    try:
        flows.prove(body.email, body.password)
    except Unauthenticated as error:
        raise Invalid(N_("This Idempotency-Key was used for another request."), code="idempotency_mismatch") from error


def _issue(answer: dict[str, Any]) -> Tokens:
    return tokens.issue(answer["user_id"], answer["account_id"], Scope.BILLING)


def _spelled(issued: Tokens) -> dict[str, str]:
    return {
        "token_type": "Bearer",
        "scope": issued.scope,
        "access": issued.access,
        "access_expires_at": issued.access_expires_at.isoformat(),
        "refresh": issued.refresh,
        "refresh_expires_at": issued.refresh_expires_at.isoformat(),
    }

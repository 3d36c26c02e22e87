"""What a vendor may do, and asking the gate (LIM-1, LIM-2)."""

from functools import partial
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import Field, model_validator

from portal.accounts.callers import Caller, CallingVendor
from portal.api import operation
from portal.api.operation import Given, Told, described
from portal.api.shapes import COUNTED_HERE, Count, FeatureName, MetricName, Period, Text120
from portal.catalog.rules import Metric, reaches
from portal.entitlements import gate
from portal.entitlements.rules import Frame, Verdict, judge
from portal.identity.api_key_rules import Reach
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import audience, callers, recent
from portal.web.kit.mails import full_address

blueprint = Blueprint("api_entitlements", __name__)
#: A question is short; a longer body is not read to learn which counter it is about.
SHORT = 4096
COUNTED = N_("The portal counts this itself.")


class Entitlements(Told):
    """What a vendor may do now. A limit of null is unlimited; one that is absent is not granted."""

    vendor: str
    standing: str | None
    version: int = Field(description="Changes whenever a limit or feature does.")
    period: Period | None
    limits: dict[str, int | None]
    features: dict[str, str]
    sources: dict[str, str] = Field(description="Because of what: tier, addon, tier+addon or override.")


class Question(Given):
    """Either a metric with a quantity, or a feature with the level that is needed (none: any)."""

    metric: MetricName | None = None
    quantity: Count = 1
    feature: FeatureName | None = None
    level: Text120 | None = None
    take: bool = Field(default=False, description="Take it at once, if it fits; needs a key and the scope usage:write.")
    key: Text120 | None = Field(default=None, description="Names what is taken: with the same key it is taken once.")
    subject: Text120 | None = Field(default=None, description="What it is about, for people: an order's number.")

    @model_validator(mode="after")
    def _one_thing(self) -> "Question":
        if (self.metric is None) == (self.feature is None):
            raise ValueError("a metric or a feature")
        return self


class Answer(Told):
    """What the gate says. ``code`` says why not; ``limit`` and ``left`` of null mean unlimited."""

    allowed: bool
    code: str | None = None
    metric: str | None = None
    quantity: int | None = None
    usage: int | None = None
    limit: int | None = None
    left: int | None = None
    feature: str | None = None
    level: str | None = None
    version: int
    taken: bool = False
    replayed: bool = False
    next_url: str | None = Field(default=None, description="Where a person can get more; only when it is refused.")


def _metric() -> str | None:
    """Which counter the question is about, before anybody is known; what is no question names none."""
    length = request.environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > SHORT:
        return None
    given = operation.given_quietly()
    named = given.get("metric") if isinstance(given, dict) else None
    return named if isinstance(named, str) else None


@blueprint.get("/api/v1/entitlements", strict_slashes=False)
@audience.api(Reach.ENTITLEMENTS_READ, recent=True)
@described("What the vendor may do", "Entitlements", answers={200: Entitlements})
def show() -> Response:
    """Limits and features with the version of the whole, so that a copy can be kept until the version changes."""
    return recent.answer(_rights, callers.caller(), callers.vendor())


def _rights(caller: Caller, held: CallingVendor) -> dict[str, Any]:
    rights = caller.state.rights
    return {
        "vendor": held.code,
        "standing": held.standing,
        "version": rights.version,
        "period": period(caller.state.frame),
        "limits": rights.limits,
        "features": rights.features,
        "sources": rights.source,
    }


def period(frame: Frame) -> dict[str, str] | None:
    """The period of the subscription, for programs."""
    if frame.period_start is None or frame.period_end is None:
        return None
    return {"start": frame.period_start.isoformat(), "end": frame.period_end.isoformat()}


@blueprint.post("/api/v1/entitlements/check", strict_slashes=False)
@audience.api(Reach.ENTITLEMENTS_READ, Reach.USAGE_WRITE, counts=_metric, recent=True)
@described(
    "Ask the gate, or take what fits",
    "Entitlements",
    body=Question,
    answers={200: Answer},
    repeatable=True,
    examples={
        "ask": {"metric": "orders", "quantity": 1},
        "take": {"metric": "orders", "quantity": 1, "take": True, "key": "order-1001"},
        "feature": {"feature": "white_label"},
    },
)
def check() -> Response:
    """May this vendor do one more? Asking changes nothing and always answers 200.

    With `take` the quantity is counted in the same moment as it is admitted, so that of many requests at once exactly
    those pass that fit; refused, it is 403 `limit_reached` with `metric`, `limit`, `usage` and `next_url`, and nothing
    is counted.
    """
    asked, header = operation.body(Question), operation.key()
    if asked.take:
        callers.require(Reach.USAGE_WRITE)
        return jsonify(_take(asked, asked.key or header))
    caller = callers.require(Reach.ENTITLEMENTS_READ)
    make = _verdict if asked.feature is None else _feature
    return recent.answer(partial(make, asked), caller, callers.vendor())


def _verdict(asked: Question, caller: Caller, held: CallingVendor) -> dict[str, Any]:
    verdict = judge(caller.state, Metric(str(asked.metric)), asked.quantity, clock.business())
    return _said(verdict, caller.state.rights.version, held)


def _said(verdict: Verdict, version: int, held: CallingVendor, *, taken: bool = False) -> dict[str, Any]:
    return {
        "allowed": verdict.allowed,
        "code": verdict.code,
        "metric": verdict.metric,
        "quantity": verdict.quantity,
        "usage": verdict.used,
        "limit": verdict.limit,
        "left": verdict.left,
        "version": version,
        "taken": taken,
        "replayed": verdict.replayed,
        "next_url": None if verdict.allowed else upgrade_url(held),
    }


def _feature(asked: Question, caller: Caller, held: CallingVendor) -> dict[str, Any]:
    rights, feature = caller.state.rights, str(asked.feature)
    level_held = rights.features.get(feature)
    allowed = reaches(feature, level_held, asked.level)
    return {
        "allowed": allowed,
        "code": None if allowed else "feature_missing",
        "feature": feature,
        "level": level_held,
        "version": rights.version,
        "next_url": None if allowed else upgrade_url(held),
    }


def _take(asked: Question, key: str | None) -> dict[str, Any]:
    if asked.metric is None:
        raise Invalid(fields={"take": N_("Only what is counted can be taken.")})
    if asked.metric in COUNTED_HERE:
        raise Invalid(COUNTED, code="counted_here", fields={"metric": COUNTED})
    if key is None or len(key) > 120:
        raise Invalid(fields={"key": N_("Taking needs a key of 1 to 120 characters.")})
    held = callers.vendor()
    with unit_of_work():
        verdict = gate.admit(
            held.id, Metric(asked.metric), asked.quantity, key=key, now=clock.business(), subject=asked.subject
        )
    return _said(verdict, callers.caller().state.rights.version, held, taken=True)


def upgrade_url(held: CallingVendor) -> str:
    """Where the vendor's people can choose more."""
    return full_address(current_app, "vendor_plans.index", code=held.code)

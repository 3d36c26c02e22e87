"""Usage comes in and is read (LIM-3): events one by one or by the thousand, levels, what is used now, and days."""

from contextlib import nullcontext
from datetime import date
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema
from sqlalchemy.exc import IntegrityError

from portal.api import operation, plain_events, repeat
from portal.api.entitlements import period
from portal.api.operation import Given, Told, described
from portal.api.shapes import COUNTED_HERE, REPORTED, Moment, Period, QueryDay, QueryNumber, Text120
from portal.catalog.rules import PER_PERIOD, UNITS, Metric
from portal.entitlements import metering
from portal.entitlements.state import state
from portal.identity.api_key_rules import Reach
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.usage import days
from portal.usage.batch import MOST_EVENTS
from portal.usage.rules import MOST_BYTES, MOST_QUANTITY, Event, Outcome, Result, Wrong
from portal.web.kit import audience, callers
from portal.web.kit.audience import Needs

blueprint = Blueprint("api_usage", __name__)

Reported = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(REPORTED)})]
Key = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 120, "pattern": "^[!-~]+$"})]
Quantity = Annotated[
    int,
    Field(description="How many. What is counted by months only goes up; levels may go down, never below zero."),
    WithJsonSchema({"type": "integer", "minimum": -MOST_QUANTITY, "maximum": MOST_QUANTITY}),
]
Subject = Annotated[str | None, WithJsonSchema({"type": ["string", "null"], "minLength": 1, "maxLength": 120})]


class UsageEvent(Given):
    """Something that happened. The same key again counts nothing; with other content it is refused."""

    key: Key = Field(description="The sender's own name for it, such as order-1001.")
    metric: Reported
    quantity: Quantity = 1
    at: Moment | None = Field(default=None, description="When; none: now. It must lie in the present month of usage.")
    subject: Subject = Field(default=None, description="What it is about, for people.")


#: What is no event does not spoil a batch, so the document does not say that it would.
BATCH: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_EVENTS,
    "items": {"anyOf": [{"$ref": "#/components/schemas/UsageEvent"}, {}]},
    "description": "Each a UsageEvent; whatever else stands here is named in problems and counts nothing.",
}


class UsageEvents(Given):
    """One event, or ``events`` with up to 1,000 of them; not both."""

    events: Annotated[list[UsageEvent] | None, WithJsonSchema(BATCH)] = None
    key: Key | None = None
    metric: Reported | None = None
    quantity: Quantity | None = None
    at: Moment | None = None
    subject: Subject = None


class EventProblem(Told):
    """An event that does not count, by its place in the batch (from 0)."""

    index: int
    key: str | None
    code: str
    detail: str


class Counted(Told):
    """What became of them. Every event that is not among the problems counts, now or since it was sent before."""

    received: int
    counted: int
    known: int = Field(description="Their keys were counted before, or stand twice in this batch.")
    refused: int
    problems: list[EventProblem]


class LevelSet(Given):
    """A level as it was measured."""

    metric: Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(REPORTED - PER_PERIOD)})]
    value: int = Field(ge=0, le=MOST_BYTES)
    at: Moment | None = Field(default=None, description="When it was measured; none: now. The newest one counts.")
    subject: Text120 | None = None


class LevelTold(Told):
    """``applied`` is false where a newer measurement stood already; then nothing changed."""

    metric: str
    value: int
    applied: bool


class Meter(Told):
    """One metric. A limit of null is unlimited; bytes where the catalog speaks of gigabytes."""

    metric: str
    unit: Literal["count", "bytes"]
    per_period: bool
    usage: int
    limit: int | None
    left: int | None
    source: str | None = Field(description="Because of what the limit is there: tier, addon, tier+addon or override.")


class UsageNow(Told):
    """Everything that is counted, as it stands."""

    vendor: str
    standing: str | None
    version: int
    period: Period | None
    counted_from: str | None = Field(description="Where the present month of usage began.")
    items: list[Meter]


class Days(Given):
    """Which days."""

    metric: Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(Metric)})] | None = None
    first: QueryDay | None = Field(default=None, description="The oldest day wanted.")
    last: QueryDay | None = Field(default=None, description="The newest day wanted.")
    cursor: Annotated[str, Field(max_length=1000)] | None = Field(default=None, description="From the page before.")
    size: Annotated[QueryNumber, Field(ge=1, le=500)] = Field(default=100, description="Rows of a page.")


class DayTold(Told):
    """The sum of a metric on a day (UTC)."""

    day: date
    metric: str
    quantity: int


class DaysTold(Told):
    """A page of days; ``next`` is null on the last one."""

    items: list[DayTold]
    next: str | None


WORDS = {
    Wrong.UNKNOWN_METRIC: N_("There is no such metric."),
    Wrong.QUANTITY: N_("Please give a whole number that can be counted here."),
    Wrong.KEY: N_("Please give a key of 1 to 120 characters."),
    Wrong.SUBJECT: N_("Please give a subject of 1 to 120 characters."),
    Wrong.IN_FUTURE: N_("This lies in the future."),
    Wrong.TOO_LATE: N_("This lies before the present month of usage."),
    Wrong.KEY_REUSED: N_("This key stands for another event."),
    Wrong.BELOW_ZERO: N_("There is less than that to take away."),
    "counted_here": N_("The portal counts this itself."),
    "wrong_shape": N_("This is no event: a key, a metric and a whole quantity are needed."),
}
_batch: TypeAdapter[list[UsageEvent]] = TypeAdapter(list[UsageEvent])
_one: TypeAdapter[UsageEvent] = TypeAdapter(UsageEvent)


@blueprint.post("/api/v1/usage/events", strict_slashes=False)
@audience.api(Reach.USAGE_WRITE, role=Role.MANAGER, proves=True)
@described(
    "Report what happened",
    "Usage",
    body=UsageEvents,
    also=(UsageEvent,),
    answers={200: Counted},
    repeatable=True,
    examples={
        "one": {"key": "order-1001", "metric": "orders", "at": "2027-01-15T11:58:00Z"},
        "several": {"events": [{"key": "order-1001", "metric": "orders"}, {"key": "p-7", "metric": "products"}]},
    },
)
def report() -> Response:
    """One event, or up to 1,000 in `events`. Each counts once by its key, however often it is sent.

    What has happened has happened: no limit refuses it (ask the gate beforehand). Wrong events of a batch are named in
    `problems` while the good ones count; a wrong single event is 422 with the same code.
    """
    if answer := _count_at_once():
        return jsonify(answer)
    callers.caller()  # whatever follows, an error too, is for nobody else
    given = operation.given()
    listed = _listed(given)
    if listed is not None:
        if operation.key() is None and (answer := _count_plain(listed)):
            return jsonify(answer)
        return repeat.once(given, lambda: _count(listed))
    _check_single(given)
    return repeat.once(given, lambda: _count_one(given))


def _listed(given: Any) -> list[Any] | None:
    """The events of a batch; None for a single one. Invalid for neither."""
    if not isinstance(given, dict):
        raise Invalid(fields={"body": operation.message("dict_type")})
    if "events" not in given:
        return None
    listed = given["events"]
    if not isinstance(listed, list) or len(given) > 1:
        raise Invalid(fields={"events": N_("Send one event, or a list of them alone.")})
    if not 1 <= len(listed) <= MOST_EVENTS:
        raise Invalid(N_("Send 1 to 1,000 events."), code="too_many_events", fields={"events": N_("Send 1 to 1,000.")})
    return listed


def _count_plain(listed: list[Any]) -> dict[str, Any] | None:
    """The short way of a batch: one statement for all of it. None, and nothing has changed: go the long way."""
    held, now, sent = callers.caller().state, clock.business(), plain_events.columns(listed)
    if sent is None or not metering.plain(sent, held, now):
        return None
    try:
        with unit_of_work() if metering.may_alert(set(sent.metrics), held) else nullcontext():
            metering.record_plain(callers.vendor().id, sent, held, now=now)
    except IntegrityError:  # a key is known
        return None
    return {"received": len(listed), "counted": len(listed), "known": 0, "refused": 0, "problems": []}


def _count(listed: list[Any]) -> dict[str, Any]:
    """Count them in the unit of work that is open; the answer as JSON values."""
    now = clock.business()
    shaped = _shaped(listed)
    sound = [Event(e.key, e.metric, e.quantity, e.at or now, e.subject) for e in shaped if isinstance(e, UsageEvent)]
    results = iter(metering.record_batch(callers.vendor().id, sound, now=now) if sound else [])
    done = [next(results) if isinstance(each, UsageEvent) else each for each in shaped]
    outcomes = [each.outcome if isinstance(each, Result) else Outcome.REFUSED for each in done]
    return {
        "received": len(listed),
        "counted": outcomes.count(Outcome.COUNTED),
        "known": outcomes.count(Outcome.KNOWN),
        "refused": outcomes.count(Outcome.REFUSED),
        "problems": [
            _problem(place, listed[place], each.code if isinstance(each, Result) else each)
            for place, each in enumerate(done)
            if outcomes[place] == Outcome.REFUSED
        ],
    }


def _check_single(given: Any) -> None:
    """What is wrong with the shape of a single event is an error of the request, at its field."""
    if operation.read(UsageEvent, given).metric in COUNTED_HERE:
        raise Invalid(WORDS["counted_here"], code="counted_here")


def _count_at_once() -> dict[str, Any] | None:
    """The short way of a single event: one statement, which also looks whether the caller is still who it was; a
    transaction around it only where an alert may follow. None for anything else, and nothing has changed.
    """
    given = operation.given_quietly()
    if not isinstance(given, dict) or "events" in given or "Idempotency-Key" in request.headers:
        return None
    e, now = _shape(given), clock.business()
    if isinstance(e, str):
        return None
    (caller, only_if), event = callers.likely(), Event(e.key, e.metric, e.quantity, e.at or now, e.subject)
    if caller.vendor is None:
        return None
    with unit_of_work() if metering.may_alert([e.metric], caller.state) else nullcontext():
        result = metering.record_one(caller.vendor.id, event, caller.state, now=now, only_if=only_if)
    if result is None or result.outcome != Outcome.COUNTED:
        return None
    return {"received": 1, "counted": 1, "known": 0, "refused": 0, "problems": []}


def _count_one(given: dict[str, Any]) -> dict[str, Any]:
    """A single event that is refused is an error of the request, with the same code."""
    answer = _count([given])
    for problem in answer["problems"]:
        raise Invalid(problem["detail"], code=problem["code"])
    return answer


def _shaped(listed: list[Any]) -> list[UsageEvent | str]:
    """Each as an event, or the code of why it is none. All at once where all are sound, which they mostly are."""
    try:
        return [_ours(event) for event in _batch.validate_python(listed)]
    except (ValidationError, RecursionError):
        return [_shape(each) for each in listed]


def _shape(given: Any) -> UsageEvent | str:
    try:
        return _ours(_one.validate_python(given))
    except (ValidationError, RecursionError):
        return "wrong_shape"


def _ours(event: UsageEvent) -> UsageEvent | str:
    return "counted_here" if event.metric in COUNTED_HERE else event


def _problem(place: int, given: Any, code: Any) -> dict[str, Any]:
    key = given.get("key") if isinstance(given, dict) else None
    shown = key if isinstance(key, str) and len(key) <= 120 and key.isprintable() else None
    return {"index": place, "key": shown, "code": str(code), "detail": WORDS[code]}


@blueprint.put("/api/v1/usage/levels", strict_slashes=False)
@audience.api(Reach.USAGE_WRITE, role=Role.MANAGER)
@described(
    "Set a level",
    "Usage",
    body=LevelSet,
    answers={200: LevelTold},
    repeatable=True,
    examples={"products": {"metric": "products", "value": 250, "at": "2027-01-15T12:00:00Z"}},
)
def level() -> Response:
    """For senders that measure instead of counting. The newest measurement counts; an older one changes nothing."""
    given = operation.given()
    read = operation.read(LevelSet, given)
    if read.metric not in set(Metric):
        raise Invalid(fields={"metric": WORDS[Wrong.UNKNOWN_METRIC]})
    if read.metric in COUNTED_HERE:
        raise Invalid(WORDS["counted_here"], code="counted_here", fields={"metric": WORDS["counted_here"]})
    return repeat.once(given, lambda: _set(read))


def _set(read: LevelSet) -> dict[str, Any]:
    now = clock.business()
    applied = metering.set_level(
        callers.vendor().id, Metric(read.metric), read.value, at=read.at or now, now=now, subject=read.subject
    )
    return {"metric": read.metric, "value": read.value, "applied": applied}


@audience.api(Reach.USAGE_READ, needs=Needs.ACCOUNT, billing=True)
@described("What is used now", "Usage", answers={200: UsageNow})
def now() -> Response:
    """Every metric with what is used and what is left; also while the product is closed."""
    held, at = callers.vendor(), clock.business()
    found = state(held.id, at)
    window = found.frame.window(at).isoformat() if found.frame.period_start else None
    return jsonify(
        vendor=held.code,
        standing=held.standing,
        version=found.rights.version,
        period=period(found.frame),
        counted_from=window,
        items=[_meter(found, metric, at) for metric in Metric if metric in found.rights.limits],
    )


for number, path in enumerate(("/api/v1/usage", "/api/v1/billing/usage", "/api/billing/usage")):
    blueprint.add_url_rule(path, f"now_{number}", now, methods=["GET"], strict_slashes=False)


def _meter(found: Any, metric: Metric, at: Any) -> dict[str, Any]:
    used, limit = found.used(metric, at), found.limit(metric)
    return {
        "metric": metric,
        "unit": "bytes" if metric in UNITS else "count",
        "per_period": metric in PER_PERIOD,
        "usage": used,
        "limit": limit,
        "left": None if limit is None else max(0, limit - used),
        "source": found.rights.source.get(metric),
    }


@blueprint.get("/api/v1/usage/history", strict_slashes=False)
@audience.api(Reach.USAGE_READ, needs=Needs.ACCOUNT)
@described("Days of usage", "Usage", query=Days, answers={200: DaysTold})
def history() -> Response:
    """Days on which something was counted, from the newest back. A level's quantity is by how much it moved."""
    asked = operation.query(Days)
    if asked.metric is not None and asked.metric not in set(Metric):
        raise Invalid(fields={"metric": WORDS[Wrong.UNKNOWN_METRIC]})
    rows, following = days.page(
        callers.vendor().id,
        metric=asked.metric,
        first=asked.first,
        last=asked.last,
        cursor=asked.cursor,
        size=asked.size,
    )
    items = [{"day": row.day.isoformat(), "metric": row.metric, "quantity": row.quantity} for row in rows]
    return jsonify(items=items, next=following)

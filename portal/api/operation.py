"""What the document says of a route, written beside it; a route that says nothing fails the tests.

Bodies and answers are pydantic models, so that what is checked, what is sent and what is written down are one thing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from portal.kit.errors import Invalid
from portal.kit.text import N_

View = TypeVar("View", bound=Callable[..., Any])
Shape = TypeVar("Shape", bound=BaseModel)
ATTRIBUTE = "portal_operation"


class Given(BaseModel):
    """Base of what programs send: an unknown field is an error, and nothing is guessed from another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """Base of what programs are told."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``problems`` are the statuses beside those that follow from its audience and body;
    ``also`` names models that a body's schema refers to by hand.
    """

    summary: str
    tag: str
    answers: Mapping[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    repeatable: bool = False
    also: tuple[type[BaseModel], ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)


def described(summary: str, tag: str, **more: Any) -> Callable[[View], View]:
    """Say what a view does; its docstring is the longer description."""

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, Operation(summary, tag, **more))
        return view

    return mark


def of(view: Callable[..., Any] | None) -> Operation | None:
    """What is said of a view, or None."""
    return getattr(view, ATTRIBUTE, None)


MESSAGES = {
    "missing": N_("This is needed."),
    "extra_forbidden": N_("There is no such field."),
    "string_too_long": N_("This is too long."),
    "string_too_short": N_("This is needed."),
    "string_type": N_("This must be text."),
    "int_type": N_("This must be a whole number."),
    "int_parsing": N_("This must be a whole number."),
    "literal_error": N_("This is not one of the values that can be chosen."),
    "enum": N_("This is not one of the values that can be chosen."),
    "too_long": N_("These are too many."),
    "too_short": N_("There is nothing in it."),
    "greater_than_equal": N_("This is too small."),
    "less_than_equal": N_("This is too large."),
    "timezone_aware": N_("This needs a time zone, such as Z or +01:00."),
    "datetime_from_date_parsing": N_("This must be a moment such as 2027-01-15T12:00:00Z."),
    "datetime_parsing": N_("This must be a moment such as 2027-01-15T12:00:00Z."),
    "datetime_type": N_("This must be a moment such as 2027-01-15T12:00:00Z."),
    "date_from_datetime_parsing": N_("This must be a day such as 2027-01-15."),
    "date_parsing": N_("This must be a day such as 2027-01-15."),
}


def message(kind: str) -> str:
    """The words for one of pydantic's kinds of errors."""
    return MESSAGES.get(kind, N_("This value does not fit."))


def faults(error: ValidationError) -> dict[str, str]:
    """What does not fit, by field; the field of a field is named with a dot."""
    return {".".join(map(str, e["loc"])) or "body": message(e["type"]) for e in error.errors(include_url=False)}


def body(shape: type[Shape]) -> Shape:
    """The request's body as ``shape``. Invalid with ``errors`` by field; what is no JSON is 400, another type 415."""
    return read(shape, given())


def given() -> Any:
    """The request's JSON. What is no JSON is 400, another type 415, what is nested without end Invalid."""
    try:
        return request.get_json()
    except RecursionError as error:
        raise Invalid(fields={"body": message("nesting")}) from error


def given_quietly() -> Any:
    """The request's JSON, None for what is none."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        return None


def read(shape: type[Shape], sent: Any) -> Shape:
    """What came as JSON, as ``shape``."""
    try:
        return shape.model_validate(sent)
    except ValidationError as error:
        raise Invalid(fields=faults(error)) from error


def query(shape: type[Shape]) -> Shape:
    """The address's parameters as ``shape``; one that is unknown or given twice is an error, as in a body."""
    given = request.args.to_dict(flat=False)
    twice = {name: N_("This was given more than once.") for name, values in given.items() if len(values) > 1}
    if twice:
        raise Invalid(fields=twice)
    try:
        return shape.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise Invalid(fields=faults(error)) from error


def key() -> str | None:
    """The Idempotency-Key, checked; None when none was sent."""
    given = request.headers.get("Idempotency-Key")
    if given is not None and not (0 < len(given) <= 255 and given.isascii() and given.isprintable()):
        raise Invalid(N_("An Idempotency-Key has 1 to 255 printable characters."), code="idempotency_key")
    return given

"""Fields that several requests and answers share."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from portal.api.operation import Told
from portal.catalog.rules import FEATURE_NAMES, Metric
from portal.usage.rules import MOST_BYTES


def _clean(text: str) -> str:
    """No control characters and no half characters: a database refuses them, and no key or subject needs them."""
    if not text.isprintable():
        raise ValueError("a character that cannot be printed")
    return text


def _text(given: Any) -> Any:
    """A number is no moment, although it could be taken for seconds since 1970."""
    if not isinstance(given, str):
        raise PydanticCustomError("datetime_type", "not a text")
    return given


def _day(given: str) -> date:
    """A day as it is written; what else could be taken for one (seconds since 1970, a moment) is none."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", given):
        raise PydanticCustomError("date_parsing", "no day")
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise PydanticCustomError("date_parsing", "no day") from error


def _whole(given: str) -> int:
    """A whole number as it is written in an address."""
    if not re.fullmatch(r"[0-9]{1,9}", given):
        raise PydanticCustomError("int_parsing", "no whole number")
    return int(given)


#: Of an address, where everything is text.
QueryDay = Annotated[date, BeforeValidator(_day)]
QueryNumber = Annotated[int, BeforeValidator(_whole)]
Text120 = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(_clean)]
#: What the portal counts itself, where it happens: programs may ask the gate for it, and neither report nor take it.
COUNTED_HERE = frozenset(
    {Metric.TEAM_MEMBERS, Metric.STORAGE_GB, Metric.DOMAINS, Metric.MAILBOXES, Metric.CERTIFICATES}
)
REPORTED = frozenset(Metric) - COUNTED_HERE


def _of(names: frozenset[str]) -> Any:
    """A check that a text is one of these, and its enum in the document."""

    def check(text: str) -> str:
        if text not in names:
            raise PydanticCustomError("literal_error", "not one of the values")
        return text

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": sorted(map(str, names))})


_metric, _feature = _of(frozenset(Metric)), _of(frozenset(FEATURE_NAMES))
MetricName = Annotated[str, _metric[0], _metric[1]]
FeatureName = Annotated[str, _feature[0], _feature[1]]
Count = Annotated[int, Field(ge=1, le=MOST_BYTES)]
#: A moment with its zone, as text in JSON; strict models would take text for it only in JSON mode.
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_text),
    Field(strict=False),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-15T12:00:00Z"]}),
]


class Period(Told):
    """From the first moment to the first one that no longer belongs to it."""

    start: datetime
    end: datetime

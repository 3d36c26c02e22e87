"""A batch of usage events by columns, where all of it is plain: the short way of nearly every batch.

Whatever this gives, the models of portal.api.usage read alike (a test holds them side by side); whatever is odd in any
way is None here, and theirs to judge.
"""

from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from portal.api.shapes import REPORTED, Moment
from portal.usage.many import Columns

FIELDS = frozenset({"key", "metric", "quantity", "at", "subject"})
_TEXT, _WHOLE, _TEXT_OR_NONE = {str}, {int}, {str, type(None)}
_moments: TypeAdapter[list[datetime | None]] = TypeAdapter(list[Moment | None])


def columns(listed: list[Any]) -> Columns | None:
    """The events of a list as it came from JSON, in the order of their keys; None where one is not of the form."""
    if set(map(type, listed)) != {dict} or not FIELDS.issuperset(chain.from_iterable(listed)):
        return None
    keys = [event.get("key") for event in listed]
    metrics = [event.get("metric") for event in listed]
    quantities = [event.get("quantity", 1) for event in listed]
    subjects = [event.get("subject") for event in listed]
    sent = [event.get("at") for event in listed]
    if not (
        set(map(type, keys)) == _TEXT
        and set(map(type, metrics)) == _TEXT
        and REPORTED.issuperset(metrics)
        and set(map(type, quantities)) == _WHOLE
        and _TEXT_OR_NONE.issuperset(map(type, subjects))
        and _TEXT_OR_NONE.issuperset(map(type, sent))
    ):
        return None
    moments = _read(sent)
    return None if moments is None else _by_key(keys, metrics, quantities, subjects, moments)


def _read(sent: list[Any]) -> list[datetime | None] | None:
    if not any(sent):
        return None if "" in sent else sent
    try:
        return _moments.validate_python(sent)
    except ValidationError:
        return None


def _by_key(*sent: list[Any]) -> Columns:
    """Two batches that share keys wait for each other, and never both."""
    if sent[0] != sorted(sent[0]):
        sent = tuple(map(list, zip(*sorted(zip(*sent, strict=True), key=itemgetter(0)), strict=True)))
    keys, metrics, quantities, subjects, moments = sent
    return Columns(keys, metrics, quantities, subjects, moments)

"""Which notes the portal shows to a vendor, what each must be told, and its words; pure.

A new kind is one entry of KINDS. Parameters are JSON, as for mails: dates as ISO text, money as
``{"minor": 4900, "currency": "EUR"}``. They are put into the words in the reader's language and time zone when the
note is shown. Secrets are never among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from portal.kit.text import N_


class Shape(StrEnum):
    """What a parameter is, and so how it is written out. A ``term`` is a message id: it is translated."""

    TEXT = "text"
    TERM = "term"
    NUMBER = "number"
    DATE = "date"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class NoteKind:
    """``page`` is the part of ``/vendor/<code>/<page>`` that it leads to; ``tone``: info, good, warn or bad."""

    title: str
    text: str
    params: Mapping[str, Shape]
    page: str
    icon: str = "bell"
    tone: str = "info"


class WrongNoteError(ValueError):
    """A note was told that does not exist, or without what its words need; always a bug of the caller."""


KINDS: Mapping[str, NoteKind] = MappingProxyType(
    {
        "usage_alert": NoteKind(
            N_("%(metric)s: %(threshold)s %% of the limit"),
            N_("%(used)s of %(limit)s are used."),
            {"metric": Shape.TERM, "threshold": Shape.NUMBER, "used": Shape.NUMBER, "limit": Shape.NUMBER},
            page="usage",
            icon="gauge",
            tone="warn",
        ),
    }
)


def check(kind: str, params: Mapping[str, Any]) -> None:
    """Raise WrongNoteError naming what is missing, too much or of the wrong shape."""
    if kind not in KINDS:
        raise WrongNoteError(f"there is no note {kind!r}")
    expected = KINDS[kind].params
    wrong = sorted(set(expected) ^ set(params))
    wrong += sorted(name for name in expected.keys() & params.keys() if not _fits(expected[name], params[name]))
    if wrong:
        raise WrongNoteError(f"note {kind!r}: {', '.join(wrong)}")


def _fits(shape: Shape, value: Any) -> bool:
    if shape == Shape.NUMBER:
        return isinstance(value, int) and not isinstance(value, bool)
    if shape == Shape.MONEY:
        return isinstance(value, Mapping) and set(value) == {"minor", "currency"}
    return isinstance(value, str) and (shape != Shape.DATE or _is_moment(value))


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False

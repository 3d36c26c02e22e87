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
        "addon_ready": NoteKind(
            N_("%(addon)s is ready"),
            N_("Everything is set up."),
            {"addon": Shape.TERM},
            page="addons",
            icon="package",
            tone="good",
        ),
        "addon_failed": NoteKind(
            N_("%(addon)s could not be set up"),
            N_("We are looking at it. There is nothing for you to do."),
            {"addon": Shape.TERM},
            page="addons",
            icon="package",
            tone="bad",
        ),
        "addon_needs_you": NoteKind(
            N_("%(addon)s waits for you"),
            N_("The step is: %(step)s."),
            {"addon": Shape.TERM, "step": Shape.TERM},
            page="addons",
            icon="package",
            tone="warn",
        ),
        "domain_active": NoteKind(
            N_("%(domain)s works"),
            N_("Your shop is found under this name now."),
            {"domain": Shape.TEXT},
            page="domains",
            icon="world",
            tone="good",
        ),
        "domain_failing": NoteKind(
            N_("%(domain)s does not lead to your shop any more"),
            N_("Its records have been gone or changed for two days. Your domains page shows what is missing."),
            {"domain": Shape.TEXT},
            page="domains",
            icon="world",
            tone="bad",
        ),
        "domain_back": NoteKind(
            N_("%(domain)s works again"),
            N_("Your shop is found under this name again."),
            {"domain": Shape.TEXT},
            page="domains",
            icon="world",
            tone="good",
        ),
        "domain_lost": NoteKind(
            N_("%(domain)s is used by another vendor now"),
            N_("It led here no more, and somebody else has proven to own it."),
            {"domain": Shape.TEXT},
            page="domains",
            icon="world",
            tone="bad",
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

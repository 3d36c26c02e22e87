"""Answers that a program is given again. PostgreSQL alone.

Every answer is proved by its statement. Where that finds the caller, the rights and what is used to be the same as when
the same key put the same question before, the answer is the same too, and need not be made again. Where only what is
used is another, it is made of that: nothing else of the question needs to be looked at anew.

A program may say that one so many seconds old will do (``Cache-Control: max-age=N``). Then a process may say again what
it said, without a statement and with an ``Age``, while it is no older, nothing in it ended by itself, and this process
would hear of a change of the vendor's and heard of none (kit.changes). What is used moves with every event, of which
other processes do not tell: it may be as old as the answer.

Questions are looked at before Flask sees them (``web.again``); a view says which may be answered again, and how.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import Any

from flask import Response, jsonify, request

from portal.accounts import callers
from portal.accounts.callers import Caller, CallingVendor
from portal.kit import changes, clock

#: Where a request carries its question.
PLACE = "portal.question"
#: The oldest answer that a program can ask for, in seconds.
OLDEST = 60
#: Questions that a process keeps the answers of, and how long one may be.
KEPT, SHORT = 10_000, 4096
_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.IGNORECASE)
#: What a question is, beside its body: the same in all of these, it has the same answer.
_PARTS = (
    "REQUEST_METHOD", "HTTP_HOST", "PATH_INFO", "QUERY_STRING", "HTTP_AUTHORIZATION", "HTTP_X_VENDOR", "CONTENT_TYPE",
)  # fmt: skip
#: Headers that are each answer's own.
_OWN = frozenset({"content-length", "x-request-id", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "age"})
Headers = tuple[tuple[str, str], ...]
#: Makes an answer of who asks and for whom, and of nothing else but the question that it was made for, and the time.
Make = Callable[[Caller, CallingVendor], dict[str, Any]]


@dataclass(slots=True)
class Question:
    """A question that may be answered again: by which name it is found, how old an answer may be, and when it was put.

    ``number`` is that of ``kit.changes``, where it allows some age. ``proved`` is who puts it, once that is proved;
    ``metric`` the counter that was read with them. ``kept`` is set where the answer may be given again.
    """

    name: bytes
    seconds: int
    at: float
    now: datetime
    number: int | None = None
    metric: str | None = None
    proved: Caller | None = None
    kept: "Kept | None" = None


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, who got it, how it is made, and the question; with its headers as they left."""

    body: bytes
    caller: Caller
    vendor: CallingVendor
    make: Make
    question: Question
    headers: Headers = ()

    def age(self, asked: Question) -> float:
        """In seconds, by the clock that moved more."""
        return max(asked.at - self.question.at, (asked.now - self.question.now).total_seconds())


_shelf: OrderedDict[bytes, Kept] = OrderedDict()


def forget() -> None:
    """Drop what is kept; only tests need it."""
    _shelf.clear()


def question(environ: dict[str, Any]) -> Question | None:
    """What this request asks. None for a question that is too long to be read before anybody is known, or perhaps is;
    or that names itself.
    """
    method, length = environ["REQUEST_METHOD"], environ.get("CONTENT_LENGTH") or ""
    if method == "GET" and not length:
        length = "0"
    if method not in ("GET", "POST") or not length.isdecimal() or int(length) > SHORT:
        return None
    if "HTTP_IDEMPOTENCY_KEY" in environ:
        return None
    parts = "\0".join([environ.get(part, "") for part in _PARTS])
    name = hashlib.sha256(parts.encode() + b"\0" + _body(environ, int(length))).digest()
    return Question(name, _seconds(environ), time.monotonic(), clock.business())


def _body(environ: dict[str, Any], length: int) -> bytes:
    """Read it, and put it back for whoever comes after."""
    if not length:
        return b""
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    return body


def _seconds(environ: dict[str, Any]) -> int:
    said = environ.get("HTTP_CACHE_CONTROL")
    found = _MAX_AGE.search(said) if said and "no-" not in said else None
    return min(OLDEST, int(found[1])) if found else 0


def is_known(asked: Question) -> bool:
    """Was the same question answered before?"""
    return asked.name in _shelf


def find(asked: Question) -> Kept | None:
    """What is said to it again: what is young enough for whoever asks, or what one statement proves to be so still.

    Who puts the question is noted where that is proved, whatever is found.
    """
    known = _shelf.get(asked.name)
    if asked.seconds:
        if known is not None and _young(known, asked):
            return known
        asked.number = changes.number()
    return None if known is None else _proved(known, asked)


def _young(known: Kept, asked: Question) -> bool:
    number = known.question.number
    return (
        number is not None
        and changes.unchanged(known.vendor.id, number)
        and known.age(asked) <= asked.seconds
        and not known.caller.turned(asked.now)
    )


def _proved(known: Kept, asked: Question) -> Kept | None:
    """The same where all is as it was; where only usage moved, made of what is used now. None where rights changed."""
    asked.metric = known.question.metric
    asked.proved = found = callers.again(known.caller, metric=asked.metric, now=asked.now)
    if found is None:
        return None
    moved = found.state.counters != known.caller.state.counters
    if not moved and asked.number is None:
        return known
    body = jsonify(known.make(found, known.vendor)).get_data() if moved else known.body
    fresh = _shelf[asked.name] = replace(known, body=body, caller=found, question=asked)
    return fresh


def asked_here() -> Question | None:
    """The question of this request, where it is one."""
    asked: Question | None = request.environ.get(PLACE)
    return asked


def answer(make: Make, caller: Caller, vendor: CallingVendor) -> Response:
    """What ``make`` makes, as JSON, to be given again. To people it is not: nobody tells of a change of theirs."""
    made, asked = jsonify(make(caller, vendor)), asked_here()
    if asked is not None and caller.still is not None:
        asked.kept = Kept(made.get_data(), caller, vendor, make, asked)
    return made


def put(kept: Kept, headers: Iterable[tuple[str, str]]) -> None:
    """Keep an answer that left with these headers."""
    lasting = tuple(header for header in headers if header[0].lower() not in _OWN)
    _shelf[kept.question.name] = replace(kept, headers=_shared(lasting))
    _shelf.move_to_end(kept.question.name)
    while len(_shelf) > KEPT:
        _shelf.popitem(last=False)


@lru_cache(maxsize=64)
def _shared(headers: Headers) -> Headers:
    """The same ones for all answers that have the same; mostly all have."""
    return headers

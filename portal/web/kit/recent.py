"""Answers that a program is given again. PostgreSQL alone.

Every answer is proved by its statement. Where that finds the caller, the rights and what is used to be the same as when
the same key put the same question before, the answer is the same too, and need not be made again.

A program may say that one so many seconds old will do (``Cache-Control: max-age=N``). Then a process may say again what
it said, without a statement and with an ``Age``, while it is no older, nothing in it ended by itself, and this process
would hear of a change of the vendor's and heard of none (kit.changes). What is used moves with every event, of which
other processes do not tell: it may be as old as the answer.
"""

import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Response, current_app, g, request

from portal.accounts.callers import Caller, CallingVendor
from portal.kit import changes, clock

#: The oldest answer that a program can ask for, in seconds.
OLDEST = 60
#: Questions that a process keeps the answers of, and how long one may be.
KEPT, SHORT = 10_000, 4096
_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.IGNORECASE)
#: What a question is, beside its body: the same in all of these, it has the same answer.
_PARTS = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_AUTHORIZATION", "HTTP_X_VENDOR", "CONTENT_TYPE")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that may be answered again: by which name it is found, and when it was asked. ``number`` is that of
    ``kit.changes``, where the program allows its answers some age.
    """

    name: bytes
    number: int | None
    at: float
    now: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, who got it, and the question."""

    body: bytes
    caller: Caller
    vendor: CallingVendor
    question: Question

    def age(self, now: datetime) -> float:
        """In seconds, by the clock that moved more."""
        return max(time.monotonic() - self.question.at, (now - self.question.now).total_seconds())


_shelf: OrderedDict[bytes, Kept] = OrderedDict()


def forget() -> None:
    """Drop what is kept; only tests need it."""
    _shelf.clear()


def find() -> Kept | None:
    """The answer whose age will do for this request. Otherwise the request notes its question, if it may be kept."""
    name = _name()
    if name is None:
        return None
    seconds, now = _seconds(), clock.business()
    kept = _shelf.get(name) if seconds else None
    if kept is not None and _holds(kept, now, seconds):
        return kept
    g.question = Question(name, changes.number() if seconds else None, time.monotonic(), now)
    return None


def same(caller: Caller) -> Response | None:
    """The answer of before to the same question, if this caller, who was proved just now, is the same in all."""
    asked: Question | None = g.get("question")
    kept = _shelf.get(asked.name) if asked else None
    if asked is None or kept is None or not caller.same(kept.caller):
        return None
    if asked.number is not None:
        _shelf[asked.name] = replace(kept, question=asked)
    return _again(kept)


def with_age(kept: Kept) -> Response:
    """The answer again, with its age."""
    again = _again(kept)
    again.headers["Age"] = str(int(kept.age(clock.business())))
    return again


def _again(kept: Kept) -> Response:
    again: Response = current_app.response_class(kept.body, mimetype="application/json")
    return again


def keep(answer: Response, caller: Caller) -> Response:
    """Keep what was just answered, and give it. Of people nothing is kept: nobody tells of a change of theirs."""
    asked: Question | None = g.get("question")
    if asked is None or caller.key_id is None or caller.vendor is None:
        return answer
    _shelf[asked.name] = Kept(answer.get_data(), caller, caller.vendor, asked)
    _shelf.move_to_end(asked.name)
    while len(_shelf) > KEPT:
        _shelf.popitem(last=False)
    return answer


def _holds(kept: Kept, now: datetime, seconds: int) -> bool:
    number = kept.question.number
    return (
        number is not None
        and changes.unchanged(kept.vendor.id, number)
        and kept.age(now) <= seconds
        and not kept.caller.turned(now)
    )


def _seconds() -> int:
    said = request.environ.get("HTTP_CACHE_CONTROL")
    found = _MAX_AGE.search(said) if said and "no-" not in said else None
    return min(OLDEST, int(found[1])) if found else 0


def _name() -> bytes | None:
    """None for a question that is too long to be read before anybody is known, or perhaps is; or that names itself."""
    told = request.environ
    length = told.get("CONTENT_LENGTH") or ("0" if told["REQUEST_METHOD"] == "GET" else "")
    if not length.isdecimal() or int(length) > SHORT or "HTTP_IDEMPOTENCY_KEY" in told:
        return None
    parts = "\0".join([told.get(part, "") for part in _PARTS])
    body = request.get_data() if length != "0" else b""
    return hashlib.sha256(parts.encode() + b"\0" + body).digest()

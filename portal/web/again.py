"""A program's question that was answered before is answered again without Flask making a request of it.

Routes, hooks and a response cost more than the answer, and would say the same: who asks is proved by one statement
(``web.kit.recent``), the request is counted and measured, and the headers are those of the answer before but for its
own. Whatever is not plainly so goes the usual way, and takes along who was proved.
"""

import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal.accounts.callers import use_is_noted
from portal.kit import clock, log
from portal.kit.errors import TooMany
from portal.web import ops
from portal.web.kit import audience, callers, recent
from portal.web.kit.rates import Standing
from portal.web.kit.recent import Kept, Question

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ANSWERED = "200 OK"


class Again:
    """Stands before the app, as a WSGI application."""

    def __init__(self, app: Flask) -> None:
        self._app, self._usual = app, app.wsgi_app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer again, or let the app answer."""
        asked = recent.question(environ) if environ.get("PATH_INFO") in self._paths else None
        if asked is None:
            return self._usual(environ, start_response)
        found = self._found(asked) if asked.seconds or recent.is_known(asked) else None
        if found is None:
            return self._ask(asked, environ, start_response)
        kept, rate = found
        start_response(ANSWERED, [*kept.headers, *_own_headers(kept, asked, environ, rate)])
        ops.count(environ["PATH_INFO"], environ["REQUEST_METHOD"], 200, time.monotonic() - asked.at)
        return [kept.body]

    @cached_property
    def _paths(self) -> frozenset[str]:
        """Where answers may be given again."""
        views = self._app.view_functions
        rules = self._app.url_map.iter_rules()
        return frozenset(rule.rule for rule in rules if (of := audience.of(views[rule.endpoint])) and of.recent)

    def _found(self, asked: Question) -> tuple[Kept, Standing | None] | None:
        """The answer, and the count of requests. What is wrong is found out, and said, in the usual way."""
        with self._app.app_context():
            try:
                kept = recent.find(asked)
                if kept is None or not _is_noted(asked):
                    return None
                return kept, callers.count(self._app, kept.caller)
            except (SQLAlchemyError, TooMany):
                return None

    def _ask(self, asked: Question, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """The app; what it answers is kept where its view says how to."""
        environ[recent.PLACE] = asked

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept, asked.kept = asked.kept, None
            if kept is not None and status == ANSWERED:
                recent.put(kept, headers)
            return start_response(status, headers, *more)

        return self._usual(environ, begin)


def _is_noted(asked: Question) -> bool:
    """The use of a key is noted in the usual way."""
    return asked.proved is None or use_is_noted(asked.proved, clock.wall())


def _own_headers(
    kept: Kept, asked: Question, environ: "WSGIEnvironment", rate: Standing | None
) -> list[tuple[str, str]]:
    length, given = str(len(kept.body)), environ.get("HTTP_X_REQUEST_ID", "")
    own = [("Content-Length", length), ("X-Request-Id", log.follow(given)), *callers.rate_headers(rate)]
    return own if asked.proved else [*own, ("Age", str(int(kept.age(asked))))]


def init_app(app: Flask) -> None:
    """Stand before it. SQLite proves nothing in a statement."""
    if not app.extensions["portal_config"].sqlalchemy_url.startswith("sqlite"):
        app.wsgi_app = Again(app)  # type: ignore[method-assign]

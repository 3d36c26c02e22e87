"""The floor of a page: the context that the product rendered once, rendered again by the same template, and no more.

WSGI entry ``tests.bench.bare_page:application``; BENCH_PAGE and BENCH_FRAGMENT name the addresses, BENCH_COOKIE the
session. At the start each is asked of the product once, in this process, to learn template and context. A statement
sent to the database after that is an error: then it would not be a bare render.
"""

import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import g, template_rendered
from jinja2_fragments import render_block
from jinja2_fragments.flask import template_block_rendered
from sqlalchemy import event

from portal.app import create_app
from portal.kit.db import db
from portal.settings import queries as settings
from tests.bench.p8_pages import PARTIAL


@dataclass(frozen=True)
class Seen:
    """What the product rendered: a template (one block of it, or all), its context, and who was at the door."""

    template: str
    block: str | None
    context: dict[str, Any]
    person: Any
    audience: Any


app = create_app()
_learned: list[Seen] = []


def _keep(template: str, block: str | None, context: dict[str, Any]) -> None:
    _learned.append(Seen(template, block, context, g._login_user, g.audience))


def _page_seen(_: Any, template: Any, context: dict[str, Any], **__: Any) -> None:
    _keep(template.name, None, context)


def _block_seen(_: Any, template_name: str, block_name: str, context: dict[str, Any]) -> None:
    _keep(template_name, block_name, context)


def learn(path: str, headers: dict[str, str]) -> Seen:
    """Ask the product once. Raises RuntimeError unless it answers 200 with one rendering."""
    _learned.clear()
    host = app.extensions["portal_config"].base_url
    with template_rendered.connected_to(_page_seen, app), template_block_rendered.connected_to(_block_seen, app):
        answer = app.test_client(use_cookies=False).get(
            path, base_url=host, headers={"Cookie": os.environ["BENCH_COOKIE"], **headers}
        )
    if answer.status_code != 200 or len(_learned) != 1:
        raise RuntimeError(f"{path} answered {answer.status_code} with {len(_learned)} renderings")
    return _learned.pop()


def render(seen: Seen) -> str:
    """Again, in a request of the same person."""
    g._login_user, g.audience = seen.person, seen.audience
    if seen.block:
        return render_block(app.jinja_env, seen.template, seen.block, **seen.context)
    return app.jinja_env.get_template(seen.template).render(seen.context)


def _refuse(*_: Any) -> None:
    raise RuntimeError("a bare render asked the database")


PAGES = {
    os.environ["BENCH_PAGE"].partition("?")[0]: learn(os.environ["BENCH_PAGE"], {}),
    os.environ["BENCH_FRAGMENT"].partition("?")[0]: learn(os.environ["BENCH_FRAGMENT"], PARTIAL),
}
with app.app_context():
    # The operator's settings are asked for anew now and then; a floor has no business with that.
    known = settings.current()
    settings.current = lambda: known
    event.listen(db.engine, "before_cursor_execute", _refuse)
gc.freeze()  # as wsgi.py does


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A page that was learned; anything else is only a sign of life."""
    seen = PAGES.get(environ["PATH_INFO"])
    if seen is None:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    with app.request_context(environ):
        body = render(seen).encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]

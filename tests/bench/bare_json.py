"""The portal with one route more, which answers what the gate answers without asking anybody: the floor of P7.

WSGI entry ``tests.bench.bare_json:application``. The route stands in the same app, behind the same hooks and headers;
it parses its body and answers JSON of the same size. A header lets the process forget first what it has answered, or
the rights that it keeps as well, so that other answers can be measured too.
"""

import gc
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from portal.accounts import callers
from portal.app import create_app, csrf
from portal.web.kit import audience, recent

PATH, FORGET = "/api/bench/bare", "HTTP_X_BENCH_FORGET"
blueprint = Blueprint("bench_bare", __name__)


@blueprint.post(PATH)
@audience.public
def bare() -> Response:
    """The same answer for everybody."""
    asked = request.get_json()
    return jsonify(
        allowed=True, code=None, metric=asked["metric"], quantity=1, usage=7, limit=500, left=493, version=1,
        taken=False, replayed=False, next_url=None,
    )  # fmt: skip


csrf.exempt(blueprint)
app = create_app()
app.for_programs(blueprint)
app.register_blueprint(blueprint)
gc.freeze()  # as wsgi.py does


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app; told to, it forgets first."""
    if what := environ.get(FORGET):
        recent.forget()
        if what == "rights":
            callers.forget()
    return app.wsgi_app(environ, start_response)

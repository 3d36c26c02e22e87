"""The portal with one route more, which answers what the gate answers without asking anybody: the floor of P7.

WSGI entry ``tests.bench.bare_json:application``. The route stands in the same app, behind the same hooks and headers;
it parses its body and answers JSON of the same size. A header lets the process forget the rights that it keeps, so that
a cold answer can be measured too.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from portal.accounts import callers
from portal.app import create_app, csrf
from portal.web.kit import audience

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


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app; told to, it forgets first."""
    if FORGET in environ:
        callers.forget()
    return app.wsgi_app(environ, start_response)

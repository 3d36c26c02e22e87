"""Answers as they leave: JSON by one encoder, and whole bodies handed over whole."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

COMPACT = {"separators": (",", ":")}


class Json(DefaultJSONProvider):
    """Flask's JSON, with the encoder of its answers made once."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._encoder = json.JSONEncoder(
            default=self.default,
            ensure_ascii=self.ensure_ascii,
            sort_keys=self.sort_keys,
            separators=COMPACT["separators"],
        )

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """As text; ``kwargs`` as of json.dumps."""
        return self._encoder.encode(obj) if kwargs == COMPACT else super().dumps(obj, **kwargs)


class Answer(Response):
    """A response whose body, where it is whole, goes to the server as a list, which it sends at once.

    The usual way wraps every body, so that the server asks for it piece by piece and closes it.
    """

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """The WSGI answer."""
        if self.status_code != 200 or self._on_close or environ["REQUEST_METHOD"] == "HEAD" or not self.is_sequence:
            return super().__call__(environ, start_response)
        body = b"".join(self.iter_encoded())
        headers = self.headers.to_wsgi_list()
        if "Content-Length" not in self.headers:
            headers.append(("Content-Length", str(len(body))))
        start_response(self.status, headers)
        return [body]

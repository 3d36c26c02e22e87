"""The sandbox asked without a socket: the same bytes through the same WSGI application, in the thread that asks.

For tests that ask it tens of thousands of times; all others speak to it over real HTTP.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from werkzeug.datastructures import Headers
from werkzeug.test import run_wsgi_app

from tests.support.servers import Sandbox

PLAIN = {"Content-Type": "CONTENT_TYPE", "Content-Length": "CONTENT_LENGTH"}


class Direct(BaseAdapter):
    """What ``requests`` sends to an address, handed to an application."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """The application's answer."""
        body, status, headers = run_wsgi_app(self.app, _environ(request), buffered=True)
        return _response(request, b"".join(body), status, headers)

    def close(self) -> None:
        """Nothing is open."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    where, body = urlsplit(str(request.url)), request.body or b""
    sent = body.encode() if isinstance(body, str) else body
    environ = {
        "REQUEST_METHOD": request.method, "SCRIPT_NAME": "", "PATH_INFO": where.path, "QUERY_STRING": where.query,
        "SERVER_NAME": where.hostname, "SERVER_PORT": str(where.port), "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": where.netloc, "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": where.scheme, "wsgi.input": io.BytesIO(sent),
        "wsgi.errors": io.StringIO(), "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    for name, value in request.headers.items():
        environ[PLAIN.get(name) or f"HTTP_{name.upper().replace('-', '_')}"] = str(value)
    return environ


def _response(request: requests.PreparedRequest, body: bytes, status: str, headers: Headers) -> requests.Response:
    answer = requests.Response()
    code, _, answer.reason = status.partition(" ")
    answer.status_code, answer.request, answer.url = int(code), request, str(request.url)
    answer.headers = CaseInsensitiveDict(headers.items())
    answer.encoding = requests.utils.get_encoding_from_headers(answer.headers)
    answer.raw = io.BytesIO(body)
    return answer


@contextmanager
def direct(sandbox: Sandbox) -> Iterator[None]:
    """Within this block whatever asks the sandbox's address reaches its application at once."""
    adapter, others = Direct(sandbox.app()), requests.Session.get_adapter

    def found(self: requests.Session, url: str) -> Any:
        return adapter if url.startswith(sandbox.url) else others(self, url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "get_adapter", found)
        yield

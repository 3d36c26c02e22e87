"""Somebody else's server: takes webhooks over real HTTP and checks signatures as the Standard Webhooks libraries do.

Written from the specification, not from our own code, so that both being wrong alike is unlikely.
"""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The payload."""
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Is one of the signatures that of this secret?"""
        key = base64.b64decode(secret.split("_", 1)[1])
        said = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, one) for one in self.headers["webhook-signature"].split(" "))


@dataclass
class Receiver:
    """A running server: what it got, and what it answers next (then 200)."""

    port: int
    got: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.port}/hooks?shop=1"

    def then(self, *statuses: int, **headers: str) -> None:
        """Answer with these, one request each."""
        self.answers += [(status, headers) for status in statuses]


@contextmanager
def running() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    made: dict[str, Receiver] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver = made["it"]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Received(self.path, headers, body))
            status, more = receiver.answers.pop(0) if receiver.answers else (200, {})
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made["it"] = Receiver(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made["it"]
    finally:
        server.shutdown()
        server.server_close()

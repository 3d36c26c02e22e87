"""The Stripe sandbox in a thread of the test process, spoken to over real HTTP."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from flask.testing import FlaskClient
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

KEY = "sk_test_sandbox"
WEBHOOK_SECRET = "whsec_for_tests_only"

#: Told beside what the portal needs: a payment beside its invoice.
BESIDE = ("charge.succeeded", "invoice_payment.", "payment_intent.", "setup_intent.")
Copy = dict[str, list[tuple[Any, ...]]]


def _elsewhere() -> Any:
    raise LookupError("this sandbox runs in another process: its inside cannot be reached")


@dataclass
class Sandbox:
    """A running sandbox: its address, its application if it is at hand, and what a test does with it.

    Stripe's own interface is always asked at the address. The controls, which are the test's own hands, reach into the
    application where they can: a request for each took longer than what it asked for.
    """

    url: str
    app: Callable[[], Any] = field(default=_elsewhere)

    @property
    def here(self) -> bool:
        """Does it run in this process?"""
        return self.app is not _elsewhere

    def engine(self) -> Any:
        """Its inside."""
        return self.app().extensions["sandbox"]

    def store(self) -> Any:
        """Its database."""
        return self.engine().store

    def post(self, path: str, **json: Any) -> Any:
        """POST to the sandbox's own controls."""
        answer = requests.post(self.url + path, json=json, timeout=20)
        answer.raise_for_status()
        return answer.json()

    def run_due(self) -> int:
        """Let Stripe do what is due at the present business time."""
        return int(self.engine().run_due() if self.here else self.post("/_sandbox/run-due")["ran"])

    def deliveries(self) -> list[dict[str, Any]]:
        """Signed events that wait to be delivered, in order."""
        if self.here:
            from portal.sandbox.delivery import pending

            return pending(self.engine())
        answer = requests.get(self.url + "/_sandbox/deliveries", timeout=20).json()
        return list(answer["data"])

    def ack(self, delivery: dict[str, Any]) -> None:
        """Tell the sandbox that a delivery was taken."""
        self.post(f"/_sandbox/deliveries/{delivery['id']}/ack")

    def ack_all(self, deliveries: list[dict[str, Any]]) -> None:
        """The same for many."""
        if not self.here:
            for delivery in deliveries:
                self.ack(delivery)
            return
        with self.store().transaction() as connection:
            connection.executemany(
                "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1, answer = 'told' WHERE id = ?",
                [(delivery["id"],) for delivery in deliveries],
            )

    def reset(self) -> None:
        """Forget everything but the endpoint."""
        if self.here:
            self.engine().reset()
        else:
            self.post("/_sandbox/reset")

    def is_new(self) -> bool:
        """Does Stripe know of nothing but the endpoint, and is nothing going to go wrong?"""
        with self.store().transaction() as connection:
            known = "SELECT 1 FROM docs WHERE object != 'webhook_endpoint' UNION ALL SELECT 1 FROM faults LIMIT 1"
            return connection.execute(known).fetchone() is None

    def copied(self) -> Copy:
        """All that Stripe knows now."""
        with self.store().transaction() as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            )
            return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables.fetchall()}

    def put_back(self, kept: Copy) -> None:
        """Let Stripe know what it knew then, and nothing else."""
        with self.store().transaction() as connection:
            for table, rows in kept.items():
                connection.execute(f"DELETE FROM {table}")
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def deliver(
    sandbox: Sandbox, client: FlaskClient, path: str = "/api/v1/webhooks/stripe", *, newest: bool = False
) -> int:
    """Hand every waiting event to the portal's endpoint as Stripe would; returns how many were taken.

    ``newest``: of several about the same object that wake the same handler, only the last one, as if Stripe had lost
    the others; tests/stripe_events proves that they lead to the same. What is told of money beside its invoice is lost,
    too.
    """
    waiting = sandbox.deliveries()
    for delivery in last_of_each(waiting) if newest else waiting:
        answer = client.post(path, data=delivery["body"].encode(), headers=delivery["headers"])
        assert 200 <= answer.status_code < 300, answer.get_data(as_text=True)
    sandbox.ack_all(waiting)
    return len(waiting)


def last_of_each(deliveries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last delivery about each object, for each family of event types; in order."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in deliveries:
        if each["type"].startswith(BESIDE):
            continue
        about = json.loads(each["body"])["data"]["object"].get("id", "")
        family = each["type"].rsplit(".", 1)[0]
        found.pop((family, about), None)
        found[family, about] = each
    return list(found.values())


def start(offset_file: Path) -> tuple[Sandbox, Any]:
    """Start a sandbox on a free port; gives it and the server to shut down. It is built at its first request."""
    server = make_server("127.0.0.1", 0, _placeholder, threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    build = cache(lambda: _build(url, offset_file))
    server.app = lambda environ, start_response: build()(environ, start_response)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Sandbox(url, build), server


class Quiet(WSGIRequestHandler):
    """Answers over connections that stay open, and says nothing."""

    #: Connections stay open, as Stripe's do; an answer's parts do not wait for one another.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer, and leave the connection open: Werkzeug's own way ends it, having waited whether more is sent."""
        environ = self.make_environ()
        environ["wsgi.input"] = BytesIO(self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0)))
        parts, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"".join(parts))

    def log(self, *_: Any, **__: Any) -> None:
        """Say nothing: a failing test shows what matters."""


def _placeholder(_environ: Any, _start: Any) -> list[bytes]:
    return []


def _build(url: str, offset_file: Path) -> Any:
    from portal.sandbox.app import create_sandbox
    from portal.sandbox.config import SandboxConfig

    return create_sandbox(
        SandboxConfig(
            secret_key=KEY,
            public_url=url,
            offset_file=str(offset_file),
            webhook_url="http://127.0.0.1:9/never-called-by-tests",
            webhook_secret=WEBHOOK_SECRET,
            redirect_wait=0,
        )
    )

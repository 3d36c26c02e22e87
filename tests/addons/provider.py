"""A provider over real HTTP that makes a new thing each time it is asked to, and a recipe that uses it.

It can be unwell, and it can do the work and then drop the connection, so that nobody hears of it.
"""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from portal.addons import providers
from portal.addons.providers import Context, Done, Found, Outcome, Recipe, Step
from portal.kit.errors import Invalid, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction


class Provider:
    """What it made, by reference, and how it feels."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.lose_answers = 0
        self.lose_each = 0
        self.down = False
        self.refuses = False
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close the door."""
        self.server.shutdown()
        self.server.server_close()

    def make(self, reference: str) -> bool:
        """Make one more; False when its answer is to be lost."""
        with self.lock:
            self.made[reference] += 1
            lost = self.lose_answers > 0 or (self.lose_each > 0 and sum(self.made.values()) % self.lose_each == 0)
            self.lose_answers = max(0, self.lose_answers - 1)
            return not lost


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @property
    def _reference(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def do_GET(self) -> None:
        self.provider.asked[self._reference] += 1
        self._answer(503 if self.provider.down else 200 if self.provider.made[self._reference] else 404)

    def do_POST(self) -> None:
        if self.provider.down or self.provider.refuses:
            self._answer(503 if self.provider.down else 422)
        elif self.provider.make(self._reference):
            self._answer(201)
        else:
            self.close_connection = True
            self.connection.close()

    def do_DELETE(self) -> None:
        with self.provider.lock:
            self.provider.made.pop(self._reference, None)
        self._answer(204)


def call(method: str, url: str) -> int:
    """One request, as a gateway makes it: never with a transaction open."""
    assert_no_transaction()
    try:
        status = requests.request(method, url, timeout=10).status_code
    except requests.RequestException as error:
        raise Unavailable(N_("The provider does not answer.")) from error
    if status >= 500:
        raise Unavailable(N_("The provider does not answer."))
    return status


class Make(Step):
    """Make the thing."""

    code = "make"
    title = N_("Making it")
    can_undo = True

    def reference(self, ctx: Context) -> str | None:
        return f"thing-{ctx.step_id}"

    def find(self, ctx: Context) -> Found | None:
        if call("GET", self._url(ctx)) == 404:
            return None
        return Found(ctx.reference, {"made": ctx.reference})

    def act(self, ctx: Context) -> Outcome:
        if call("POST", self._url(ctx)) == 422:
            raise Invalid(N_("The provider refuses this."))
        return Done(ctx.reference, {"made": ctx.reference})

    def undo(self, ctx: Context) -> None:
        call("DELETE", self._url(ctx))

    def _url(self, ctx: Context) -> str:
        return f"{ctx.config['url']}/things/{ctx.reference}"


class Check(Step):
    """Look whether it is there: needs what the step before found out."""

    code = "check"
    title = N_("Trying it")

    def find(self, ctx: Context) -> Found | None:
        return None

    def act(self, ctx: Context) -> Outcome:
        assert call("GET", f"{ctx.config['url']}/things/{ctx.results['make']['made']}") == 200
        return Done()


class Remove(Step):
    """Take it away; what never was is gone too."""

    code = "remove"
    title = N_("Removing it")

    def find(self, ctx: Context) -> Found | None:
        known = ctx.results.get("make", {}).get("reference")
        if known is None or call("GET", f"{ctx.config['url']}/things/{known}") == 404:
            return Found()
        return None

    def act(self, ctx: Context) -> Outcome:
        call("DELETE", f"{ctx.config['url']}/things/{ctx.results['make']['reference']}")
        return Done()


RECIPE = providers.register(
    Recipe("remote", ("manual",), setup=(Make, Check), teardown=(Remove,), fits=lambda config: "url" in config, rank=50)
)

#!/usr/bin/env python3
"""How a platform works with the portal: it asks before it takes an order, reports what happened, and hears of alerts.

It needs Python 3.11 and nothing else. Make a platform key at /admin/api-keys (or a vendor's own at its API keys page),
then:

    export PORTAL_URL=https://portal.example.com
    export PORTAL_KEY=vp_live_…
    export PORTAL_WEBHOOK_SECRET=whsec_…
    python shop_platform.py order  kilim-house order-1001     may this shop take the order? then count it
    python shop_platform.py report kilim-house orders.csv     report many at once: key,metric,quantity,at
    python shop_platform.py listen 9000                       print alerts as they arrive

Every step may be repeated: keys make each order count once. What to do when the portal says no stands at ``order``.
"""

import base64
import csv
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

BATCH = 1000
#: How far a webhook's clock may differ from ours before it is taken for a replayed one.
TOLERANCE = 300


class RefusedError(Exception):
    """The portal said no. ``code`` is stable; ``problem`` has metric, limit, usage and next_url where they fit."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem, self.code = status, problem, str(problem.get("code", ""))
        super().__init__(f"{status} {self.code}: {problem.get('detail', '')}")


@dataclass
class Portal:
    """A client in a few lines. ``wait`` sleeps; a test may pass another."""

    url: str
    key: str
    tries: int = 6
    wait: Callable[[float], None] = field(default=time.sleep)

    def send(self, method: str, path: str, vendor: str, body: Any = None) -> Any:
        """One request; asked to wait (429) or met with a fault (5xx, no answer), it tries again with growing gaps."""
        for attempt in range(1, self.tries + 1):
            try:
                return self._once(method, path, vendor, body)
            except urllib.error.HTTPError as error:
                if (error.code != 429 and error.code < 500) or attempt == self.tries:
                    raise RefusedError(error.code, _problem(error)) from error
                self.wait(float(error.headers.get("Retry-After") or 2**attempt))
            except urllib.error.URLError:
                if attempt == self.tries:
                    raise
                self.wait(2**attempt)
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: str, vendor: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "X-Vendor": vendor, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def order(self, vendor: str, key: str) -> dict[str, Any]:
        """Take an order if the shop may have one more: asked and counted in one step, so none fits in beyond the last.

        Raises RefusedError with 403 ``limit_reached`` (show the shop ``next_url``: a larger plan or an add-on), 402 (it
        has to pay or choose a plan), 401 or 404 (our key or the vendor's code is wrong: tell us, not the shop).
        """
        return dict(self.send(
            "POST", "/api/v1/entitlements/check", vendor, {"metric": "orders", "take": True, "key": key}
        ))  # fmt: skip

    def report(self, vendor: str, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Report what happened, a thousand at a time; gives the events that do not count, each with its ``code``."""
        batch: list[dict[str, Any]] = []
        for event in events:
            batch.append(event)
            if len(batch) == BATCH:
                yield from self._report(vendor, batch)
                batch = []
        if batch:
            yield from self._report(vendor, batch)

    def _report(self, vendor: str, batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        answer = self.send("POST", "/api/v1/usage/events", vendor, {"events": batch})
        for problem in answer["problems"]:
            yield {**batch[problem["index"]], "code": problem["code"]}


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        return dict(json.load(error))
    except ValueError:
        return {"code": "no_json", "detail": error.reason}


def verify(secret: str, headers: Any, body: bytes, *, now: float | None = None) -> dict[str, Any]:
    """A webhook's payload, if the portal signed it within five minutes. ValueError otherwise: answer 400 then.

    Keep ``webhook-id`` and do nothing for one that you have seen: a delivery may come twice.
    """
    number, at = headers.get("webhook-id") or "", headers.get("webhook-timestamp") or ""
    if not at.isascii() or not at.isdigit() or abs((time.time() if now is None else now) - int(at)) > TOLERANCE:
        raise ValueError("no time, or an old one")
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), f"{number}.{at}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(mac.digest()).decode()
    given = (headers.get("webhook-signature") or "").split(" ")
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise ValueError("not signed with this secret")
    return dict(json.loads(body))


def listener(secret: str, port: int, told: Callable[[dict[str, Any]], None]) -> HTTPServer:
    """A server that takes webhooks: verify, remember the id, answer at once."""
    seen: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1_000_000))
            try:
                event = verify(secret, self.headers, body)
            except ValueError:
                self.send_error(400)
                return
            if (number := self.headers["webhook-id"]) not in seen:
                seen.add(number)
                told(event)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """The program prints what matters."""

    return HTTPServer(("127.0.0.1", port), Handler)


def rows(path: str) -> Iterator[dict[str, Any]]:
    """Events from a CSV file with the columns key, metric, quantity and (it may be empty) at."""
    with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123
        for row in csv.DictReader(file):
            event: dict[str, Any] = {"key": row["key"], "metric": row["metric"], "quantity": int(row["quantity"])}
            if row.get("at"):
                event["at"] = row["at"]
            yield event


def main(arguments: list[str]) -> int:
    """The command line; gives the exit status: 0 done, 1 refused, 2 misused."""
    match arguments:
        case ["order", vendor, key]:
            return _order(_portal(), vendor, key)
        case ["report", vendor, path]:
            wrong = list(_portal().report(vendor, rows(path)))
            print(*[f"{event['key']}: {event['code']}" for event in wrong], sep="\n", end="\n" if wrong else "")
            return 1 if wrong else 0
        case ["listen", port]:
            show: Callable[[dict[str, Any]], None] = lambda event: print(event["type"], json.dumps(event["data"]))  # noqa: E731
            listener(os.environ["PORTAL_WEBHOOK_SECRET"], int(port), show).serve_forever()
    print(__doc__)
    return 2


def _portal() -> Portal:
    return Portal(os.environ["PORTAL_URL"].rstrip("/"), os.environ["PORTAL_KEY"])


def _order(portal: Portal, vendor: str, key: str) -> int:
    try:
        taken = portal.order(vendor, key)
    except RefusedError as refused:
        more = refused.problem.get("next_url")
        print(f"{key} is not taken: {refused.problem.get('detail', refused.code)}", f"→ {more}" if more else "")
        return 1
    left = "no limit" if taken["left"] is None else f"{taken['left']} left"
    print(f"{key} is taken, {'as before' if taken['replayed'] else left}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

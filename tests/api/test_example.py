"""The example in examples/ works as it says: run as a program against the portal over HTTP, and told by webhook."""

import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import WSGIRequestHandler, make_server

from config import Config
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.gateways import outgoing
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhook_rules, webhooks
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import key

pytestmark = pytest.mark.usefixtures("unscoped")
PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "shop_platform.py"


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        """Say nothing."""


@pytest.fixture
def portal(client: FlaskClient) -> Iterator[str]:
    """The portal on a port of its own."""
    server = make_server("127.0.0.1", 0, client.application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="professional")


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """What the program defines."""
    return runpy.run_path(str(PROGRAM))


def run(portal: str, text: str, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "PORTAL_URL": portal, "PORTAL_KEY": text, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def used(who: Someone) -> int:
    return gate.check(who.vendor_id, Metric.ORDERS, 0, now=clock.business()).used


def test_an_order_is_taken_once_and_refused_at_the_limit(portal: str, ada: Someone) -> None:
    """500 a month: 498 are used, one more leaves 1; again it is as before; at 500 the shop is led to its plans."""
    text = key(None)
    with unit_of_work():
        gate.admit(ada.vendor_id, Metric.ORDERS, 498, key="before", now=clock.business())
    assert run(portal, text, "order", ada.code, "order-1") == (0, "order-1 is taken, 1 left")
    assert run(portal, text, "order", ada.code, "order-1") == (0, "order-1 is taken, as before")
    assert run(portal, text, "order", ada.code, "order-2") == (0, "order-2 is taken, 0 left")
    status, said = run(portal, text, "order", ada.code, "order-3")
    assert (status, "order-3 is not taken" in said) == (1, True)
    assert f"/vendor/{ada.code}/plans" in said
    assert used(ada) == 500
    with unit_of_work():
        lock(ada.vendor_id).status = Status.SUSPENDED
    status, said = run(portal, text, "order", ada.code, "order-4")
    assert (status, f"/vendor/{ada.code}/billing" in said) == (1, True)


def test_a_file_of_orders_is_reported_however_often(portal: str, ada: Someone, tmp_path: Path) -> None:
    """2,500 rows in three calls; one of them is no order. Sent again nothing changes."""
    file, text = tmp_path / "orders.csv", key(None)
    lines = [f"order-{n},orders,1,{clock.business().isoformat()}" for n in range(2499)] + ["wrong,nothing,1,"]
    file.write_text("\n".join(["key,metric,quantity,at", *lines]))
    for _ in range(2):
        assert run(portal, text, "report", ada.code, str(file)) == (1, "wrong: unknown_metric")
        assert used(ada) == 2499


def test_a_wrong_key_or_vendor_is_said(portal: str, ada: Someone) -> None:
    assert run(portal, "vp_live_nothing", "order", ada.code, "order-1")[0] == 1
    assert run(portal, key(None), "order", "nobody", "order-1")[0] == 1
    assert run(portal, key(None))[0] == 2
    assert used(ada) == 0


def test_asked_to_wait_it_waits_and_then_goes_on(portal: str, ada: Someone, example: dict[str, Any]) -> None:
    """The portal says 429 once; the program waits as long as it was told, and the order counts once."""
    from portal.web.kit.rates import Rates

    class OneMinute(Rates):
        """However long a busy machine takes, it is the same minute, forty seconds before its end."""

        def hit(self, name: str, limit: int, *, at: float | None = None) -> Any:
            return super().hit(name, limit, at=1_800_000_020.0)

    waited: list[float] = []
    config = _config(portal)
    config["config"].ratelimit_enabled, config["config"].api_requests_per_minute = True, 10
    config["app"].extensions["portal_rates"] = OneMinute(None)

    def wait(seconds: float) -> None:
        waited.append(seconds)
        config["config"].ratelimit_enabled = False

    shop = example["Portal"](portal, key(None), wait=wait)
    try:
        taken = [shop.order(ada.code, f"order-{n}")["usage"] for n in range(101)]  # a platform's ten times ten
    finally:
        config["config"].ratelimit_enabled, config["config"].api_requests_per_minute = False, 600
    assert taken == list(range(1, 102))
    assert waited == [40]


def _config(_portal: str) -> dict[str, Any]:
    from flask import current_app

    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return {"app": app, "config": app.extensions["portal_config"]}


def test_an_alert_arrives_verified_and_once(ada: Someone, example: dict[str, Any]) -> None:
    """400 of 500 are 80 %: the gate raises it, the portal sends it, the program believes it and nothing else."""
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    told: list[dict[str, Any]] = []
    secrets: list[str] = []
    server = example["listener"](_Later(secrets), 0, told.append)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with unit_of_work():
            url = f"http://127.0.0.1:{server.server_port}/hooks"
            secrets.append(webhooks.add(None, url, ["usage.alert"], actor=SYSTEM, now=clock.business())[1])
        with unit_of_work():
            gate.admit(ada.vendor_id, Metric.ORDERS, 400, key="many", now=clock.business())
        jobs.run_all()
    finally:
        server.shutdown()
        server.server_close()
        outgoing.configure(Config())
    assert [(event["data"]["threshold"], event["vendor"]["code"]) for event in told] == [(50, ada.code), (80, ada.code)]


class _Later(str):
    """The secret, known only once the endpoint exists: the program reads it with each webhook."""

    secrets: list[str]

    def __new__(cls, secrets: list[str]) -> "_Later":
        made = super().__new__(cls)
        made.secrets = secrets
        return made

    def removeprefix(self, prefix: str, /) -> str:
        return self.secrets[0].removeprefix(prefix)


@pytest.mark.parametrize("wrong", ["body", "secret", "old", "future", "no time", "no signature", "id"])
def test_what_is_not_ours_is_not_believed(example: dict[str, Any], wrong: str) -> None:
    secret, now, body = webhook_rules.new_secret(), int(time.time()), b'{"type":"usage.alert","data":{}}'
    headers = {
        "webhook-id": "alert:1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhook_rules.sign(secret, "alert:1", now, body),
    }
    assert example["verify"](secret, headers, body)["type"] == "usage.alert"
    match wrong:
        case "body":
            body = body.replace(b"alert", b"other")
        case "secret":
            secret = webhook_rules.new_secret()
        case "old" | "future":
            at = now + {"old": -400, "future": 400}[wrong]
            headers["webhook-timestamp"] = str(at)
            headers["webhook-signature"] = webhook_rules.sign(secret, "alert:1", at, body)
        case "no time":
            headers["webhook-timestamp"] = "soon"
        case "no signature":
            del headers["webhook-signature"]
        case "id":
            headers["webhook-id"] = "alert:2"
    with pytest.raises(ValueError, match=r"signed|time"):
        example["verify"](secret, headers, body)

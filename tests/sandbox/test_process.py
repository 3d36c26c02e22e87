"""The sandbox as a process: started from the environment, ticking by itself, stopped by a signal, none the worse."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

pytestmark = pytest.mark.once
KEY = "sk_test_process"


def environment(folder: Path, port: int) -> dict[str, str]:
    """What the supervisor would set."""
    return {
        **os.environ,
        "SANDBOX_PORT": str(port),
        "SANDBOX_DATA": str(folder / "sandbox.db"),
        "CLOCK_OFFSET_FILE": str(folder / "offset"),
        "SANDBOX_SECRET_KEY": KEY,
    }


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start it and wait until it answers."""
    process = subprocess.Popen([sys.executable, "-m", "portal.sandbox"], env=environment(folder, port))
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            requests.get(f"http://127.0.0.1:{port}/_sandbox/status", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return process
    process.kill()
    raise AssertionError("the sandbox did not start")


def test_it_ticks_by_itself_stops_at_a_signal_and_goes_on_where_it_was(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    process = start(tmp_path, port)
    v1: Any = stripe.StripeClient(KEY, base_addresses={"api": f"http://127.0.0.1:{port}"}).v1
    customer = v1.customers.create({"email": "a@example.com"})
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0

    again = start(tmp_path, port)
    try:
        product = v1.products.create({"name": "Pro"}).id
        price = v1.prices.create(
            {"product": product, "currency": "eur", "unit_amount": 100, "recurring": {"interval": "month"}}
        ).id
        wanted = {"customer": customer.id, "items": [{"price": price}], "trial_period_days": 5}
        subscription = v1.subscriptions.create(wanted)
        (tmp_path / "offset").write_text(str(6 * 86_400))
        # Nobody calls run-due: the process itself must notice. Events are read without waking anything else.
        until = time.monotonic() + 10
        while "invoice.payment_failed" not in _page(port) and time.monotonic() < until:
            time.sleep(0.05)
        # The trial ended on day 5; the customer has no card, so the first charge failed an hour later.
        assert "invoice.payment_failed" in _page(port)
        assert v1.subscriptions.retrieve(subscription.id).status == "past_due"
    finally:
        again.kill()
        again.wait(10)


def _page(port: int) -> str:
    """The sandbox's own page (looking at it runs nothing)."""
    return requests.get(f"http://127.0.0.1:{port}/", timeout=5).text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"SANDBOX_SECRET_KEY": ""}, "SANDBOX_SECRET_KEY is not set"),
        ({"SANDBOX_WEBHOOK_URL": "http://127.0.0.1:9/"}, "SANDBOX_WEBHOOK_SECRET is not set"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, more: dict[str, str], message: str) -> None:
    given = {**environment(tmp_path, 1), **more}
    found = subprocess.run(
        [sys.executable, "-m", "portal.sandbox"], env=given, capture_output=True, text=True, timeout=20, check=False
    )
    assert found.returncode == 2 and message in found.stderr

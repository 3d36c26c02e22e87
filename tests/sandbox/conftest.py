"""A sandbox of its own for every test: a real server on a free port, a clock that the test moves, a client."""

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
from werkzeug.serving import WSGIRequestHandler, make_server

from portal.sandbox.app import create_sandbox
from portal.sandbox.config import SandboxConfig
from portal.sandbox.ids import random_text

DAY = 86_400
SECRETS = ("whsec_first", "whsec_second")
# Where the endpoint would be; nothing listens there, tests look at the waiting deliveries instead.
ENDPOINT = "http://127.0.0.1:9/webhooks"


class Quiet(WSGIRequestHandler):
    """No log line per request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@dataclass
class Box:
    """One running sandbox as a test sees it."""

    url: str
    key: str
    offset_file: Path
    client: stripe.StripeClient
    app: Any
    offset: float = 0.0
    _prices: dict[tuple[int, str], str] = field(default_factory=dict)

    @property
    def v1(self) -> Any:
        """The SDK's v1 namespace."""
        return self.client.v1

    def now(self) -> int:
        """The sandbox's business time."""
        return int(self.control("status", method="GET")["now"])

    def advance(self, *, days: float = 0, seconds: float = 0) -> int:
        """Travel forward and let what is due happen; returns how many things happened."""
        self.offset += days * DAY + seconds
        self.offset_file.write_text(str(self.offset))
        return int(self.control("run-due")["ran"])

    def travel_to(self, moment: int) -> int:
        """Travel to a moment of business time (a second later, so that it has come)."""
        return self.advance(seconds=moment - self.now() + 1)

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Call one of the sandbox's own controls."""
        return requests.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=10).json()

    def fault(self, **settings: Any) -> None:
        """Order a bad day."""
        assert "error" not in self.control("faults", settings)

    def price(self, amount: int, interval: str = "month", name: str = "") -> str:
        """The id of a recurring EUR price; the same one for the same amount and interval."""
        if (amount, interval) not in self._prices:
            product = self.v1.products.create({"name": name or f"Plan {amount} a {interval}"})
            wanted = {
                "product": product.id,
                "currency": "eur",
                "unit_amount": amount,
                "recurring": {"interval": interval},
            }
            self._prices[amount, interval] = self.v1.prices.create(wanted).id
        return self._prices[amount, interval]

    def customer(self, card: str | None = "pm_card_visa", **more: Any) -> Any:
        """A customer, with a default card unless told otherwise."""
        customer = self.v1.customers.create({"email": "vendor@example.com", "name": "Vera Vendor", **more})
        return self.give_card(customer.id, card) if card else customer

    def give_card(self, customer: str, card: str) -> Any:
        """Attach a test card and make it the customer's default."""
        method = self.v1.payment_methods.attach(card, {"customer": customer})
        return self.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})

    def subscribe(self, amount: int = 4900, card: str = "pm_card_visa", interval: str = "month", **more: Any) -> Any:
        """A subscription of a new customer."""
        customer = self.customer(card)
        items = [{"price": self.price(amount, interval), "quantity": 1}]
        return self.v1.subscriptions.create({"customer": customer.id, "items": items, **more})

    def session(self, customer: str | None = None, **more: Any) -> Any:
        """An open Checkout Session over 49.00 a month."""
        wanted: dict[str, Any] = {
            "mode": "subscription",
            "line_items": [{"price": self.price(4900), "quantity": 1}],
            "success_url": "http://portal.example/done?session_id={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://portal.example/billing",
            **({"customer": customer} if customer else {}),
            **more,
        }
        return self.v1.checkout.sessions.create(wanted)

    def invoices(self, subscription: str) -> list[Any]:
        """The invoices of a subscription, oldest first."""
        found = self.v1.invoices.list({"subscription": subscription, "limit": 100}).data
        return list(reversed(found))

    def event_types(self, since: int = 0) -> list[str]:
        """The types of all events, oldest first, leaving out the first `since`."""
        found = self.v1.events.list({"limit": 100}).auto_paging_iter()
        return [event.type for event in reversed(list(found))][since:]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Box]:
    """A fresh sandbox with one endpoint that has two secrets."""
    yield from serve(tmp_path / "offset", ":memory:")


def serve(offset_file: Path, data: str, **settings: Any) -> Generator[Box, None, None]:
    """Run a sandbox until the generator is closed."""
    key = f"sk_test_{random_text(24)}"
    server = make_server("127.0.0.1", 0, lambda *_: iter(()), threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    more: dict[str, Any] = {
        "webhook_url": ENDPOINT,
        "webhook_secret": ",".join(SECRETS),
        "redirect_wait": 0.0,
        **settings,
    }
    app = create_sandbox(SandboxConfig(secret_key=key, public_url=url, data=data, offset_file=str(offset_file), **more))
    server.app = app
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Box(url, key, offset_file, stripe.StripeClient(key, base_addresses={"api": url}), app)
    finally:
        server.shutdown()
        server.server_close()
        app.extensions["sandbox"].store.close()

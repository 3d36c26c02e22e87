"""Life stories in few words: a vendor that signs up, pays in the sandbox as a browser would, and lives on."""

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests
from flask.testing import FlaskClient

from portal.accounts import service as accounts
from portal.catalog import queries as catalog
from portal.catalog import flows as catalog_flows
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.gateways import stripe
from portal.identity.models import Vendor
from portal.kit import actor, clock, jobs, periodic, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support.servers import Sandbox, deliver

PASSWORD = "correct horse battery staple 9"
VISA = "4242424242424242"


@dataclass(frozen=True)
class Somebody:
    """A vendor of a story, with its owner."""

    id: int
    code: str
    email: str
    actor: Actor


def push_catalog() -> None:
    """Let Stripe know the catalog."""
    catalog_flows.push(stripe.current(), dry_run=False)


def signs_up(tier: str | None = "professional", email: str = "ada@shop.example", name: str = "Ada's Shop") -> Somebody:
    """Register and let the jobs run."""
    registration = accounts.prepare(
        business_name=name, name="Ada Lovelace", email=email, password=PASSWORD, tier_code=tier, cycle=Cycle.MONTHLY
    )
    with unit_of_work():
        made = accounts.register(registration, now=clock.business())
        somebody = Somebody(made.vendor.id, made.vendor.code, email, actor.user(made.user.id, made.user.name))
    jobs.run_all()
    return somebody


def opens_checkout(who: Somebody, tier: str = "professional", cycle: Cycle = Cycle.MONTHLY) -> str:
    """Open the Checkout page; gives its address."""
    price = catalog.offer(tier, cycle)
    assert price is not None
    back = f"http://localhost/vendor/{who.code}/billing"
    addresses = Addresses(f"{back}/done?session_id={{CHECKOUT_SESSION_ID}}", back)
    with tenancy.scoped(who.id):
        return checkout.start(who.id, price.id, addresses, actor=who.actor)


class _Form(HTMLParser):
    """The first form of a page that has a card number: its address and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if tag == "form" and not self.action:
            self.action = a.get("action", "")
        if tag == "input" and a.get("type") == "hidden":
            self.fields[a["name"]] = a.get("value", "")


def pays(url: str, card: str = VISA) -> requests.Response:
    """Enter a card on a hosted page and send it; gives the answer, redirects not followed."""
    form = _Form()
    form.feed(requests.get(url, timeout=20).text)
    data = {**form.fields, "number": card, "expiry": "12 / 34", "cvc": "123", "name": "Ada Lovelace"}
    return requests.post(urljoin(url, form.action or url), data=data, timeout=20, allow_redirects=False)


def settle(sandbox: Sandbox, client: FlaskClient) -> None:
    """Deliver events and carry out jobs until nothing new happens."""
    while deliver(sandbox, client) + jobs.run_all():
        pass


def lives_on(sandbox: Sandbox, client: FlaskClient, travel: Any, **delta: float) -> None:
    """Let business time pass in steps of six hours; everything happens on its date."""
    end = travel.now.timestamp() + sum({"days": 86400, "hours": 3600}[k] * v for k, v in delta.items())
    while travel.now.timestamp() < end - 1:
        travel.on(seconds=min(6 * 3600, end - travel.now.timestamp()))
        sandbox.run_due()
        with unit_of_work():
            periodic.insert_due()
        settle(sandbox, client)


def stripe_get(sandbox: Sandbox, path: str, **params: str) -> Any:
    """Ask the sandbox as Stripe's own dashboard would."""
    from tests.support.servers import KEY

    return requests.get(f"{sandbox.url}/v1/{path}", params=params, auth=(KEY, ""), timeout=20).json()


def vendor_row(who: Somebody) -> Vendor:
    """The vendor as committed now."""
    return db.session.get_one(Vendor, who.id, populate_existing=True)

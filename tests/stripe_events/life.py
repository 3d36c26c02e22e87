"""Many vendors live the same story at the same time, each with its own order of events.

Stripe's own deliveries are switched off; what it would have sent is kept here, by the class of what it leads to: events
about the same object that wake the same handler are duplicates of one another. One vendor per order instead of one
database per order keeps it quick.
"""

import hashlib
import hmac
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import requests
from flask.testing import FlaskClient

from portal.checkout import flows as checkout
from portal.checkout.models import Order
from portal.kit import jobs, tenancy
from portal.kit.db import db
from tests.support.servers import KEY, WEBHOOK_SECRET, Sandbox
from tests.support.stories import Somebody, opens_checkout, own_card, pays, signs_up

PAGE = "page"
HOOK = "/api/v1/webhooks/stripe"
#: One stage of a story is a list of classes in the order in which their events are handled.
Schedule = tuple[tuple[str, ...], ...]


def signature(body: bytes, *, secret: str = WEBHOOK_SECRET, age: int = 0) -> str:
    """The header that Stripe would send with this body, ``age`` seconds ago."""
    stamp = int(time.time()) - age
    mark = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mark}"


def post(client: FlaskClient, event: dict[str, Any]) -> Any:
    """Deliver one event, freshly signed."""
    body = json.dumps(event).encode()
    return client.post(HOOK, data=body, headers={"Stripe-Signature": signature(body)})


@dataclass
class Life:
    """A vendor with the events that Stripe has for it, oldest first, by class; ``sent`` were delivered."""

    who: Somebody
    schedule: Schedule
    card: str
    customer: str = ""
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    sent: list[str] = field(default_factory=list)
    invoices: list[str] = field(default_factory=list)
    payments: set[str] = field(default_factory=set)

    def hears(self, event: dict[str, Any]) -> None:
        """Keep an event under its class."""
        self.events[self._class_of(event)].append(event)

    def _class_of(self, event: dict[str, Any]) -> str:
        kind, about = event["type"], event["data"]["object"]
        if kind.startswith("checkout.session."):
            return "session"
        if kind.startswith("customer.subscription."):
            return "subscription"
        if kind.startswith("invoice_payment."):
            return "payment"
        if kind.startswith("invoice.") and about.get("id"):
            if about["id"] not in self.invoices:
                self.invoices.append(about["id"])
            return f"invoice {self.invoices.index(about['id']) + 1}"
        if kind.startswith(("refund.", "charge.refund")):
            return "refund"
        if kind.startswith("charge.dispute."):
            return "dispute"
        if about["object"] == "payment_intent":
            self.payments.add(about["id"])
        return "other"


@dataclass
class Cohort:
    """Everybody in one story."""

    client: FlaskClient
    sandbox: Sandbox
    lives: list[Life] = field(default_factory=list)
    _seen: str = ""

    def begin(self, schedules: Sequence[Schedule], *, trial: bool = True) -> None:
        """Everybody signs up, opens Checkout and pays; nobody has heard of it yet."""
        self.sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000_000)
        for number, schedule in enumerate(schedules):
            life = Life(signs_up(email=f"v{number}@shop.example", name=f"Shop {number}"), schedule, own_card(number))
            if not trial:
                end_trial(life.who)
            answer = pays(opens_checkout(life.who), life.card)
            assert answer.status_code == 303, answer.text
            self.lives.append(life)
        self.listen()

    def listen(self) -> None:
        """Fetch what Stripe has to tell since the last time."""
        fresh = list(self._news())
        by_customer = {life.customer: life for life in self.lives if life.customer}
        if not by_customer:
            by_customer = self._customers()
        for event in reversed(fresh):
            about = event["data"]["object"]
            customer = about["id"] if about["object"] == "customer" else about.get("customer")
            if about["object"] == "invoice_payment":
                life = next(each for each in self.lives if about["invoice"] in each.invoices)
                life.hears(event)
            elif customer in by_customer:
                by_customer[customer].hears(event)
            elif about["object"] in ("refund", "dispute"):
                next(each for each in self.lives if about["payment_intent"] in each.payments).hears(event)
        if fresh:
            self._seen = fresh[0]["id"]

    def _customers(self) -> dict[str, Life]:
        from portal.identity import queries as identity

        for life in self.lives:
            vendor = identity.vendor(life.who.id)
            assert vendor is not None
            life.customer = str(vendor.stripe_customer_id)
        db.session.rollback()
        return {life.customer: life for life in self.lives}

    def _news(self) -> Iterator[dict[str, Any]]:
        """Newest first."""
        params: dict[str, Any] = {"limit": 100}
        while True:
            found = requests.get(f"{self.sandbox.url}/v1/events", params=params, auth=(KEY, ""), timeout=20).json()
            for event in found["data"]:
                if event["id"] == self._seen:
                    return
                yield event
            if not found["has_more"]:
                return
            params["starting_after"] = found["data"][-1]["id"]

    def stage(self, number: int) -> None:
        """Everybody's events of this stage are handled, in everybody's own order."""
        for life in self.lives:
            for name in life.schedule[number]:
                self.handle(life, name)

    def handle(self, life: Life, name: str) -> None:
        """Deliver the newest event of a class and carry out what it leads to; or load the success page."""
        if name == PAGE:
            with tenancy.scoped(life.who.id):
                order = db.session.query(Order).filter_by(vendor_id=life.who.id).one().id
                checkout.fulfil(order)
        else:
            assert life.events[name], f"nothing happened yet to {name}"
            answer = post(self.client, life.events[name][-1])
            assert answer.status_code == 200, answer.text
        jobs.run_all()
        life.sent.append(name)


def end_trial(who: Somebody) -> None:
    """Let this vendor's trial be over, as if its days had passed."""
    from portal.kit import clock
    from portal.kit.unit_of_work import unit_of_work
    from portal.subscriptions import service
    from portal.subscriptions.history import lock

    with tenancy.scoped(who.id):
        with unit_of_work():
            lock(who.id).trial_ends_at = clock.business()
        with unit_of_work():
            service.tend_trial(who.id, now=clock.business())
        jobs.run_all()


def every_order(classes: Sequence[str]) -> list[Schedule]:
    """All orders of what is handled in one go."""
    return [(order,) for order in permutations(classes)]


def with_duplicates(schedules: Sequence[Schedule], rng: random.Random) -> list[Schedule]:
    """Each schedule with one of its events a second time, somewhere later; every class has its turn."""
    found = []
    for number, schedule in enumerate(schedules):
        places = [(stage, i) for stage, order in enumerate(schedule) for i in range(len(order))]
        stage, i = places[number % len(places)]
        again = rng.choice([p for p in places if p >= (stage, i)])
        orders = [list(order) for order in schedule]
        orders[again[0]].insert(again[1] + 1, schedule[stage][i])
        found.append(tuple(tuple(order) for order in orders))
    return found


def sampled(stages: Sequence[Sequence[str]], count: int, rng: random.Random) -> list[Schedule]:
    """Ways in which events can be spread over the stages of a story: handled at once, late, or not until the end.

    ``stages`` names the classes that something happened to at each stage. At the last one everything is handled that
    something happened to since it was handled.
    """
    found: set[Schedule] = set()
    while len(found) < count:
        open_, orders = [], []
        for number, news in enumerate(stages):
            open_ = list(dict.fromkeys([*open_, *news]))
            last = number == len(stages) - 1
            chosen = [name for name in open_ if last or rng.random() < 0.5]
            rng.shuffle(chosen)
            open_ = [name for name in open_ if name not in chosen]
            orders.append(tuple(chosen))
        found.add(tuple(orders))
    return sorted(found)


def with_page(schedules: Sequence[Schedule], rng: random.Random) -> list[Schedule]:
    """Each schedule with the success page loaded somewhere, before or after the events."""
    found = []
    for schedule in schedules:
        orders = [list(order) for order in schedule]
        order = rng.choice(orders)
        order.insert(rng.randint(0, len(order)), PAGE)
        found.append(tuple(tuple(order) for order in orders))
    return found

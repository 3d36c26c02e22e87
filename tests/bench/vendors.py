"""Vendors that really signed up and paid: the data that every side starts from."""

from dataclasses import dataclass
from typing import Any

import requests
from flask import Flask

from portal.cli import prepare
from portal.kit.db import db
from tests.bench.ground import KEY, Ground
from tests.support import stories
from tests.support.servers import Sandbox

#: Enough that no single row is the bottleneck, few enough to be made in seconds.
COUNT = 10


@dataclass(frozen=True)
class Cast:
    """Who is there: the vendors, and an event about each of their subscriptions."""

    vendors: list[stories.Somebody]
    events: list[dict[str, Any]]


def settle_in(app: Flask, ground: Ground) -> Cast:
    """Migrate, load and push the catalog, let vendors sign up and pay by card in the sandbox."""
    with app.app_context():
        prepare.migrate()
        prepare.fill_catalog()
        prepare.push_catalog()
        people = [stories.signs_up(email=f"v{n}@shop.example", name=f"Shop {n}") for n in range(COUNT)]
        for somebody in people:
            stories.pays(stories.opens_checkout(somebody))
        stories.settle(Sandbox(ground.sandbox_url), app.test_client())
        db.session.remove()
        db.engine.dispose()
    return Cast(people, _told(ground))


def _told(ground: Ground) -> list[dict[str, Any]]:
    """One ``customer.subscription.updated`` for each subscription: the sandbox's own documents of its making, renamed,
    since nothing has changed on them yet.
    """
    wanted = {"type": "customer.subscription.created", "limit": "100"}
    answer = requests.get(f"{ground.sandbox_url}/v1/events", params=wanted, auth=(KEY, ""), timeout=20)
    answer.raise_for_status()
    told = [
        {
            **event,
            "type": "customer.subscription.updated",
            "data": {"object": event["data"]["object"], "previous_attributes": {"metadata": {}}},
        }
        for event in answer.json()["data"]
    ]
    if len(told) != COUNT:
        raise RuntimeError(f"{COUNT} vendors paid, but {len(told)} subscriptions were made")
    return told

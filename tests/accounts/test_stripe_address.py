"""Stripe writes to the address that the owner has now."""

import pytest
from flask import Flask

from portal.identity import links
from portal.identity import service as identity
from portal.identity.links import Purpose
from portal.identity.models import User, Vendor
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support import people
from tests.support.servers import Sandbox
from tests.support.stories import stripe_get

pytestmark = pytest.mark.usefixtures("unscoped")


def test_a_changed_address_reaches_the_stripe_customer_once(catalog: Flask, sandbox: Sandbox) -> None:
    owner = people.register(email="alice@example.com", business="Kilim House")
    jobs.run_all()
    customer = db.session.get_one(User, owner.user_id)
    opened = links.read(links.make(Purpose.CHANGE_EMAIL, customer, "new@example.com"), Purpose.CHANGE_EMAIL)
    with unit_of_work():
        identity.change_email(opened, keep=None, now=clock.business())
    jobs.run_all()
    customers = stripe_get(sandbox, "customers")["data"]
    assert [(c["email"], c["name"]) for c in customers] == [("new@example.com", "Kilim House")]
    assert db.session.get_one(Vendor, owner.vendor_id, populate_existing=True).stripe_customer_id == customers[0]["id"]

"""The demo: a history that was lived through, up to the present, and can be gone on with when it was interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal.billing.models import Invoice
from portal.checkout.models import Order
from portal.cli import demo, demo_acts, demo_cast, demo_load
from portal.cli.demo_cast import CAST
from portal.credits import queries as credits
from portal.identity import flows as identity
from portal.identity.models import Membership, User, Vendor
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.sandbox.cards import CARDS, plausible
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.meters import Meter, meters
from portal.subscriptions.queries import Overview
from tests.cli.conftest import Run
from tests.support.servers import Sandbox
from tests.support.travel import Travel

BLUEBIRD, KILIM = CAST[-2:]


@pytest.fixture
def fresh(app: Flask, travel: Travel, folder: Path, sandbox_server: Sandbox) -> Iterator[None]:
    """Nothing has happened here yet, and time was never moved."""
    travel.file.unlink()
    sandbox_server.reset()
    with tenancy.unscoped("a test"):
        yield


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last weeks with two of the vendors: one whose card is refused, and the visitor's own."""
    monkeypatch.setattr(demo_load, "CAST", (BLUEBIRD, KILIM))
    monkeypatch.setattr(demo_load, "SPAN", timedelta(days=19))


def state(name: str) -> Overview:
    vendor_id = db.session.scalar(select(Vendor.id).where(Vendor.name == name))
    assert vendor_id is not None, f"{name} is missing"
    found = subscriptions.overview(vendor_id)
    db.session.remove()
    assert found is not None
    return found


def metered(name: str) -> dict[str, Meter]:
    vendor_id = db.session.scalar(select(Vendor.id).where(Vendor.name == name))
    assert vendor_id is not None
    found = meters(vendor_id, state(name).period_start, clock.business())
    return {meter.metric: meter for meter in found}


@pytest.mark.thorough
def test_a_short_demo_ends_in_the_present(fresh: None, short: None, run: Run, travel: Travel) -> None:
    assert run(demo.group, "sign-ins") == (0, "No demo is loaded.\n")
    code, said = run(demo.group, "load")
    assert code == 0, said
    assert "Bluebird Books adds a card" in said
    assert not travel.file.exists()
    assert abs(clock.business() - clock.wall()) < timedelta(seconds=1)

    # Joined 18 days ago: the trial ended after 14, so the first charge, and its refusal, were four days ago.
    bluebird = state("Bluebird Books")
    assert (bluebird.status, bluebird.tier_code) == ("past_due", "essential")
    (invoice,) = db.session.scalars(select(Invoice).where(Invoice.total_minor > 0)).all()
    assert (invoice.status, invoice.due_minor) == ("open", 4900)
    assert timedelta(days=3.5) < clock.business() - invoice.issued_at < timedelta(days=4.5)

    # Joined 9 days ago with 14 days of trial: five are left.
    kilim = state("Kilim House")
    assert (kilim.status, kilim.tier_code, kilim.balance) == ("trial", "professional", 2000)
    assert kilim.trial_ends_at is not None
    assert round((kilim.trial_ends_at - clock.business()) / timedelta(days=1), 1) == 5.0
    # What the days sold, counted here again: 12 a day, more or less, on nine days.
    days = [kilim.started_at + timedelta(days=9 - day - 0.25) for day in range(9)]
    assert metered("Kilim House")["orders"].used == sum(demo_acts.orders_on(KILIM, day) for day in days)
    assert metered("Kilim House")["products"].used == 312
    # The owner and one colleague, who was invited and joined: two seats, two people.
    assert metered("Kilim House")["team_members"].used == 2
    kilims = db.session.scalar(select(Vendor.id).where(Vendor.name == "Kilim House"))
    people = db.session.execute(select(User.name, Membership.role).join(User).where(Membership.vendor_id == kilims))
    assert sorted(map(tuple, people)) == [("Deniz Kaya", "manager"), ("Elif Aydin", "owner")]
    assert credits.verify() == []

    code, said = run(demo.group, "sign-ins")
    for address in (demo_cast.OWNER_EMAIL, demo_cast.ADMIN_EMAIL):
        assert address in said
        assert identity.prove(address, demo_cast.PASSWORD).email_verified_at is not None
    assert run(demo.group, "load") == (0, "The demo is loaded already.\n")


@pytest.mark.thorough
def test_an_interrupted_load_goes_on_where_it_stopped(
    fresh: None, short: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = replace(BLUEBIRD, joined=4, pays_after=1)
    monkeypatch.setattr(demo_load, "CAST", (early, replace(KILIM, joined=2)))
    monkeypatch.setattr(demo_load, "SPAN", timedelta(days=5))
    real = demo_acts.pay

    def power_cut(vendor: demo_cast.Vendor) -> None:
        real(vendor)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_acts, "pay", power_cut)
    assert run(demo.group, "load")[0] == 1
    assert demo_load.under_way()
    assert not demo_load.is_loaded()
    monkeypatch.setattr(demo_acts, "pay", real)
    code, said = run(demo.group, "load")
    assert code == 0, said
    assert demo_load.is_loaded()
    assert (state("Bluebird Books").status, state("Bluebird Books").provider) == ("active", "stripe")
    assert db.session.query(Vendor).count() == 2
    assert [order.state for order in db.session.query(Order)] == ["fulfilled"]


def test_refused_where_vendors_live_and_in_production(
    catalog: Flask, travel: Travel, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run(demo.group, "load")
    assert code == 1
    assert "needs an installation without vendors" in said
    monkeypatch.setattr(catalog.extensions["portal_config"], "app_env", "production")
    assert "production has no demo" in run(demo.group, "load")[1]
    assert db.session.query(Vendor).count() == 0


def test_every_card_is_one_persons_and_the_visitors_are_left_free() -> None:
    cards = [vendor.card for vendor in CAST if vendor.card]
    assert len(set(cards)) == len(cards)
    assert all(plausible(card) for card in cards)
    # One card that fails is needed; the others must not be those that a visitor finds on the sandbox's page.
    assert [card for card in cards if card in CARDS] == ["4000000000000341"]


@pytest.mark.soak
def test_the_whole_demo_shows_every_standing(fresh: None, run: Run) -> None:
    code, said = run(demo.group, "load")
    assert code == 0, said
    found = {vendor.name: state(vendor.name) for vendor in CAST}
    assert {name: (view.status, view.tier_code, str(view.cycle)) for name, view in found.items()} == {
        "Saffron & Sons": ("active", "essential", "monthly"),
        "Nordlicht Ceramics": ("active", "professional", "monthly"),
        "Atlas Outdoor": ("active", "business", "yearly"),
        "Meridian Living": ("active", "professional", "monthly"),
        "Fjord Coffee": ("active", "business", "monthly"),
        "Otto's Bikes": ("trial_ended", "professional", "monthly"),
        "Bluebird Books": ("past_due", "essential", "monthly"),
        "Kilim House": ("trial", "professional", "monthly"),
    }
    # Limit 100 orders, ceiling 96; 20 days of the month at about five a day have reached it.
    assert metered("Saffron & Sons")["orders"].used in range(80, 97)
    assert metered("Saffron & Sons")["products"].used == 188
    assert metered("Atlas Outdoor")["products"].unlimited
    pending = found["Fjord Coffee"].pending
    assert pending is not None
    assert (pending.tier_name, pending.by) == ("Professional", demo_cast.ADMIN_NAME)
    assert credits.verify() == []

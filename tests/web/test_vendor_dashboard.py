"""Am I all right, and what next?"""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from portal.identity.models import Vendor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import settle
from tests.web.test_vendor_checkout import member, owner, pays_through

pytestmark = pytest.mark.usefixtures("unscoped")


def test_a_new_vendor_sees_its_trial_its_checklist_and_what_happened(client: FlaskClient) -> None:
    people.sign_up(client)
    page = text_of(client.get("/dashboard"))
    assert "Professional trial, 14 days left. Nothing is charged unless you add a payment method." in page
    assert "Done 2 of 3" in page and "To do: Add a payment method" in page
    assert "Trial started Until 29 January 2027, without a card." in page
    assert "2,000 ready to use" in page


def test_the_checklist_goes_when_all_is_done(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    page = text_of(client.get("/dashboard"))
    assert "Getting started" not in page
    assert "Professional, next charge €99.00 on 29 January 2027." in page
    assert "Payment method added First charge on 29 January 2027." in page


def test_the_stage_is_the_operators_word(client: FlaskClient) -> None:
    who = people.sign_up(client)
    with unit_of_work() as session:
        session.get_one(Vendor, who.vendor_id).stage = "deployed"
    html = client.get("/dashboard").get_data(as_text=True)
    current = html.split('aria-current="step">')[1].split("</li>")[0]
    assert current.endswith("Deployed")


def test_a_member_is_not_asked_to_pay(client: FlaskClient) -> None:
    who = people.sign_up(client)
    page = text_of(member(client, who.vendor_id).get("/dashboard"))
    assert "Professional trial" in page
    assert "Add payment method" not in page and "Change plan" not in page and "Getting started" not in page


def test_an_address_that_waits_to_be_confirmed_leads_to_the_waiting_page(client: FlaskClient) -> None:
    people.sign_up(client, verified=False)
    answer = client.get("/dashboard")
    assert answer.status_code == 303 and answer.location == "/verify?why=unverified"


def test_history_that_cannot_be_read_says_so(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        db.session.execute(text("SELECT nothing FROM nowhere"))

    people.sign_up(client)
    monkeypatch.setattr("portal.subscriptions.queries.history", fails)
    page = text_of(client.get("/dashboard"))
    assert "Recent activity Unavailable right now" in page and "2,000 ready to use" in page

"""Leaving to pay and coming back: the page tells what is true, and nothing happens twice (SUB-3)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.catalog import queries as catalog
from portal.catalog.models import SubscriptionTier
from portal.catalog.rules import Cycle
from portal.checkout.models import Order
from portal.gateways import stripe
from portal.identity import passwords
from portal.identity import service as identity
from portal.identity.models import Membership
from portal.identity.rules import Role
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import Status
from tests.support import people
from tests.support.people import PASSWORD, Someone, post, text_of
from tests.support.scenes import Scene
from tests.support.servers import KEY, Sandbox
from tests.support.stories import VISA, lives_on, pays, push_catalog, settle
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
DECLINED, FAILS_LATER = "4000000000000002", "4000000000000341"
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def owner(client: FlaskClient, **about: Any) -> Someone:
    """A vendor in its trial whose owner is signed in, with Stripe knowing the catalog and the customer."""

    def in_trial() -> Someone:
        push_catalog()
        person = people.sign_up(client, **about)
        jobs.run_all()
        return person

    return Scene.of(client).from_the_start(f"an owner {sorted(about.items())}", in_trial)


def member(client: FlaskClient, vendor_id: int, role: Role = Role.MEMBER) -> FlaskClient:
    """Another browser, in which somebody with this role for the vendor is signed in."""
    hashed, email = passwords.hashed(PASSWORD), f"{role}@example.com"
    with unit_of_work() as session:
        user = identity.create_user(email, "Bob Helper", password_hash=hashed, locale="en", now=clock.business())
        user.email_verified_at = clock.business()
        session.add(Membership(vendor_id=vendor_id, user_id=user.id, role=role, created_at=clock.business()))
    other = client.application.test_client()
    people.sign_in(other, email)
    return other


def price_id(tier: str, cycle: Cycle = Cycle.MONTHLY) -> int:
    found = catalog.offer(tier, cycle)
    assert found is not None
    return found.id


def leaves(client: FlaskClient, who: Someone, **data: object) -> TestResponse:
    return post(client, f"/vendor/{who.code}/billing/checkout", data or {"price": price_id("professional")})


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def pays_through(client: FlaskClient, who: Someone, *, card: str = VISA, **data: object) -> str:
    """Leave, pay, and give the path that Stripe sends the browser back to; no event was delivered yet."""
    back = pays(str(leaves(client, who, **data).location), card)
    assert back.status_code == 303
    return path_of(back.headers["Location"])


@pytest.fixture
def stripe_is_away() -> Iterator[None]:
    """Nobody listens where Stripe should be; afterwards the sandbox does again."""
    before = stripe.current()
    stripe.configure(KEY, "http://127.0.0.1:9", 0)
    yield
    stripe.configure(before._key, before._base, before._retries)


def test_paying_in_a_trial_tells_the_first_charge_before_any_event(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    who = owner(client)
    travel.on(days=4)
    page = client.get(pays_through(client, who), follow_redirects=True)
    # The trial of 14 days began on 15 January; ten days are left.
    assert "Payment method added, Professional is active" in text_of(page)
    assert "10 days are still free. The first charge is €99.00 on 29 January 2027." in text_of(page)
    assert subscriptions.held(who.vendor_id).status == Status.ACTIVE


def test_the_page_says_the_same_after_the_event_and_when_opened_again(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    who = owner(client)
    back = pays_through(client, who)
    settle(sandbox, client)
    first, second = text_of(client.get(back)), text_of(client.get(back))
    assert first == second
    assert "14 days are still free" in first
    assert db.session.scalars(select(Order.state)).all() == ["fulfilled"]


def test_an_unpaid_page_activates_nothing(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    leaves(client, who)
    session_id = db.session.scalars(select(Order.stripe_session_id)).one()
    page = client.get(f"/vendor/{who.code}/billing/done?session_id={session_id}")
    assert "No payment has arrived yet" in text_of(page) and "Look again" in text_of(page)
    assert "load delay:2s" in page.get_data(as_text=True)
    assert subscriptions.held(who.vendor_id).status == Status.TRIAL


def test_the_page_stops_looking_by_itself_and_goes_on_when_the_event_came(
    client: FlaskClient, sandbox: Sandbox
) -> None:
    who = owner(client)
    checkout = str(leaves(client, who).location)
    session_id = db.session.scalars(select(Order.stripe_session_id)).one()
    here = f"/vendor/{who.code}/billing/done?session_id={session_id}"
    assert "load delay" in client.get(f"{here}&look=14", headers=PARTIAL).get_data(as_text=True)
    assert "load delay" not in client.get(f"{here}&look=15", headers=PARTIAL).get_data(as_text=True)
    pays(checkout)
    settle(sandbox, client)
    assert client.get(f"{here}&look=3", headers=PARTIAL).headers["HX-Redirect"] == here


def test_stripe_away_on_return_says_that_we_are_checking(
    client: FlaskClient, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    who = owner(client)
    back = pays_through(client, who)
    request.getfixturevalue("stripe_is_away")
    page = client.get(back)
    assert page.status_code == 200
    assert "We are checking with Stripe" in text_of(page)
    assert "If you have paid, nothing is lost" in text_of(page)


def test_stripe_away_on_leaving_charges_nothing_and_leads_back(
    client: FlaskClient, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    who = owner(client)
    request.getfixturevalue("stripe_is_away")
    answer = leaves(client, who)
    assert answer.status_code == 503
    assert "Back to billing" in text_of(answer)
    assert subscriptions.held(who.vendor_id).status == Status.TRIAL


def test_two_clicks_lead_to_the_same_page(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    assert leaves(client, who).location == leaves(client, who).location
    assert len(db.session.scalars(select(Order.id)).all()) == 1


def test_a_declined_card_changes_nothing_and_the_next_one_pays(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    url = str(leaves(client, who).location)
    assert "Location" not in pays(url, DECLINED).headers
    settle(sandbox, client)
    assert subscriptions.held(who.vendor_id).status == Status.TRIAL
    assert leaves(client, who).location == url
    assert "Professional is active" in text_of(
        client.get(path_of(pays(url).headers["Location"]), follow_redirects=True)
    )


def test_closing_the_page_says_that_nothing_was_charged(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    leaves(client, who)
    page = client.get(f"/vendor/{who.code}/billing?checkout=cancelled")
    assert "Nothing was charged, and your plan is as it was. Try again" in text_of(page)


def test_an_expired_page_offers_to_try_again(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    leaves(client, who)
    session_id = db.session.scalars(select(Order.stripe_session_id)).one()
    lives_on(sandbox, client, travel, hours=2)
    page = text_of(client.get(f"/vendor/{who.code}/billing/done?session_id={session_id}"))
    assert "The payment page has expired Nothing was charged" in page and "Try again" in page


def test_what_was_paid_for_less_is_stopped(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    back = pays_through(client, who)
    with unit_of_work() as session:
        session.scalars(select(Order)).one().asked_minor = 19900
    page = text_of(client.get(back, follow_redirects=True))
    assert "This payment does not fit the order" in page
    assert subscriptions.held(who.vendor_id).status == Status.TRIAL


def test_after_the_trial_the_first_charge_is_today(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    lives_on(sandbox, client, travel, days=15)
    page = text_of(client.get(pays_through(client, who, tier="business"), follow_redirects=True))
    # Paid on 30 January: the month ends on 28 February, the last day there is.
    assert "Paid, Business is active Thank you. The next charge is €199.00 on 28 February 2027." in page
    assert "Your trial has ended" not in page, "what surrounds the page is as true as what it says"


def test_the_trial_of_a_card_that_had_one_ends_although_the_page_came_first(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    client.get(pays_through(client, owner(client)))
    other = client.application.test_client()
    who = people.sign_up(other, email="second@example.com", business="Second Shop")
    jobs.run_all()
    page = text_of(other.get(pays_through(other, who), follow_redirects=True))
    # Charged on 15 January, not when the trial would have ended.
    said = "This card had a free trial before, and there is one for each card: the plan is charged from today."
    assert f"{said} The next charge is €99.00 on 15 February 2027." in page and "still free" not in page
    settle(sandbox, client)
    held = subscriptions.held(who.vendor_id)
    assert held.trial_ends_at is None or held.trial_ends_at <= clock.business()
    assert written_to(who) == ["receipt", "trial_card_used", "welcome"], "no first charge on a later day is announced"
    assert "First charge on" not in text_of(other.get("/dashboard"))


def test_where_stripe_does_not_answer_no_old_date_is_told(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    """The free days are over, but Stripe has not said so: neither they nor a first charge after them is promised."""
    client.get(pays_through(client, owner(client)))
    other = client.application.test_client()
    who = people.sign_up(other, email="second@example.com", business="Second Shop")
    jobs.run_all()
    back = pays_through(other, who)
    fault = {"kind": "status", "status": 503, "times": 50, "path": "^POST /v1/subscriptions/"}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    page = text_of(other.get(back, follow_redirects=True))
    said = "This card had a free trial before, and there is one for each card: the plan is charged from today."
    assert f"Payment method added, Professional is active {said} The date of the next charge follows" in page
    assert "still free" not in page and "29 January" not in page and "Nothing is charged today" not in page
    requests.delete(f"{sandbox.url}/_sandbox/faults", timeout=20).raise_for_status()
    settle(sandbox, client)
    assert f"{said} The next charge is €99.00 on 15 February 2027." in text_of(other.get(back))
    travel.on(days=40)  # the renewal was not heard of yet
    late = text_of(other.get(back))
    assert "15 February" not in late and "The date of the next charge follows" in late


def test_a_card_that_had_a_trial_and_fails_is_told_as_one_story(client: FlaskClient, sandbox: Sandbox) -> None:
    client.get(pays_through(client, owner(client), card=FAILS_LATER))
    other = client.application.test_client()
    who = people.sign_up(other, email="second@example.com", business="Second Shop")
    jobs.run_all()
    page = text_of(other.get(pays_through(other, who, card=FAILS_LATER), follow_redirects=True))
    assert "Professional is not paid yet" in page and "That payment did not go through" in page
    assert "is active" not in page and "Pay the open invoice" in page
    settle(sandbox, client)
    assert written_to(who) == ["payment_failed", "trial_card_used", "welcome"]


def written_to(who: people.Someone) -> list[str]:
    kinds = select(SentMail.kind).where(SentMail.vendor_id == who.vendor_id, SentMail.kind != "verification")
    return sorted(db.session.scalars(kinds))


@pytest.mark.parametrize("session_id", ["", "cs_test_nobody", "../../x", "%00", "a" * 300])
def test_a_session_that_nobody_has_is_not_found(client: FlaskClient, sandbox: Sandbox, session_id: str) -> None:
    who = owner(client)
    assert client.get(f"/vendor/{who.code}/billing/done?session_id={session_id}").status_code == 404


def test_somebody_elses_session_is_not_found(client: FlaskClient, sandbox: Sandbox) -> None:
    alice = owner(client)
    back = pays_through(client, alice)
    other = client.application.test_client()
    bob = people.sign_up(other, email="bob@example.com", business="Bobs Books")
    assert other.get(back).status_code == 404
    assert other.get(back.replace(alice.code, bob.code)).status_code == 404


@pytest.mark.parametrize("data", [{}, {"price": "x"}, {"price": "0"}, {"price": str(2**70)}, {"price": "999999"},
                                  {"tier": "nothing"}, {"tier": "enterprise"}, {"tier": "a\0b"}])  # fmt: skip
def test_what_is_not_on_offer_is_not_found(client: FlaskClient, sandbox: Sandbox, data: dict[str, str]) -> None:
    who = owner(client)
    answer = post(client, f"/vendor/{who.code}/billing/checkout", data)
    assert answer.status_code == 404
    assert db.session.scalars(select(Order.id)).all() == []


def test_a_hidden_tier_cannot_be_bought_by_its_price(client: FlaskClient, sandbox: Sandbox) -> None:
    who, business = owner(client), price_id("business")
    with unit_of_work() as session:
        session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "business")).one().is_public = False
    assert leaves(client, who, price=business).status_code == 404
    assert leaves(client, who, tier="business").status_code == 404


def test_who_pays_already_is_led_to_the_change(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    answer = leaves(client, who, tier="business")
    assert answer.status_code == 409
    assert "You pay for a plan already" in text_of(answer)
    assert f'href="/vendor/{who.code}/plans"' in answer.get_data(as_text=True)


def test_members_look_and_managers_buy(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    looks = member(client, who.vendor_id)
    assert looks.get(f"/vendor/{who.code}/billing").status_code == 200
    assert leaves(looks, who).status_code == 403
    assert "owner or a manager" in text_of(looks.get(f"/vendor/{who.code}/billing"))
    assert leaves(member(client, who.vendor_id, Role.MANAGER), who).status_code == 303


def test_without_the_token_of_the_form_nothing_is_opened(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    assert client.post(f"/vendor/{who.code}/billing/checkout", data={"tier": "business"}).status_code == 400
    assert db.session.scalars(select(Order.id)).all() == []

"""Leaving through the page: what it says before, what is true after, and that it can be taken back (SUB-7, SUB-8)."""

import json
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import rendering
from portal.notifications.models import SentMail
from portal.subscriptions import dunning, queries
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Provider, Status
from tests.addons import factory
from tests.kit.conftest import pass_time
from tests.reporting.paid import PARTIAL, sent
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox
from tests.support.stories import settle
from tests.support.travel import Travel
from tests.web.test_vendor_addons import hidden, way
from tests.web.test_vendor_change import paying
from tests.web.test_vendor_checkout import member

__all__ = ["paying"]
pytestmark = pytest.mark.usefixtures("unscoped")


def opened(client: FlaskClient, who: Someone, **headers: str) -> TestResponse:
    return client.get(f"/vendor/{who.code}/cancel", headers=headers or PARTIAL)


def leaves(client: FlaskClient, who: Someone, shown: TestResponse | None = None, **said: Any) -> TestResponse:
    data = {"csrf_token": people.csrf_token(client), **sent(shown or opened(client, who)), **said}
    return client.post(f"/vendor/{who.code}/cancel", data=data, headers=PARTIAL)


def stays(client: FlaskClient, who: Someone) -> TestResponse:
    version = queries.held(who.vendor_id).version
    return people.post(client, f"/vendor/{who.code}/resume", {"base_version": version})


def now(who: Someone) -> queries.Ending:
    db.session.rollback()
    return queries.ending(who.vendor_id)


def test_it_says_what_happens_and_what_does_not(client: FlaskClient, paying: Someone) -> None:
    words = text_of(opened(client, paying))
    assert "Cancel Professional" in words and "Cancel for 28 February 2027" in words and "Keep my plan" in words
    assert "Until 28 February 2027 everything stays as it is" in words
    assert "On 28 February 2027 the product closes and included credits end." in words
    assert "Nothing is deleted." in words and "What is paid for this period is not paid back." in words
    assert "until 28 February 2027 you can take it back" in words
    assert "It costs too much" in words and "We read every line." in words
    assert "Your add-ons" not in words


def test_it_says_what_becomes_of_add_ons_and_of_mail(client: FlaskClient, paying: Someone) -> None:
    """Mailboxes are deleted when they end, so nobody is told that nothing is deleted."""
    factory.addon(paying.vendor_id, factory.product("storage"))
    told = text_of(opened(client, paying))
    assert "Your add-ons end with the plan: Shop window. One that is paid for longer stays until" in told
    assert "Nothing is deleted." in told
    factory.addon(paying.vendor_id, factory.product("mailboxes"))
    told = text_of(opened(client, paying))
    assert "Mailboxes that end are deleted with their mail." in told and "Nothing is deleted." not in told
    assert "Your data, your invoices and bought credits stay" in told and "private key" not in told
    factory.addon(paying.vendor_id, factory.product("certificate"))
    assert "The private key of a certificate that ends is deleted." in text_of(opened(client, paying))


@pytest.mark.parametrize("kind", ["storage", "mailboxes"])
def test_the_mail_says_of_mailboxes_what_the_page_says(
    client: FlaskClient, sandbox: Sandbox, paying: Someone, kind: str
) -> None:
    """Tried once without looking at add-ons: both mails said that nothing is deleted."""
    factory.addon(paying.vendor_id, factory.product(kind))
    leaves(client, paying)
    mail = db.session.scalars(db.select(SentMail).filter_by(kind="cancel_scheduled")).one()
    text = rendering.render(mail).text
    with_mail = kind == "mailboxes"
    assert ("Mailboxes that end are deleted with their mail." in text) == with_mail
    assert ("Nothing is deleted" in text) != with_mail


def test_cancelled_the_billing_page_says_until_when_and_takes_it_back(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    answer = leaves(client, paying, feedback="unused", comment="Quiet year")
    assert answer.status_code == 200
    toast = json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert toast == "Your subscription is cancelled. Everything stays open until 28 February 2027."
    settle(sandbox, client)
    assert (now(paying).at_period_end, now(paying).feedback, now(paying).comment) == (True, "unused", "Quiet year")
    page = text_of(client.get(f"/vendor/{paying.code}/billing"))
    assert "Cancelled for 28 February 2027" in page and "Keep Professional" in page
    assert "your data stays" in page and "nothing is deleted" not in page, "mailboxes are, where there are any"
    assert "Ends on 28 February 2027. Nothing more is charged." in page
    assert "Cancel subscription" not in page
    assert "Cancelled for 28 February 2027" in text_of(client.get("/dashboard")), "the timeline tells it"
    assert "is cancelled already" in text_of(opened(client, paying))

    answer = stays(client, paying)
    assert (answer.status_code, answer.location) == (303, f"/vendor/{paying.code}/billing")
    page = text_of(client.get(f"/vendor/{paying.code}/billing"))
    assert "The cancellation is taken back. Your plan goes on as before." in page
    assert "Next charge: €99.00 on 28 February 2027" in page and "Cancel subscription" in page
    assert stays(client, paying).status_code == 303, "the second click"
    assert not now(paying).at_period_end


def test_going_on_means_it_though_add_ons_told_their_own_meanwhile(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    """Cancelling reaches the add-ons that are charged along a moment later, when the page already shows its button."""
    shown = people.post(client, way(paying, "extra-storage"), {"quantity": "1"}).get_data(as_text=True)
    assert people.post(client, way(paying, "extra-storage"), hidden(shown) | {"quantity": "1"}).status_code == 303
    settle(sandbox, client)
    leaves(client, paying)
    seen = queries.held(paying.vendor_id).version
    settle(sandbox, client)
    assert queries.held(paying.vendor_id).version > seen, "the add-on's end was written down"
    answer = people.post(client, f"/vendor/{paying.code}/resume", {"base_version": seen})
    assert answer.status_code == 303, text_of(answer)
    settle(sandbox, client)
    assert not now(paying).at_period_end
    mine = text_of(client.get(f"/vendor/{paying.code}/addons"))
    assert "Extra storage 10 GB Active" in mine and "Next billing: 28 February 2027" in mine


def test_while_it_is_cancelled_the_tier_cannot_change(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    from tests.web.test_vendor_change import confirms, shows

    shown = shows(client, paying, "business")
    leaves(client, paying)
    settle(sandbox, client)
    version = queries.held(paying.vendor_id).version
    answer = confirms(client, paying, shown, base_version=str(version))
    assert answer.status_code == 409
    assert "Take the cancellation back first" in text_of(answer)
    plans = text_of(client.get(f"/vendor/{paying.code}/plans"))
    assert "Can be chosen when the cancellation is taken back." in plans and "Upgrade today" not in plans
    assert "Change plan" not in text_of(client.get(f"/vendor/{paying.code}/billing"))


def test_a_trial_ends_at_once_and_the_page_says_there_is_no_second(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert "End the trial" in text_of(client.get(f"/vendor/{who.code}/billing"))
    words = text_of(opened(client, who))
    assert "The product closes now." in words and "there is no second trial" in words and "End the trial now" in words
    answer = leaves(client, who)
    assert answer.headers["HX-Redirect"] == f"/vendor/{who.code}/billing"
    page = text_of(client.get(f"/vendor/{who.code}/billing"))
    assert "Your trial has ended. Nothing was charged, and your data is kept." in page
    assert "This subscription has ended" in page and "Choose a plan" in page
    plans = client.get("/dashboard", follow_redirects=True)
    assert plans.request.path == f"/vendor/{who.code}/plans"
    assert "Your subscription has ended. Choose a plan to open everything again" in text_of(plans)
    assert "Pay and open Professional" in text_of(plans)


def test_wrong_input_stays_in_the_form(client: FlaskClient, paying: Someone) -> None:
    answer = leaves(client, paying, comment="x" * 501)
    assert answer.status_code == 422
    assert "Use at most 500 characters." in text_of(answer) and "x" * 501 in answer.get_data(as_text=True)
    assert leaves(client, paying, feedback="because").status_code == 422
    assert leaves(client, paying, base_version="soon").status_code == 422
    assert now(paying).asked_at is None


def test_the_second_of_two_tabs_is_told(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    stale = opened(client, paying)
    leaves(client, paying)
    settle(sandbox, client)
    answer = leaves(client, paying, stale)
    assert answer.status_code == 409
    assert "is cancelled already" in text_of(answer)
    stays(client, paying)
    answer = leaves(client, paying, stale)
    assert answer.status_code == 409
    assert "changed meanwhile" in text_of(answer) and "Cancel for 28 February 2027" in text_of(answer)
    assert not now(paying).at_period_end


def test_where_there_is_nothing_to_cancel_it_says_so(client: FlaskClient) -> None:
    who = people.sign_up(client, tier=None)
    assert "There is nothing to cancel" in text_of(opened(client, who))
    assert leaves(client, who, base_version="1").status_code == 409


def test_members_look_managers_cancel(client: FlaskClient, paying: Someone) -> None:
    bob = member(client, paying.vendor_id)
    assert opened(bob, paying).status_code == 403
    assert people.post(bob, f"/vendor/{paying.code}/cancel", {"base_version": "1"}).status_code == 403
    assert people.post(bob, f"/vendor/{paying.code}/resume", {"base_version": "1"}).status_code == 403
    assert "Cancel subscription" not in text_of(bob.get(f"/vendor/{paying.code}/billing"))


def test_without_javascript_it_is_a_page(client: FlaskClient, paying: Someone) -> None:
    page = client.get(f"/vendor/{paying.code}/cancel")
    assert "<title>Cancel subscription" in page.get_data(as_text=True)
    answer = client.post(f"/vendor/{paying.code}/cancel", data=sent(page))
    assert (answer.status_code, answer.location) == (303, f"/vendor/{paying.code}/billing")
    assert "Your subscription is cancelled." in text_of(client.get(answer.location))


def test_stripe_does_not_answer_the_wish_is_kept(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    fault = {"kind": "status", "status": 503, "times": 20, "path": "POST /v1/subscriptions/"}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    answer = leaves(client, paying)
    assert answer.status_code == 200
    assert "written down, and we go on trying" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert "Your cancellation is on its way" in text_of(client.get(f"/vendor/{paying.code}/billing"))


def test_stripe_does_not_answer_while_it_is_taken_back(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    leaves(client, paying)
    settle(sandbox, client)
    fault = {"kind": "status", "status": 503, "times": 20, "path": "POST /v1/subscriptions/"}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    assert stays(client, paying).status_code == 303
    assert "written down, and we go on trying" in text_of(client.get(f"/vendor/{paying.code}/billing"))
    assert now(paying).at_period_end, "Stripe has not heard of it yet"
    requests.delete(f"{sandbox.url}/_sandbox/faults", timeout=20).raise_for_status()
    pass_time(60)
    settle(sandbox, client)
    assert not now(paying).at_period_end
    assert db.session.query(SentMail).filter_by(kind="resumed").count() == 1


def behind(who: Someone, *, days: float, travel: Travel, grace_over: bool = False) -> None:
    """Unpaid since so many days, as Stripe's renewal would leave it."""
    with unit_of_work():
        row = lock(who.vendor_id)
        row.provider = Provider.STRIPE
        row.status = Status.ACTIVE
        dunning.fall_behind(row, since=travel.now - timedelta(days=days), now=clock.business())


@pytest.mark.parametrize(
    ("days", "banner"),
    [
        # It is 15 January, noon. Unpaid since the 14th, the grace of 7 days ends on the 21st.
        (1, "Pay it by 21 January 2027 to keep everything open."),
        # Since the 11th: the fifth day has begun, and the grace ends on the 18th.
        (4, "Nothing new can be created until it is paid. On 18 January 2027 the product closes."),
    ],
)
def test_the_banner_says_what_closes_when(client: FlaskClient, travel: Travel, days: int, banner: str) -> None:
    who = people.sign_up(client)
    behind(who, days=days, travel=travel)
    words = text_of(client.get("/dashboard"))
    assert "An invoice is unpaid" in words and banner in words and "Pay now" in words


def test_suspended_only_what_helps_to_pay_is_open(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    behind(who, days=8, travel=travel)
    assert queries.held(who.vendor_id).status == Status.SUSPENDED
    closed = client.get("/dashboard")
    assert (closed.status_code, closed.location) == (303, f"/vendor/{who.code}/plans?why=suspended")
    for path in (f"/vendor/{who.code}/billing", f"/vendor/{who.code}/plans?why=suspended", "/profile"):
        page = client.get(path)
        assert page.status_code == 200, path
    assert "suspended because an invoice is unpaid" in text_of(client.get(closed.location))
    billing = text_of(client.get(f"/vendor/{who.code}/billing"))
    assert "Your subscription is suspended" in billing and "Paying opens it again at once." in billing
    assert "Cancel subscription" in billing, "nobody is locked in"
    assert "the subscription ends on that day either way" in text_of(opened(client, who))


def test_a_paid_plan_ends_at_once_where_that_is_said(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    words = text_of(opened(client, paying))
    assert "End it at once instead" in words and "is kept as credit" in words
    assert leaves(client, paying, when="later").status_code == 422
    answer = leaves(client, paying, when="now", feedback="unused")
    assert answer.headers["HX-Redirect"] == f"/vendor/{paying.code}/billing"
    settle(sandbox, client)
    assert now(paying).status == Status.CANCELLED
    page = text_of(client.get(f"/vendor/{paying.code}/billing"))
    assert "Your subscription has ended. Nothing more is charged" in page and "Choose a plan" in page
    assert db.session.query(SentMail).filter_by(kind="cancelled").count() == 1


def test_who_owes_cannot_end_at_once(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    """The open invoice is not left behind by a click: it ends with the period, or staff end it."""
    with unit_of_work():
        subscription = lock(paying.vendor_id)
        subscription.status, subscription.past_due_since = Status.PAST_DUE, clock.business()
    assert "End it at once instead" not in text_of(opened(client, paying))
    assert leaves(client, paying, when="now").status_code == 200
    assert now(paying).at_period_end and now(paying).status != Status.CANCELLED

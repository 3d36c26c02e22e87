"""Cards are added at Stripe, chosen, removed and paid with; the page is true before and after the events (BIL-3)."""

import re
from collections.abc import Callable
from datetime import date

import pytest
import requests
from flask.testing import FlaskClient

from portal.billing import method_rules, methods
from portal.billing.method_rules import Expiry
from portal.billing.methods import Method
from portal.checkout import method_flows
from portal.kit import actor, clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries as settings_queries
from portal.settings import service as settings
from portal.subscriptions import queries as subscriptions
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, pays, settle, stripe_get, stripe_post
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import PARTIAL, owner, pays_through, stripe_is_away
from tests.web.test_vendor_queries import statements

__all__ = ["statements", "stripe_is_away"]
pytestmark = pytest.mark.usefixtures("unscoped")
MASTERCARD = "5555555555554444"
FAILS_LATER = "4000000000000341"
ASKS_ONCE = "4000002500003155"


def here(who: Someone, *more: object) -> str:
    return "/".join([f"/vendor/{who.code}/payment-methods", *map(str, more)])


def kept(who: Someone) -> list[Method]:
    db.session.rollback()
    return methods.of_vendor(who.vendor_id)


def customer_of(who: Someone) -> str:
    return str(subscriptions.held(who.vendor_id).stripe_customer_id)


@pytest.fixture
def ada(client: FlaskClient, sandbox: Sandbox, scene: Scene) -> Someone:
    """An owner whose plan is paid with a Visa card; no event has arrived yet."""

    def has_paid() -> Someone:
        who = owner(client)
        client.get(pays_through(client, who))
        return who

    return scene("paid, and no event has arrived", has_paid)


def adds(client: FlaskClient, who: Someone, card: str = MASTERCARD) -> str:
    """Leave to Stripe, enter a card; gives the address that Stripe leads back to."""
    left = post(client, here(who), {})
    assert left.status_code == 303
    back = pays(left.headers["Location"], card)
    if back.headers.get("Location", "").endswith("/authenticate"):
        url = left.headers["Location"] + "/authenticate"
        back = requests.post(url, data={"answer": "complete"}, timeout=20, allow_redirects=False)
    assert back.status_code == 303, back.text
    return back.headers["Location"].replace("http://localhost", "")


@pytest.mark.parametrize("events_first", [False, True])
def test_a_second_card_is_added_and_nothing_is_charged(
    client: FlaskClient, sandbox: Sandbox, ada: Someone, events_first: bool
) -> None:
    settle(sandbox, client)
    back = adds(client, ada)
    if events_first:
        settle(sandbox, client)
    page = text_of(client.get(back))
    assert "Your card was added Nothing was charged. Your plan is still paid with the other card." in page
    assert "Mastercard ending in 4444" in page and "Visa ending in 4242" in page
    assert page.count("Pays your plan") == 1
    settle(sandbox, client)
    assert [(m.brand, m.last4, m.is_default) for m in kept(ada)] == [
        ("visa", "4242", True),
        ("mastercard", "4444", False),
    ]
    assert stripe_get(sandbox, "charges", customer=customer_of(ada))["data"] == []  # the plan itself is still free


def test_the_events_alone_tell_of_a_card(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    settle(sandbox, client)
    assert [(m.last4, m.is_default) for m in kept(ada)] == [("4242", True)]
    adds(client, ada, ASKS_ONCE)  # and the browser never comes back
    settle(sandbox, client)
    assert [m.last4 for m in kept(ada)] == ["4242", "3155"]


def test_leaving_without_a_card_changes_nothing(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    left = post(client, here(ada), {})
    session = re.search(r"cs_test_\w+", left.headers["Location"])
    assert session
    page = text_of(client.get(f"{here(ada, 'added')}?session_id={session[0]}"))
    assert "No card was added" in page and "Nothing was charged" in page


def test_a_page_of_somebody_else_is_not_there(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    back = adds(client, ada)
    stranger = client.application.test_client()
    bob = people.sign_up(stranger, email="bob@other.example", business="Other House", name="Bob Other")
    session_id = back.rpartition("=")[2]
    assert stranger.get(f"{here(bob, 'added')}?session_id={session_id}").status_code == 404
    settle(sandbox, client)
    method = kept(ada)[0]
    for verb in ("default", "remove", "pay/1"):
        assert post(stranger, here(bob, method.id, verb), {}).status_code == 404
    assert stranger.get(here(bob, method.id, "remove")).status_code == 404


@pytest.mark.thorough
def test_choosing_another_card_charges_the_next_period_to_it(
    client: FlaskClient, sandbox: Sandbox, ada: Someone, travel: Travel
) -> None:
    settle(sandbox, client)
    client.get(adds(client, ada))
    other = next(m for m in kept(ada) if m.last4 == "4444")
    answer = post(client, here(ada, other.id, "default"), {})
    assert answer.status_code == 303
    assert [(m.last4, m.is_default) for m in kept(ada)] == [("4444", True), ("4242", False)]
    held = subscriptions.overview(ada.vendor_id)
    assert held is not None and held.payment_method is not None and held.payment_method["last4"] == "4444"
    lives_on(sandbox, client, travel, days=32, step=48)
    charges = stripe_get(sandbox, "charges", customer=customer_of(ada))["data"]
    assert charges[0]["payment_method_details"]["card"]["last4"] == "4444"
    assert [(m.last4, m.is_default) for m in kept(ada)] == [("4444", True), ("4242", False)]


def test_what_pays_a_running_plan_is_not_removed(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    settle(sandbox, client)
    (only,) = kept(ada)
    question = text_of(client.get(here(ada, only.id, "remove")))
    assert "This card cannot be removed now" in question and "It is the only one" in question
    refused = post(client, here(ada, only.id, "remove"), {})
    assert refused.status_code == 409 and "Add another one first" in text_of(refused)
    client.get(adds(client, ada))
    refused = post(client, here(ada, only.id, "remove"), {})
    assert refused.status_code == 409 and "Choose another one for that first" in text_of(refused)
    assert len(stripe_get(sandbox, f"customers/{customer_of(ada)}/payment_methods")["data"]) == 2


def test_removing_a_spare_card_makes_stripe_forget_it(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    settle(sandbox, client)
    client.get(adds(client, ada))
    spare = next(m for m in kept(ada) if not m.is_default)
    modal = client.get(here(ada, spare.id, "remove"), headers=PARTIAL).get_data(as_text=True)
    assert "Remove this card?" in modal and "<html" not in modal
    done = client.post(here(ada, spare.id, "remove"), data={"csrf_token": people.csrf_token(client)}, headers=PARTIAL)
    assert done.status_code == 200 and "methods-changed" in done.headers["HX-Trigger"]
    assert [m.last4 for m in kept(ada)] == ["4242"]
    (left,) = stripe_get(sandbox, f"customers/{customer_of(ada)}/payment_methods")["data"]
    assert left["card"]["last4"] == "4242"
    assert post(client, here(ada, spare.id, "remove"), {}).status_code == 404


def test_a_new_card_pays_the_open_invoice(client: FlaskClient, sandbox: Sandbox, ada: Someone, travel: Travel) -> None:
    settle(sandbox, client)
    bad = stripe_post(sandbox, "payment_methods/pm_card_chargeCustomerFail/attach", customer=customer_of(ada))["id"]
    subscription = str(subscriptions.held(ada.vendor_id).stripe_subscription_id)
    stripe_post(sandbox, f"subscriptions/{subscription}", default_payment_method=bad)
    lives_on(sandbox, client, travel, days=15, step=48)
    assert subscriptions.held(ada.vendor_id).status == "past_due"
    assert next((m.last4, m.is_default) for m in kept(ada)) == ("0341", True)
    page = client.get(adds(client, ada))
    assert "Pay €99.00 now with this card" in text_of(page)
    action = re.search(r'action="([^"]+/pay/\d+)"', page.get_data(as_text=True))
    assert action
    failing = re.sub(r"/payment-methods/\d+/", f"/payment-methods/{kept(ada)[0].id}/", action[1])
    refused = post(client, failing, {})
    assert refused.status_code == 402 and "Pay or confirm at Stripe" in text_of(refused)
    paid = post(client, action[1], {})
    assert paid.status_code == 303 and paid.headers["Location"] == f"/vendor/{ada.code}/billing"
    held = subscriptions.held(ada.vendor_id)
    assert held.status == "active"
    assert next((m.last4, m.is_default) for m in kept(ada)) == ("4444", True)
    jobs.run_all()
    again = post(client, action[1], {})
    assert again.status_code == 303
    invoices = stripe_get(sandbox, "invoices", subscription=subscription)["data"]
    assert [i["status"] for i in invoices] == ["paid", "paid"]


def test_what_the_bank_renews_and_what_changes_in_stripes_dashboard_is_followed(
    client: FlaskClient, sandbox: Sandbox, ada: Someone
) -> None:
    settle(sandbox, client)
    (card,) = kept(ada)
    before = card.exp_year or 0
    sandbox.post(f"/_sandbox/objects/{card.reference}/renew")
    settle(sandbox, client)
    assert kept(ada)[0].exp_year == before + 4
    held = subscriptions.overview(ada.vendor_id)
    assert held is not None and held.payment_method is not None
    assert held.payment_method["exp"] == f"12/{before + 4}"
    other = stripe_post(sandbox, "payment_methods/pm_card_mastercard/attach", customer=customer_of(ada))["id"]
    subscription = str(subscriptions.held(ada.vendor_id).stripe_subscription_id)
    stripe_post(sandbox, f"subscriptions/{subscription}", default_payment_method=other)
    settle(sandbox, client)
    assert [(m.last4, m.is_default) for m in kept(ada)] == [("4444", True), ("4242", False)]
    stripe_post(sandbox, f"payment_methods/{card.reference}/detach")
    settle(sandbox, client)
    assert [m.last4 for m in kept(ada)] == ["4444"]


def test_before_a_plan_is_paid_adding_a_card_takes_up_the_plan(client: FlaskClient, sandbox: Sandbox) -> None:
    who = people.sign_up(client)
    page = client.get(here(who))
    assert "No payment method yet" in text_of(page) and "takes up your plan" in text_of(page)
    assert f'action="/vendor/{who.code}/billing/checkout"' in page.get_data(as_text=True)


def test_without_any_event_the_page_asks_stripe_itself(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> None:
    page = text_of(client.get(here(ada)))
    assert "Visa ending in 4242" in page and "Pays your plan" in page


def test_where_cards_are_not_taken_none_is_asked_for(client: FlaskClient, sandbox: Sandbox) -> None:
    who = people.sign_up(client)
    with unit_of_work():
        settings.change("pay_by_stripe", "hidden", actor=actor.SYSTEM, now=clock.business())
    settings_queries.forget()
    page = client.get(here(who))
    assert "Cards are not taken here" in text_of(page) and "Add payment method" not in text_of(page)


@pytest.fixture
def a_card(client: FlaskClient, sandbox: Sandbox, ada: Someone) -> Method:
    """Ada's card, known by its event."""
    settle(sandbox, client)
    return kept(ada)[0]


def test_stripe_is_silent(client: FlaskClient, ada: Someone, a_card: Method, stripe_is_away: None) -> None:
    answer = post(client, here(ada), {})
    assert answer.status_code == 503 and "nothing was changed" in text_of(answer)
    chosen = post(client, here(ada, a_card.id, "default"), {})
    assert chosen.status_code == 503 and "nothing was changed" in text_of(chosen)
    came_back = text_of(client.get(f"{here(ada, 'added')}?session_id=cs_test_x"))
    assert "Stripe does not answer right now" in came_back


def test_what_the_page_costs(ada: Someone, a_card: Method, statements: Callable[..., int]) -> None:
    # one for who looks, one for the plan, one for the methods
    assert statements(here(ada)) <= 3
    assert statements(here(ada, "list"), **PARTIAL) <= 2


@pytest.mark.parametrize(
    ("month", "year", "today", "expected"),
    [
        (3, 2027, date(2027, 1, 31), Expiry.FINE),  # two months ahead
        (2, 2027, date(2027, 1, 1), Expiry.SOON),
        (1, 2027, date(2027, 1, 31), Expiry.SOON),  # works until the last day of its month
        (12, 2026, date(2027, 1, 1), Expiry.OVER),
        (1, 2027, date(2026, 12, 31), Expiry.SOON),  # over the turn of the year
        (None, None, date(2027, 1, 1), Expiry.FINE),
    ],
)
def test_when_a_card_runs_out(month: int | None, year: int | None, today: date, expected: Expiry) -> None:
    assert method_rules.expiry(month, year, today) == expected


def test_an_older_answer_of_stripes_never_overwrites_a_newer_one(
    client: FlaskClient, sandbox: Sandbox, ada: Someone, a_card: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one answer is on its way, the card is changed at Stripe and mirrored by somebody else."""
    real, calls = method_flows._fetch, []
    subscription = str(subscriptions.held(ada.vendor_id).stripe_subscription_id)
    db.session.rollback()

    def slow(holder: method_flows.Holder) -> object:
        found = real(holder)
        calls.append(found)
        if len(calls) == 1:
            other = stripe_post(sandbox, "payment_methods/pm_card_mastercard/attach", customer=customer_of(ada))["id"]
            stripe_post(sandbox, f"subscriptions/{subscription}", default_payment_method=other)
            method_flows.mirror(ada.vendor_id)
        return found

    monkeypatch.setattr(method_flows, "_fetch", slow)
    method_flows.mirror(ada.vendor_id)
    assert [(m.last4, m.is_default) for m in kept(ada)] == [("4444", True), ("4242", False)]
    assert len(calls) == 3  # the old answer, the other's, and the old one's second look

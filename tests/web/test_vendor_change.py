"""Changing a paid plan: previewed to the cent, confirmed once, refused when it is not what was shown (SUB-4, SUB-5)."""

import re
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog import service as prices
from portal.catalog.rules import Cycle, IncludedAddon, Metric
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import TierChange
from portal.subscriptions.rules import Status
from portal.web.vendor.addon_choices import AddonChoice
from tests.support.people import Someone, post, text_of
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, push_catalog, settle, stripe_post, uses_its_domain
from tests.support.travel import Travel
from tests.web.test_vendor_billing import stands, uses
from tests.web.test_vendor_checkout import PARTIAL, owner, pays_through, price_id, stripe_is_away

__all__ = ["stripe_is_away"]
pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def paying(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene) -> Someone:
    """Professional, paid since 29 January; it is 5 February, noon, and the period ends on 28 February."""

    def three_weeks() -> Someone:
        who = owner(client)
        client.get(pays_through(client, who))
        settle(sandbox, client)
        lives_on(sandbox, client, travel, days=21)
        return who

    return scene("paying for Professional", three_weeks)


def shows(client: FlaskClient, who: Someone, tier: str, cycle: Cycle = Cycle.MONTHLY, **query: Any) -> TestResponse:
    where = f"/vendor/{who.code}/plans/change"
    return client.get(where, query_string={"price": price_id(tier, cycle), **query}, headers=PARTIAL)


def fields(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the confirmation, as a browser would send them."""
    html = page.get_data(as_text=True)
    return dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', html))


def confirms(client: FlaskClient, who: Someone, page: TestResponse, **other: Any) -> TestResponse:
    """Send what the page shows, every question answered (what is lost is known, add-ons end)."""
    ends = re.findall(r'name="(addon-[a-z0-9-]+)" value="end"', page.get_data(as_text=True))
    sent = {"understood": "y", **dict.fromkeys(ends, "end"), **fields(page), **other}
    sent.pop("csrf_token", None)
    return post(client, f"/vendor/{who.code}/plans/change", sent)


def tier_of(who: Someone) -> str:
    found = subscriptions.overview(who.vendor_id)
    assert found is not None
    return found.tier_code


def test_the_modal_offers_the_tiers_and_works_as_a_page(client: FlaskClient, paying: Someone) -> None:
    where = f"/vendor/{paying.code}/plans/change"
    fragment, page = client.get(where, headers=PARTIAL), client.get(where)
    assert "<html" not in fragment.get_data(as_text=True) and "<html" in page.get_data(as_text=True)
    for answer in (fragment, page):
        assert "Switch on 28 Feb 2027" in text_of(answer) and "Upgrade today" in text_of(answer)


def test_an_upgrade_charges_what_was_shown(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    page = shows(client, paying, "business")
    due = int(fields(page)["due_minor"])
    # 29 January to 28 February, noon to noon: 30 days, of which 23 are left (and nothing but seconds less).
    # Credit 9900 × 23/30 = 7590, charge 19900 × 23/30 = 15256.67: due 7666 or 7667, a cent less a few minutes on.
    assert abs(due - 7667) <= 2
    assert f"Pay €{due / 100:.2f} and upgrade" in text_of(page)
    assert "From 28 February 2027, per month €199.00" in text_of(page)
    assert "Orders: 2,000 a month instead of 500" in text_of(page)
    answer = confirms(client, paying, page)
    assert answer.status_code == 303, text_of(answer)
    settle(sandbox, client)
    assert tier_of(paying) == "business"
    charged = db.session.scalars(select(Invoice).where(Invoice.reason == "subscription_update")).one()
    assert (charged.status, charged.total_minor) == ("paid", due)
    assert "You are on Business now." in text_of(client.get(str(answer.location)))


def test_an_upgrade_in_the_modal_loads_the_whole_page_anew(client: FlaskClient, paying: Someone) -> None:
    sent = fields(shows(client, paying, "business"))
    answer = client.post(f"/vendor/{paying.code}/plans/change", data=sent, headers=PARTIAL)
    assert answer.headers["HX-Redirect"] == f"/vendor/{paying.code}/billing"
    page = text_of(client.get(answer.headers["HX-Redirect"]))
    assert "You are on Business now." in page and "Email package Included in Business" in page


def test_a_planned_change_in_the_modal_closes_it_and_wakes_the_regions(client: FlaskClient, paying: Someone) -> None:
    sent = {**fields(shows(client, paying, "essential")), "understood": "y"}
    answer = client.post(f"/vendor/{paying.code}/plans/change", data=sent, headers=PARTIAL)
    assert answer.status_code == 200
    for happened in ("modal:close", "subscription-changed", "Your plan changes to Essential on 28 February 2027."):
        assert happened in answer.headers["HX-Trigger"]


def test_a_form_that_was_opened_as_a_page_leads_back(client: FlaskClient, paying: Someone) -> None:
    """With JavaScript, but opened in a tab of its own: no modal could be closed, and the form must not stay."""
    sent = {**fields(shows(client, paying, "essential")), "understood": "y"}
    address = f"/vendor/{paying.code}/plans/change"
    shown = {**PARTIAL, "HX-Current-URL": f"http://localhost{address}?tier=essential"}
    answer = client.post(address, data=sent, headers=shown)
    assert answer.headers["HX-Redirect"] != address and "HX-Trigger" not in answer.headers
    assert "Your plan changes to Essential on 28 February 2027." in text_of(client.get(answer.headers["HX-Redirect"]))


def test_an_amount_that_was_not_shown_is_not_charged(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    page = shows(client, paying, "business")
    answer = confirms(client, paying, page, due_minor="1")
    assert answer.status_code == 409
    assert "The amount has changed since you looked" in text_of(answer)
    assert "Pay €76.6" in text_of(answer), "the new figure stands on the button"
    assert tier_of(paying) == "professional"
    assert db.session.scalars(select(TierChange.id)).all() == []


def test_what_was_left_open_over_night_is_asked_again(
    client: FlaskClient, paying: Someone, sandbox: Sandbox, travel: Travel
) -> None:
    page = shows(client, paying, "business")
    travel.on(days=1)
    answer = confirms(client, paying, page)
    # A day later 22 of 30 days are left: 19900 × 22/30 − 9900 × 22/30 = 14593 − 7260 = 7333.
    assert answer.status_code == 409 and "it is €73.33 now" in text_of(answer)
    again = confirms(client, paying, answer)
    assert again.status_code == 303
    assert tier_of(paying) == "business"


def test_a_downgrade_waits_shows_the_losses_and_can_be_undone(
    client: FlaskClient, paying: Someone, sandbox: Sandbox, travel: Travel
) -> None:
    uses(paying, Metric.TEAM_MEMBERS, 2)  # beside the owner's own seat
    page = shows(client, paying, "essential", when="now")
    assert fields(page)["when"] == "next", "for vendors a step down always waits"
    assert "Due today €0.00 From 28 February 2027, per month €49.00" in text_of(page)
    assert "Team members: 3 in use, 1 allowed" in text_of(page) and "Nothing is deleted" in text_of(page)
    done = confirms(client, paying, page)
    assert "Your plan changes to Essential on 28 February 2027." in text_of(client.get(str(done.location)))
    billing = text_of(client.get(f"/vendor/{paying.code}/billing"))
    assert "Changes to Essential on 28 February 2027" in billing and "Asked for by Alice Owner." in billing
    assert "Next charge: €49.00 on 28 February 2027" in billing
    assert "Planned for 28 Feb 2027" in text_of(client.get(f"/vendor/{paying.code}/plans"))
    version = subscriptions.held(paying.vendor_id).version
    undone = post(client, f"/vendor/{paying.code}/plans/undo", {"base_version": version})
    assert undone.status_code == 303
    lives_on(sandbox, client, travel, days=24)
    assert tier_of(paying) == "professional"


@pytest.mark.thorough
def test_a_planned_downgrade_happens_on_its_day(
    client: FlaskClient, paying: Someone, sandbox: Sandbox, travel: Travel
) -> None:
    confirms(client, paying, shows(client, paying, "essential"))
    assert tier_of(paying) == "professional"
    lives_on(sandbox, client, travel, days=24)
    assert tier_of(paying) == "essential"


def test_a_downgrade_cannot_be_forced_to_happen_now(client: FlaskClient, paying: Someone) -> None:
    answer = confirms(client, paying, shows(client, paying, "essential"), when="now")
    assert answer.status_code == 422 and "always begins at the end of the period" in text_of(answer)
    assert db.session.scalars(select(TierChange.id)).all() == []


def test_yearly_to_monthly_waits_and_monthly_to_yearly_need_not(client: FlaskClient, paying: Someone) -> None:
    yearly = shows(client, paying, "professional", Cycle.YEARLY)
    assert fields(yearly)["when"] == "now"
    assert confirms(client, paying, yearly).status_code == 303
    assert fields(shows(client, paying, "professional", Cycle.MONTHLY, when="now"))["when"] == "next"


def test_an_upgrade_may_wait_for_the_next_cycle(client: FlaskClient, paying: Someone) -> None:
    page = shows(client, paying, "business", when="next")
    assert "Due today €0.00" in text_of(page) and "Switch on 28 February 2027" in text_of(page)
    assert confirms(client, paying, page).status_code == 303
    assert tier_of(paying) == "professional"


def test_of_two_people_the_second_is_told(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    first, second = shows(client, paying, "essential"), shows(client, paying, "business", when="next")
    assert confirms(client, paying, first).status_code == 303
    answer = confirms(client, paying, second)
    assert answer.status_code == 409 and "Your plan was changed meanwhile" in text_of(answer)
    waiting = db.session.scalars(select(TierChange.to_price_id).where(TierChange.state == "scheduled")).all()
    assert waiting == [price_id("essential")]


def test_the_same_confirmation_sent_twice_charges_once(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    page = shows(client, paying, "business")
    assert confirms(client, paying, page).status_code == 303
    assert confirms(client, paying, page).status_code == 404, "it is the plan that is held now"
    settle(sandbox, client)
    assert len(db.session.scalars(select(Invoice.id).where(Invoice.reason == "subscription_update")).all()) == 1


def test_without_stripe_there_is_no_figure_and_nothing_to_confirm(
    client: FlaskClient, paying: Someone, request: pytest.FixtureRequest
) -> None:
    sent = fields(shows(client, paying, "business"))
    request.getfixturevalue("stripe_is_away")
    page = shows(client, paying, "business")
    assert page.status_code == 200 and "the amount is not known" in text_of(page) and "Try again" in text_of(page)
    assert "due_minor" not in fields(page)
    answer = client.post(f"/vendor/{paying.code}/plans/change", data=sent)
    assert answer.status_code == 503 and "Nothing was changed" in text_of(answer)
    assert db.session.scalars(select(TierChange.id)).all() == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 422),
        ({"price": "x"}, 422),
        ({"when": "yesterday"}, 422),
        ({"base_version": ""}, 422),
        ({"price": "999999"}, 404),
        ({"price": str(2**80)}, 404),
    ],
)
def test_what_does_not_fit_is_refused(client: FlaskClient, paying: Someone, sent: dict[str, str], status: int) -> None:
    good = fields(shows(client, paying, "business", when="next"))
    data = {**good, **sent} if sent else {"csrf_token": good["csrf_token"]}
    answer = client.post(f"/vendor/{paying.code}/plans/change", data=data)
    assert answer.status_code == status
    assert db.session.scalars(select(TierChange.id)).all() == []


@pytest.mark.parametrize("status", [Status.PAST_DUE, Status.SUSPENDED])
def test_while_an_invoice_is_unpaid_the_way_leads_to_billing(
    client: FlaskClient, paying: Someone, status: Status
) -> None:
    stands(paying, status)
    answer = shows(client, paying, "business")
    assert answer.status_code == 409 and "An invoice is unpaid" in text_of(answer) and "To billing" in text_of(answer)


def test_a_change_that_is_under_way_is_not_overtaken(client: FlaskClient, paying: Someone) -> None:
    confirms(client, paying, shows(client, paying, "essential"))
    with unit_of_work() as session:
        session.scalars(select(TierChange)).one().state = "requested"
    assert shows(client, paying, "business").status_code == 409
    assert "We are waiting for Stripe" in text_of(client.get(f"/vendor/{paying.code}/billing"))


def new_price(tier: str, minor: int, vendor_id: int | None = None) -> None:
    """The operator changes a price (or agrees one), and Stripe learns of it."""
    found = catalog.tier_by_code(tier)
    assert found is not None
    with unit_of_work():
        prices.change_price(found.id, Cycle.MONTHLY, "EUR", minor, vendor_id=vendor_id, actor=SYSTEM,
                            now=clock.business())  # fmt: skip
    push_catalog()


def test_a_price_that_the_operator_changed_meanwhile_is_told_and_not_charged(
    client: FlaskClient, paying: Someone
) -> None:
    page = shows(client, paying, "business")
    new_price("business", 22900)
    answer = confirms(client, paying, page)
    assert answer.status_code == 409
    assert "The price of Business has changed: it is €229.00 now. Nothing was charged" in text_of(answer)
    assert db.session.scalars(select(TierChange.id)).all() == []
    assert fields(answer)["price"] == str(price_id("business")), "the new price can be confirmed at once"
    assert confirms(client, paying, answer).status_code == 303


def test_a_tier_that_was_taken_off_the_market_meanwhile_is_told(client: FlaskClient, paying: Someone) -> None:
    page = shows(client, paying, "business")
    retire("business")
    answer = confirms(client, paying, page)
    assert answer.status_code == 409 and "This plan is not sold any more. Nothing was changed." in text_of(answer)


def retire(tier: str) -> None:
    found = catalog.tier_by_code(tier)
    assert found is not None
    with unit_of_work():
        prices.retire_tier(found.id, actor=SYSTEM, now=clock.business())


def test_a_credit_that_came_meanwhile_asks_again(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    page = shows(client, paying, "business")
    before = int(fields(page)["due_minor"])
    customer = subscriptions.held(paying.vendor_id).stripe_customer_id
    stripe_post(sandbox, f"customers/{customer}", balance="-1000")
    answer = confirms(client, paying, page)
    assert answer.status_code == 409 and "The amount has changed since you looked" in text_of(answer)
    assert "Credit on your account -€10.00" in text_of(answer)
    assert int(fields(answer)["due_minor"]) in range(before - 1002, before - 999)
    assert db.session.scalars(select(TierChange.id)).all() == []


def test_a_preview_of_sixteen_minutes_ago_is_not_charged(client: FlaskClient, paying: Someone, travel: Travel) -> None:
    page = shows(client, paying, "business")
    travel.on(minutes=16)
    assert confirms(client, paying, page).status_code == 409
    assert tier_of(paying) == "professional"


def test_a_loss_must_be_confirmed_in_so_many_words(client: FlaskClient, paying: Someone) -> None:
    page = shows(client, paying, "essential")
    assert "I know what I lose from 28 February 2027 on" in text_of(page)
    answer = confirms(client, paying, page, understood="")
    assert answer.status_code == 422 and "Please confirm below that you know what you lose." in text_of(answer)
    uses_its_domain(paying.vendor_id)
    unasked = confirms(client, paying, shows(client, paying, "essential"), **{"addon-custom-domain": "both"})
    assert unasked.status_code == 422 and "Choose whether to keep it." in text_of(unasked)
    assert db.session.scalars(select(TierChange.id)).all() == []


def test_an_upgrade_asks_for_no_such_word(client: FlaskClient, paying: Someone) -> None:
    assert "understood" not in shows(client, paying, "business").get_data(as_text=True)


@pytest.mark.parametrize(
    ("choice", "says"),
    [("keep", "Custom domain stays, for €15.00 per year"), ("end", "Custom domain ends then")],
)
def test_an_included_addon_is_kept_or_ends_as_was_decided(
    client: FlaskClient, paying: Someone, choice: str, says: str
) -> None:
    assert "is not included any more" not in text_of(shows(client, paying, "essential")), "it was never set up"
    uses_its_domain(paying.vendor_id)
    page = shows(client, paying, "essential")
    assert "Custom domain is not included any more" in text_of(page) and "€15 per year" in text_of(page)
    assert confirms(client, paying, page, **{"addon-custom-domain": choice}).status_code == 303
    assert says in text_of(client.get(f"/vendor/{paying.code}/billing"))
    decided = db.session.scalars(select(TierChange.choices)).one()
    assert decided is not None and decided["addons"][0]["keep"] == (choice == "keep")


@pytest.mark.parametrize(
    ("kind", "says"),
    [("mailboxes", "deleted with their mail"), ("certificate", "private key"), ("domain", "Nothing is deleted")],
)
def test_what_ends_with_an_included_addon_is_said(client: FlaskClient, kind: str, says: str) -> None:
    choice = AddonChoice(IncludedAddon("some", "Some", "", 1), kind, None, None, ())
    with client.application.test_request_context():
        (end,) = choice.options
    assert says in end["text"]


def test_each_limit_that_would_be_exceeded_leads_to_its_meter(client: FlaskClient, paying: Someone) -> None:
    uses(paying, Metric.TEAM_MEMBERS, 2)  # beside the owner's own seat
    html = shows(client, paying, "essential").get_data(as_text=True)
    link = f'<a href="/vendor/{paying.code}/billing#meter-team_members">Team members: 3 in use, 1 allowed</a>'
    assert link in html
    assert 'id="meter-team_members"' in client.get(f"/vendor/{paying.code}/billing").get_data(as_text=True)


def test_who_pays_an_old_price_keeps_it_and_is_told_what_leaving_means(client: FlaskClient, paying: Someone) -> None:
    new_price("professional", 12900)
    page = text_of(client.get(f"/vendor/{paying.code}/plans"))
    assert "The price you bought at; new customers pay €129.00." in page
    assert "You pay €99.00 per month, a price that is not sold any more." in text_of(shows(client, paying, "business"))


def test_an_agreed_price_is_seen_by_its_vendor_alone_and_can_be_taken(client: FlaskClient, paying: Someone) -> None:
    new_price("enterprise", 49900, paying.vendor_id)
    page = text_of(client.get(f"/vendor/{paying.code}/plans"))
    assert "Enterprise €499 per month Agreed with you." in page
    agreed = catalog.offer("enterprise", Cycle.MONTHLY, vendor_id=paying.vendor_id)
    assert agreed is not None
    where = f"/vendor/{paying.code}/plans/change"
    shown = client.get(where, query_string={"price": agreed.id}, headers=PARTIAL)
    assert shown.status_code == 200 and confirms(client, paying, shown).status_code == 303
    assert tier_of(paying) == "enterprise"


def test_a_price_agreed_with_somebody_else_is_nothing_here(client: FlaskClient, paying: Someone) -> None:
    from tests.support import people

    other = people.register("bob@example.com", business="Bob's Bikes", name="Bob Other")
    new_price("enterprise", 49900, other.vendor_id)
    agreed = catalog.offer("enterprise", Cycle.MONTHLY, vendor_id=other.vendor_id)
    assert agreed is not None
    where = f"/vendor/{paying.code}/plans/change"
    assert client.get(where, query_string={"price": agreed.id}, headers=PARTIAL).status_code == 404
    assert "€499" not in text_of(client.get(f"/vendor/{paying.code}/plans"))


def refuses_its_card(sandbox: Sandbox, who: Someone, method: str) -> None:
    held = subscriptions.held(who.vendor_id)
    made = stripe_post(sandbox, f"payment_methods/{method}/attach", customer=str(held.stripe_customer_id))["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=made)


def test_a_card_that_must_be_confirmed_leads_there_and_says_until_when(
    client: FlaskClient, paying: Someone, sandbox: Sandbox
) -> None:
    refuses_its_card(sandbox, paying, "pm_card_authenticationRequired")
    settle(sandbox, client)
    answer = confirms(client, paying, shows(client, paying, "business"))
    assert answer.status_code == 303 and str(answer.location).endswith("/billing#pay")
    page = client.get(f"/vendor/{paying.code}/billing")
    assert "Your card must be confirmed first." in text_of(page)
    assert "Confirm your card: Business opens when it is paid" in text_of(page)
    # It is 5 February, noon; a change that nobody pays lapses after 23 hours.
    assert "You can confirm until 6 February 2027, 11:" in text_of(page)
    link = re.search(r'href="([^"]+/i/[^"]+)"', page.get_data(as_text=True))
    assert link and requests.get(link[1], timeout=20).status_code == 200
    assert tier_of(paying) == "professional"
    assert shows(client, paying, "essential").status_code == 409


def test_a_change_that_waits_can_be_given_up(client: FlaskClient, paying: Someone, sandbox: Sandbox) -> None:
    refuses_its_card(sandbox, paying, "pm_card_chargeCustomerFail")
    settle(sandbox, client)
    confirms(client, paying, shows(client, paying, "business"))
    version = subscriptions.held(paying.vendor_id).version
    given_up = post(client, f"/vendor/{paying.code}/plans/give-up", {"base_version": version})
    assert "The change was given up. Nothing was charged" in text_of(client.get(str(given_up.location)))
    settle(sandbox, client)
    change = db.session.scalars(select(TierChange).execution_options(populate_existing=True)).one()
    assert (change.state, change.error) == ("undone", "given up")
    charged = db.session.scalars(select(Invoice).where(Invoice.reason == "subscription_update")).one()
    assert charged.status == "void"
    again = post(client, f"/vendor/{paying.code}/plans/give-up", {"base_version": version})
    assert again.status_code == 409
    assert shows(client, paying, "business").status_code == 200, "the way is free again"


def test_an_open_invoice_beside_the_plan_stands_in_the_way_too(client: FlaskClient, paying: Someone) -> None:
    with unit_of_work() as session:
        first = session.scalars(select(Invoice).order_by(Invoice.id)).first()
        assert first is not None
        first.status, first.due_minor, first.paid_minor = "open", 500, 0
    answer = shows(client, paying, "business")
    assert answer.status_code == 409 and "An invoice is unpaid. Pay it first" in text_of(answer)


def test_while_a_change_waits_the_plans_page_says_so_and_offers_no_other(
    client: FlaskClient, paying: Someone, sandbox: Sandbox
) -> None:
    refuses_its_card(sandbox, paying, "pm_card_chargeCustomerFail")
    settle(sandbox, client)
    confirms(client, paying, shows(client, paying, "business"))
    page = text_of(client.get(f"/vendor/{paying.code}/plans"))
    assert "Confirm your card: Business opens when it is paid" in page
    assert "Can be chosen when the change to Business is finished." in page
    assert "Upgrade today" not in page and "Switch on" not in page

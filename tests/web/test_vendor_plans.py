"""The tiers side by side, and what costs nothing: starting a trial, changing within it (BIL-2, SUB-1, ACC-4)."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.catalog.models import SubscriptionTier, TierPrice
from portal.catalog.rules import Metric
from portal.credits import queries as credits
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import meters
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.servers import Sandbox
from tests.support.stories import lives_on
from tests.support.travel import Travel
from tests.web.test_vendor_billing import stands, uses
from tests.web.test_vendor_checkout import member, owner, pays_through, price_id

pytestmark = pytest.mark.usefixtures("unscoped")


def plans(client: FlaskClient, who: Someone, query: str = "") -> str:
    answer = client.get(f"/vendor/{who.code}/plans{query}")
    assert answer.status_code == 200
    return text_of(answer)


def chooses(client: FlaskClient, who: Someone, **data: object):
    return post(client, f"/vendor/{who.code}/plans/choose", data)


def version(who: Someone) -> int:
    return subscriptions.held(who.vendor_id).version


def test_in_a_trial_the_own_plan_is_marked_and_others_can_be_taken(client: FlaskClient) -> None:
    who = people.sign_up(client)
    page = plans(client, who)
    assert "You are trying Professional, 14 days left. Switching costs nothing during the trial." in page
    assert "Professional Your plan €99 per month" in page
    assert "Switch to Essential" in page and "Switch to Business" in page and "Add payment method" in page
    assert "Enterprise Custom" in page


def test_the_yearly_switch_shows_ten_months(client: FlaskClient) -> None:
    who = people.sign_up(client)
    page = plans(client, who, "?cycle=yearly")
    # €99 × 10 = €990, €199 × 10 = €1,990.
    assert "€990 per year" in page and "€1,990 per year" in page and "2 months free" in page
    assert "Professional Your plan" not in page, "the plan that is held is the monthly one"


def test_each_card_says_what_changes_with_the_numbers(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.TEAM_MEMBERS, 2)  # beside the owner's own seat
    page = plans(client, who)
    assert "Orders: 100 a month instead of 500" in page
    assert "Analytics: Basic instead of Advanced" in page
    assert "Custom domain no longer included" in page
    assert "You use more than this plan allows Team members: 3 in use, 1 allowed" in page
    assert "Orders: 2,000 a month instead of 500" in page and "Email package (5) included" in page


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("trial_ended", "Your trial has ended. Choose a plan and pay for it to go on; everything is kept."),
        ("no_plan", "Choose a plan to open the portal."),
        ("suspended", "Your subscription is suspended because an invoice is unpaid."),
        ("cancelled", "Your subscription has ended."),
        ("pending_payment", "We are waiting for your payment."),
        ("trial_used", "You have had a trial before"),
        ("unverified", "Please confirm your email address first"),
    ],
)
def test_a_line_says_why_one_was_led_here(client: FlaskClient, why: str, says: str) -> None:
    who = people.sign_up(client)
    assert says in plans(client, who, f"?why={why}")


def test_a_reason_that_nobody_gives_says_nothing(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert "alert(1)" not in plans(client, who, "?why=<script>alert(1)</script>")


def test_a_switch_within_the_trial_is_free_and_brings_the_limits(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    ends = subscriptions.held(who.vendor_id).trial_ends_at
    answer = chooses(client, who, tier="business", cycle="yearly", base_version=version(who))
    assert answer.status_code == 303
    held = subscriptions.held(who.vendor_id)
    assert (held.status, held.trial_ends_at, held.price_id) == (Status.TRIAL, ends, _yearly("business"))
    limits = {m.metric: m.limit for m in meters.meters(who.vendor_id, held.period_start, clock.business())}
    assert limits[Metric.ORDERS] == 2000
    assert "You are trying Business now. Nothing was charged." in text_of(client.get(str(answer.location)))


def _yearly(tier: str) -> int:
    from portal.catalog.rules import Cycle

    return price_id(tier, Cycle.YEARLY)


def test_of_two_switches_from_the_same_page_the_second_is_told(client: FlaskClient) -> None:
    who = people.sign_up(client)
    seen = version(who)
    assert chooses(client, who, tier="business", base_version=seen).status_code == 303
    answer = chooses(client, who, tier="essential", base_version=seen)
    assert answer.status_code == 409 and "changed" in text_of(answer)
    assert subscriptions.held(who.vendor_id).price_id == price_id("business")


@pytest.mark.parametrize("tier", ["nothing", "", "enterprise", "x" * 5000, "a\0b"])
def test_a_tier_that_is_not_on_offer_is_not_found(client: FlaskClient, tier: str) -> None:
    who = people.sign_up(client)
    assert chooses(client, who, tier=tier, base_version=version(who)).status_code == 404
    assert subscriptions.held(who.vendor_id).price_id == price_id("professional")


def test_a_hidden_tier_is_neither_shown_nor_taken(client: FlaskClient) -> None:
    who = people.sign_up(client)
    with unit_of_work() as session:
        session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "business")).one().is_public = False
    assert "Business" not in plans(client, who)
    assert chooses(client, who, tier="business", base_version=version(who)).status_code == 404


def test_who_holds_a_hidden_tier_still_sees_it(client: FlaskClient) -> None:
    who = people.sign_up(client)
    with unit_of_work() as session:
        session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "professional")).one().is_public = False
    assert "Professional Your plan €99 per month" in plans(client, who)


def test_the_price_that_was_bought_is_kept(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    with unit_of_work() as session:
        old = session.scalars(select(TierPrice).where(TierPrice.id == price_id("professional"))).one()
        old.valid_until = clock.business()
        session.flush()
        session.add(TierPrice(tier_id=old.tier_id, cycle="monthly", currency="EUR", amount_minor=12900,
                              valid_from=clock.business()))  # fmt: skip
    page = plans(client, who)
    assert "Professional Your plan €99 per month The price you bought at; new customers pay €129.00." in page


def test_without_a_plan_choosing_one_starts_the_trial_once(client: FlaskClient) -> None:
    who = people.sign_up(client, tier=None)
    assert "Start 14 days free" in plans(client, who)
    assert chooses(client, who, tier="essential").location == "/dashboard"
    assert "Your trial of Essential has begun." in text_of(client.get("/dashboard"))
    assert chooses(client, who, tier="essential").location == "/dashboard", "a second click"
    assert db.session.scalars(select(VendorSubscription.status)).all() == ["trial"]
    assert credits.balance(who.vendor_id) == 500


def test_a_person_who_had_a_trial_is_told_and_may_pay(client: FlaskClient, sandbox: Sandbox) -> None:
    people.register("alice@example.com")
    who = owner(client, email="alice+two@example.com", business="Second Shop", tier=None)
    answer = chooses(client, who, tier="professional")
    assert answer.location == f"/vendor/{who.code}/plans?why=trial_used"
    page = text_of(client.get(str(answer.location)))
    assert "You have had a trial before" in page and "Pay and open Professional" in page
    assert "Paid, Professional is active" in text_of(client.get(pays_through(client, who), follow_redirects=True))


def test_after_the_trial_choosing_leads_to_checkout(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    lives_on(sandbox, client, travel, days=15)
    assert "Pay and open Business" in plans(client, who)
    assert str(chooses(client, who, tier="business").location).startswith(sandbox.url)


def test_a_paid_plan_is_not_chosen_without_its_price(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    answer = chooses(client, who, tier="business")
    assert answer.status_code == 409 and "See what it costs" in text_of(answer)


@pytest.mark.parametrize("status", [Status.PAST_DUE, Status.SUSPENDED])
def test_while_an_invoice_is_open_nothing_can_be_chosen(client: FlaskClient, status: Status) -> None:
    who = people.sign_up(client)
    stands(who, status, provider="stripe", trial_ends_at=None)
    page = plans(client, who)
    assert "An invoice is open Pay it first" in page and "Can be chosen when the open invoice is paid." in page
    assert "Upgrade today" not in page
    assert chooses(client, who, tier="business").status_code == 409


def test_members_see_the_plans_and_cannot_take_them(client: FlaskClient) -> None:
    who = people.sign_up(client)
    looks = member(client, who.vendor_id)
    page = plans(looks, who)
    assert "The owner or a manager can choose this." in page and "Switch to" not in page
    assert chooses(looks, who, tier="business", base_version=version(who)).status_code == 403
    assert looks.get(f"/vendor/{who.code}/plans/change").status_code == 403

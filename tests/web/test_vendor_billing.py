"""The billing page tells the truth in every standing, and says so when it cannot (BIL-1, BIL-5)."""

from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import select, text

from portal.billing.models import Invoice
from portal.catalog.rules import Metric
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status
from portal.usage import service as usage
from portal.web.kit import responder
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, pays, settle, stripe_post
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import PARTIAL, owner, pays_through

pytestmark = pytest.mark.usefixtures("unscoped")
#: Works when it is attached, is declined at every charge.
FAILS_LATER = "4000000000000341"
CONFIRMED_EACH_TIME = "4000002760003184"


def billing(client: FlaskClient, who: Someone) -> str:
    answer = client.get(f"/vendor/{who.code}/billing")
    assert answer.status_code == 200
    return text_of(answer)


def part(client: FlaskClient, who: Someone, name: str, **query: str) -> str:
    answer = client.get(f"/vendor/{who.code}/billing/{name}", headers=PARTIAL, query_string=query)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def uses(who: Someone, metric: Metric, quantity: int) -> None:
    start = subscriptions.held(who.vendor_id).period_start
    with unit_of_work():
        usage.record(
            who.vendor_id, metric, quantity, key=f"{metric}-{quantity}", at=clock.business(), period_start=start
        )


def fails(*_: Any, **__: Any) -> None:
    """A read that the database refuses."""
    db.session.execute(text("SELECT nothing FROM nowhere"))


def test_in_a_trial_it_says_what_happens_on_the_last_day(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    travel.on(days=9, hours=1)
    page = billing(client, who)
    # 14 days from 15 January, 12:00; now it is 24 January, 13:00: four days and 23 hours, so the fifth has begun.
    assert "5 days left in your trial On 29 January 2027 the product closes unless you add a payment method" in page
    assert "Nothing is charged unless you add a payment method." in page
    assert "Professional €99 per month" in page and "Add payment method" in page
    assert "No invoices yet" in page and "Custom domain" in page


def test_paid_it_names_the_next_charge(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    assert "First charge 29 January 2027" in billing(client, who)
    lives_on(sandbox, client, travel, days=15)
    page = billing(client, who)
    assert "Next charge: €99.00 on 28 February 2027 to Visa ending in 4242" in page
    assert "Renewal €99.00 Paid PDF" in page
    assert "Add payment method" not in page


def test_past_due_it_says_what_failed_and_how_to_pay(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    client.get(_pays_with(client, who, FAILS_LATER))
    lives_on(sandbox, client, travel, days=15)
    assert subscriptions.held(who.vendor_id).status == Status.PAST_DUE
    page = client.get(f"/vendor/{who.code}/billing")
    assert "The last payment failed" in text_of(page)
    assert "over €99.00 is open. Stripe tries your card again on" in text_of(page)
    hosted = db.session.scalars(select(Invoice.hosted_url).where(Invoice.status == "open")).one()
    assert hosted is not None and f'href="{hosted}"' in page.get_data(as_text=True).replace("&amp;", "&")
    assert "Pay €99.00 now" in text_of(page) and "Change plan" not in text_of(page)
    dashboard = text_of(client.get("/dashboard"))
    assert "An invoice is unpaid" in dashboard and "Pay now" in dashboard


def test_a_charge_that_the_bank_wants_confirmed_says_so_and_leads_there(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    who = owner(client)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    held = subscriptions.held(who.vendor_id)
    customer = str(held.stripe_customer_id)
    card = stripe_post(sandbox, "payment_methods/pm_card_authenticationRequired/attach", customer=customer)["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=card)
    lives_on(sandbox, client, travel, days=15)
    page = client.get(f"/vendor/{who.code}/billing")
    assert "Your bank wants you to confirm the payment" in text_of(page)
    assert "your bank asks for a code or your app" in text_of(page) and "tries your card again" not in text_of(page)
    hosted = db.session.scalars(select(Invoice.hosted_url).where(Invoice.status == "open")).one()
    assert hosted is not None and f'href="{hosted}"' in page.get_data(as_text=True).replace("&amp;", "&")
    assert "Confirm and pay €99.00" in text_of(page)
    written = db.session.scalars(select(SentMail.body_text).where(SentMail.kind == "payment_failed")).one()
    assert "Your bank wants you to confirm the payment" in (written or "") and "We try again" not in (written or "")
    lives_on(sandbox, client, travel, days=3)
    reminded = db.session.scalars(select(SentMail.body_text).where(SentMail.kind == "payment_reminder")).one() or ""
    assert "Your bank still wants you to confirm the payment" in reminded and "could still not collect" not in reminded
    assert f"Confirm and pay: http://localhost/vendor/{who.code}/billing" in reminded
    bank = urljoin(hosted, pays(hosted, CONFIRMED_EACH_TIME).headers["Location"])
    requests.post(bank, data={"answer": "complete"}, timeout=20, allow_redirects=False)
    settle(sandbox, client)
    assert "confirm" not in billing(client, who) and subscriptions.held(who.vendor_id).status == Status.ACTIVE


def _pays_with(client: FlaskClient, who: Someone, card: str) -> str:
    from tests.support.stories import pays
    from tests.web.test_vendor_checkout import leaves, path_of

    return path_of(pays(str(leaves(client, who).location), card).headers["Location"])


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status.SUSPENDED, "Your subscription is suspended"),
        (Status.PENDING_PAYMENT, "We are waiting for your payment"),
        (Status.CANCELLED, "This subscription has ended"),
        (Status.TRIAL_ENDED, "Your trial has ended"),
    ],
)
def test_billing_stays_open_where_the_product_is_closed(client: FlaskClient, status: Status, says: str) -> None:
    who = people.sign_up(client)
    stands(who, status)
    assert says in billing(client, who)
    assert client.get("/dashboard").location == f"/vendor/{who.code}/plans?why={status}"


def stands(who: Someone, status: Status, **values: Any) -> None:
    """Put the subscription into a standing that takes weeks to reach."""
    with unit_of_work() as session:
        row = session.scalars(select(VendorSubscription).where(VendorSubscription.vendor_id == who.vendor_id)).one()
        for name, value in {"status": status, **values}.items():
            setattr(row, name, value)


def test_without_any_plan_the_page_says_what_to_do(client: FlaskClient) -> None:
    who = people.sign_up(client, tier=None)
    page = billing(client, who)
    assert "No plan yet" in page and "Meters appear here when a plan is active" in page
    assert "None yet. Plans include credits" in page


def test_a_cancelled_subscription_names_its_end_and_no_charge(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    ends = travel.now + timedelta(days=30)
    stands(who, Status.ACTIVE, provider="stripe", trial_ends_at=None, cancel_at_period_end=True, period_end=ends)
    page = billing(client, who)
    assert "Ends on 14 February 2027. Nothing more is charged." in page and "Next charge" not in page


def test_meters_tell_no_data_unlimited_near_and_full_apart(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.ORDERS, 412)
    uses(who, Metric.PRODUCTS, 1156)
    uses(who, Metric.TEAM_MEMBERS, 2)  # beside the owner
    page = billing(client, who)
    # 412 of 500 are 82.4 %, told as 82.
    assert "Orders 82 % 412 of 500 · nearly full" in page
    assert "Products 1,156 · ∞ unlimited" in page
    assert "Team members 100 % 3 of 3 · limit reached" in page
    assert "Sites Nothing counted yet · 3 included" in page


def test_a_small_file_is_not_told_in_hundredths_of_gigabytes(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.STORAGE_GB, 311_400)
    assert "Storage (GB) 0 % 312 KB of 5 GB" in billing(client, who)
    uses(who, Metric.STORAGE_GB, 4_000_000)
    assert "4.4 MB of 5 GB" in billing(client, who)
    uses(who, Metric.STORAGE_GB, 10_000_000)
    assert "0.02 of 5" in billing(client, who)


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        ("portal.subscriptions.meters", "read", "The meters cannot be read right now"),
        ("portal.billing.queries", "latest", "The invoices cannot be read right now"),
        ("portal.addons.queries", "shelf", "Unavailable right now"),
        ("portal.addons.queries", "of_vendor", "Unavailable right now"),
    ],
)
def test_a_part_that_fails_leaves_the_rest_standing(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, module: str, name: str, says: str
) -> None:
    who = people.sign_up(client)
    monkeypatch.setattr(f"{module}.{name}", fails)
    page = billing(client, who)
    assert says in page and "Try again" in page
    assert "Professional €99 per month" in page and "2,000" in page


def test_a_fragment_that_fails_says_so_and_recovers(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    who = people.sign_up(client)
    with monkeypatch.context() as broken:
        broken.setattr("portal.subscriptions.meters.read", fails)
        broken.setattr("portal.credits.queries.balance", fails)
        meters = part(client, who, "meters")
        assert 'id="usage"' in meters and "cannot be read" in meters
        assert f'hx-get="/vendor/{who.code}/billing/meters' in meters
        pill = part(client, who, "credits")
        assert "Credits unavailable" in pill and "hx-get" in pill and "0 credits" not in pill
        assert "cannot be read right now" in part(client, who, "credits-card")
    assert "500" in part(client, who, "meters")
    assert "2,000 credits" in part(client, who, "credits")


def test_a_region_answers_with_itself_and_as_a_page_leads_to_billing(client: FlaskClient) -> None:
    who = people.sign_up(client)
    names = {"plan-card": "plan", "meters": "usage", "invoices-card": "invoices", "credits-card": "credits"}
    for name, region in names.items():
        assert f'<div id="{region}"' in part(client, who, name)
        assert "<html" not in part(client, who, name)
        answer = client.get(f"/vendor/{who.code}/billing/{name}")
        assert answer.status_code == 303 and answer.location.startswith(f"/vendor/{who.code}/billing")


def test_a_period_that_is_not_the_vendors_is_not_believed(client: FlaskClient) -> None:
    who = people.sign_up(client)
    uses(who, Metric.ORDERS, 412)
    for period in ("", "x/y", "2020-01-01/2021-01-01", "2020-01-01T00:00:00+00:00/2021-01-01T00:00:00+00:00", "%00"):
        assert "412" in part(client, who, "meters", period=period)


def test_another_vendors_address_is_not_found(client: FlaskClient) -> None:
    people.sign_up(client)
    other = people.register("bob@example.com", business="Bobs Books")
    for path in ("", "/meters", "/credits", "/plan-card", "/done?session_id=cs_test_x"):
        assert client.get(f"/vendor/{other.code}/billing{path}", headers=PARTIAL).status_code == 404
        assert client.get(f"/vendor/nobody/billing{path}", headers=PARTIAL).status_code == 404
    assert client.get(f"/vendor/{other.code}/plans").status_code == 404


def test_names_are_shown_as_text(client: FlaskClient) -> None:
    who = people.sign_up(client, business="<script>alert(1)</script> & Sons")
    page = client.get(f"/vendor/{who.code}/billing").get_data(as_text=True)
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in page


def test_a_stranger_is_led_to_sign_in_and_comes_back(client: FlaskClient) -> None:
    who = people.register()
    answer = client.get(f"/vendor/{who.code}/billing?checkout=cancelled")
    assert answer.status_code == 303
    target = f"/vendor/{who.code}/billing?checkout=cancelled"
    assert responder.safe_next(target) == target
    assert people.sign_in(client, who.email, next=target).location == target


def test_jobs_and_events_bring_the_invoice_to_the_page(client: FlaskClient, sandbox: Sandbox, travel: Travel) -> None:
    who = owner(client)
    pays_through(client, who)
    settle(sandbox, client)
    jobs.run_all()
    assert "First period €0.00 Paid" in billing(client, who)


def test_an_open_invoice_beside_a_running_plan_says_so_and_can_be_paid(client: FlaskClient, sandbox: Sandbox) -> None:
    """Such as that of an add-on whose card the bank wants confirmed: it stood in the list of invoices alone."""
    who = owner(client)
    pays_through(client, who)
    settle(sandbox, client)
    jobs.run_all()
    with unit_of_work() as session:
        invoice = session.scalars(select(Invoice)).one()
        invoice.status, invoice.due_minor, invoice.paid_minor = "open", 496, 0
    page = billing(client, who)
    assert "An invoice over €4.96 is open" in page and "your plan stays as it is" in page and "Pay €4.96 now" in page

"""What surrounds a page: navigation, one banner, the operator's colour, languages (GEN-7)."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from flask_babel import force_locale, gettext

from portal.identity.models import Membership
from portal.identity.rules import Role
from portal.kit import actor, clock
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from portal.subscriptions.rules import Status
from tests.support import people
from tests.support.people import text_of
from tests.support.travel import Travel
from tests.web.test_vendor_billing import stands

pytestmark = pytest.mark.usefixtures("unscoped")


def html(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def banners(client: FlaskClient, path: str) -> list[str]:
    return html(client, path).split('<aside aria-label="Notice">')[1:]


def test_a_vendor_finds_its_way_and_its_balance(client: FlaskClient) -> None:
    who = people.sign_up(client)
    page = html(client, f"/vendor/{who.code}/billing")
    for href in ("/dashboard", f"/vendor/{who.code}/billing", f"/vendor/{who.code}/plans", "/profile"):
        assert f'href="{href}"' in page
    assert f'hx-get="/vendor/{who.code}/billing/credits"' in page
    assert 'action="/sign-out"' in page and 'action="/preferences"' in page
    assert page.count('aria-current="page"') == 1


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (6.9, None),
        (7.1, "Your trial ends in 7 days"),
        (11.5, "Your trial ends in 3 days"),
        (13.5, "Your trial ends in 1 day"),
    ],
)
def test_the_trial_is_announced_from_seven_days_on(
    client: FlaskClient, travel: Travel, days: float, says: str | None
) -> None:
    people.sign_up(client)
    travel.on(days=days)
    found = banners(client, "/dashboard")
    # Of 14 days 6.9 leave 7.1 (eight begun), 7.1 leave 6.9 (seven begun), 11.5 leave 2.5, 13.5 leave half a day.
    assert len(found) == (1 if says else 0)
    assert says is None or says in found[0]


def test_one_banner_the_most_urgent(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    stands(who, Status.PAST_DUE, provider="stripe", trial_ends_at=travel.now + timedelta(days=2))
    found = banners(client, "/dashboard")
    assert len(found) == 1
    assert "An invoice is unpaid" in found[0] and f'href="/vendor/{who.code}/billing#pay"' in found[0]
    assert banners(client, f"/vendor/{who.code}/billing") == [], "the page itself says it, with more detail"


def test_a_closed_vendor_is_called_to_choose_and_sees_what_is_locked(client: FlaskClient) -> None:
    who = people.sign_up(client)
    stands(who, Status.TRIAL_ENDED)
    page = html(client, f"/vendor/{who.code}/billing")
    assert "Choose a plan" in page and "opens with a plan" in page
    assert "Your trial has ended" in banners(client, "/profile")[0]


def test_billing_says_once_that_the_subscription_has_ended(client: FlaskClient) -> None:
    who = people.sign_up(client)
    stands(who, Status.CANCELLED)
    assert "Your subscription has ended" in banners(client, "/profile")[0]
    assert banners(client, f"/vendor/{who.code}/billing") == [], "its plan card says it, with the same button"


def test_the_banner_speaks_the_readers_language_and_leads_to_the_plans(client: FlaskClient) -> None:
    who = people.sign_up(client)
    stands(who, Status.CANCELLED)
    with client.session_transaction() as browser:
        browser["locale"] = "de"
    told = html(client, "/profile").split("</header>")[1].split("</aside>")[0]
    assert "Ihr Abonnement ist beendet" in told and "Alles bleibt erhalten" in told
    assert f'href="/vendor/{who.code}/plans"' in told and "Choose" not in told


def test_people_of_several_vendors_can_switch(client: FlaskClient) -> None:
    who = people.sign_up(client)
    other = people.register("bob@example.com", business="Bobs Books")
    assert "Switch vendor" not in html(client, "/dashboard")
    with unit_of_work() as session:
        row = Membership(vendor_id=other.vendor_id, user_id=who.user_id, role=Role.MEMBER, created_at=clock.business())
        session.add(row)
    page = html(client, "/dashboard")
    assert "Switch vendor" in page and f'href="/vendor/{other.code}/billing"' in page


def test_visitors_see_prices_and_the_way_in(client: FlaskClient) -> None:
    page = html(client, "/pricing")
    assert 'href="/pricing" aria-current="page"' in page and 'href="/sign-in"' in page
    people.sign_up(client)
    assert "Open the portal" in html(client, "/pricing")


def test_staff_without_a_vendor_keep_the_back_office_around_them(client: FlaskClient) -> None:
    people.sign_in(client, people.staff().email)
    assert 'href="/admin/vendors"' in html(client, "/profile")


def test_the_operators_colour_is_a_sheet_of_its_own(client: FlaskClient) -> None:
    assert "/brand.css?v=4f46e5" in html(client, "/pricing")
    with unit_of_work():
        settings.change("accent", "#0f9d58", actor=actor.SYSTEM, now=clock.business())
    assert "/brand.css?v=0f9d58" in html(client, "/pricing")
    now, before = client.get("/brand.css?v=0f9d58"), client.get("/brand.css?v=4f46e5")
    assert now.get_data(as_text=True) == ":root{--brand-accent:#0f9d58}\n"
    assert "max-age=31536000" in now.headers["Cache-Control"]
    assert before.headers["Cache-Control"] == "no-cache", "an old address must not keep the new colour for a year"


def test_dates_follow_the_vendors_time_zone_and_the_readers_language(client: FlaskClient, travel: Travel) -> None:
    who = people.sign_up(client)
    from portal.identity.models import Vendor

    with unit_of_work() as session:
        session.get_one(Vendor, who.vendor_id).time_zone = "Pacific/Auckland"
    # 29 January, 12:00 UTC is 30 January, 01:00 in Auckland.
    assert "30 January 2027" in text_of(client.get(f"/vendor/{who.code}/billing"))


def test_a_text_follows_a_language_that_changes_on_the_way(client: FlaskClient) -> None:
    with client.application.test_request_context("/"):
        said = [gettext("Sign in")]
        with force_locale("de"):
            said.append(gettext("Sign in"))
        said.append(gettext("Sign in"))
    assert said == ["Sign in", "Anmelden", "Sign in"]

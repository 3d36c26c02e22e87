"""The back office's list of vendors (ADM-1) through its door."""

import re

import pytest
from sqlalchemy import event

from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.subscriptions.rules import Status
from tests.reporting import factory, paid
from tests.reporting.paid import PARTIAL
from tests.support import people
from tests.support.people import text_of

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client):
    return paid.staff_client(client)


def listed(answer):
    """The vendors of a page, in order."""
    return re.findall(r'<th scope="row" class="lead"><a href="[^"]+">([^<]+)</a>', answer.get_data(as_text=True))


def queries_of(admin, path, **more):
    """How many statements an answer costs, the sign-in at the door included, with the settings already known."""
    admin.get(path, **more)
    seen = []

    def listen(_connection, _cursor, statement, *_):
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        assert admin.get(path, **more).status_code == 200
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    return len(seen)


def test_the_back_office_begins_with_the_vendors_also_under_their_other_name(admin):
    assert admin.get("/admin").location == "/admin/vendors"
    assert admin.get("/admin/clients?q=oak&sort=name").location == "/admin/vendors?q=oak&sort=name"


def test_a_row_says_who_what_and_where_it_stands(client, admin):
    people.register()
    words = text_of(admin.get("/admin/vendors"))
    assert "Kilim House kilim-house Alice Owner alice@example.com Professional Trial Onboarding – 15 Jan 2027" in words
    assert "1 vendor" in words


def test_before_anybody_signed_up_the_page_says_what_it_is_for(admin):
    words = text_of(admin.get("/admin/vendors"))
    assert "No vendors yet" in words and "Open the pricing page" in words


def test_filtered_to_nothing_leads_back_to_all(client, admin):
    factory.vendor("Oak & Iron", "oak-iron")
    words = text_of(admin.get("/admin/vendors?q=zzz"))
    assert "No vendor matches" in words and "Show all vendors" in words and "No vendors yet" not in words


def test_everything_chosen_stays_in_every_address_of_the_page(client, admin):
    factory.vendors(30, status=Status.ACTIVE)
    page = admin.get("/admin/vendors?q=shop&standing=active&tier=professional&sort=name").get_data(as_text=True)
    [following] = re.findall(r'rel="next" href="([^"]+)"', page)
    for part in ("q=shop", "standing=active", "tier=professional", "sort=name", "page="):
        assert part in following
    second = admin.get(following.replace("&amp;", "&"))
    assert listed(second) == ["Shop 026", "Shop 027", "Shop 028", "Shop 029", "Shop 030"]
    [back] = re.findall(r'rel="prev" href="([^"]+)"', second.get_data(as_text=True))
    assert listed(admin.get(back.replace("&amp;", "&")))[0] == "Shop 001"
    # Typing on keeps what chips and heads chose: hidden fields of the results belong to the search form.
    for name, value in (("standing", "active"), ("sort", "name")):
        assert f'<input type="hidden" name="{name}" value="{value}" form="vendor-filter">' in page


def test_typing_fetches_the_results_alone(client, admin):
    factory.vendor("Oak & Iron", "oak-iron")
    answer = admin.get("/admin/vendors?q=o", headers=PARTIAL)
    body = answer.get_data(as_text=True)
    assert body.strip().startswith('<div id="vendor-results"') and "<form" not in body
    assert "HX-Request-Type" in answer.headers["Vary"]
    # The address bar shows what is chosen and no empty fields.
    typed = admin.get("/admin/vendors?q=o&tier=&stage=&standing=trial&sort=-since", headers=PARTIAL)
    assert typed.headers["HX-Replace-Url"] == "/admin/vendors?q=o&standing=trial"
    assert listed(answer) == ["Oak &amp; Iron"]


def test_heads_sort_and_turn_round(client, admin):
    factory.vendor("Beta", "beta", tier="business")
    factory.vendor("Alpha", "alpha", tier="essential")
    assert listed(admin.get("/admin/vendors?sort=name")) == ["Alpha", "Beta"]
    assert listed(admin.get("/admin/vendors?sort=-tier")) == ["Beta", "Alpha"]
    page = admin.get("/admin/vendors?sort=name").get_data(as_text=True)
    assert 'aria-sort="ascending"' in page and "sort=-name" in page


@pytest.mark.parametrize("number", [1, 25, 100])
def test_a_page_costs_three_queries_and_a_fragment_two_whatever_the_number(client, admin, number):
    factory.vendors(number)
    assert queries_of(admin, "/admin/vendors") == 3
    assert queries_of(admin, "/admin/vendors?q=shop&standing=trial", headers=PARTIAL) == 2


HOSTILE = (
    "?q=%27%3B+DROP+TABLE+vendors%3B--",
    "?q=%00&tier=%00&standing=%00",
    "?q=" + "x" * 5000,
    "?q=%ff%fe",
    "?q=<script>alert(1)</script>",
    "?standing=rich&stage=nowhere&sort=password_hash&tier=none",
    "?sort=-&page=",
    "?q=a&q=b&sort[]=name",
)


def test_hostile_addresses_show_a_list_and_nothing_runs(client, admin):
    factory.vendor("Oak & Iron", "oak-iron")
    for query in HOSTILE:
        answer = admin.get("/admin/vendors" + query)
        assert answer.status_code == (404 if "page=" in query else 200), query
        assert "<script>alert" not in answer.get_data(as_text=True)
    assert listed(admin.get("/admin/vendors")) == ["Oak &amp; Iron"]


def test_a_page_that_nobody_made_is_not_found(admin):
    for cursor in ("x", "%%%", "W2ZhbHNlLCBbMV1d", "A" * 3000):
        assert admin.get("/admin/vendors", query_string={"page": cursor}).status_code == 404


def test_names_are_shown_and_never_run(client, admin):
    attack = '"><img src=x onerror=alert(1)>'
    vendor_id = factory.vendor(attack, "evil", email="evil'onmouseover=x@shops.example")
    for path in ("/admin/vendors", f"/admin/vendors/{vendor_id}", f"/admin/vendors/{vendor_id}/tier-change"):
        page = admin.get(path).get_data(as_text=True)
        assert "<img src=x" not in page and "&lt;img src=x" in page


@pytest.mark.parametrize("kind", list(StaffKind))
def test_all_of_the_staff_may_look(client, kind):
    browser = paid.staff_client(client, kind)
    assert browser.get("/admin/vendors").status_code == 200
    assert browser.get("/admin/styleguide").status_code == 200


def test_nobody_else_may(client):
    people.sign_up(client)
    for path in ("/admin", "/admin/vendors", "/admin/clients", "/admin/vendors/1", "/admin/styleguide"):
        assert client.get(path).status_code == 404
        stranger = client.application.test_client().get(path)
        assert stranger.status_code == 303 and stranger.location.startswith("/sign-in?next=")

"""The main job in a browser without JavaScript: every step is a page and a form."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.conftest import OpenPage
from tests.support.stories import own_card

EMAIL, BUSINESS = "noor@weave.example", "Noor Weaves"


@pytest.mark.usefixtures("admin_chosen")
def test_from_sign_up_to_a_paid_plan_and_a_change_by_the_admin(open_page: OpenPage) -> None:
    page = open_page(script=False)
    _signs_up(page)
    code = _switches_within_the_trial(page)
    _pays(page, code)
    admin = open_page(script=False)
    steps.signs_in(admin, steps.ADMIN)
    _is_changed_by_the_admin(admin)
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("Changes to Essential on")).to_be_visible()


def _signs_up(page: Page) -> None:
    """A mistake first: what was typed stays, the message stands at the field."""
    page.goto("/pricing")
    page.get_by_role("link", name="Yearly").click()
    expect(page).to_have_url(re.compile("cycle=yearly"))
    page.goto("/sign-up?tier=professional&cycle=monthly")
    page.get_by_label("Business name").fill(BUSINESS)
    page.get_by_label("Your name").fill("Noor Haddad")
    page.get_by_label("Email address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Start 14 days free").click()
    wrong = page.get_by_label("Password", exact=True)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Business name")).to_have_value(BUSINESS)
    wrong.fill(steps.PASSWORD)
    page.get_by_role("button", name="Start 14 days free").click()
    expect(page.get_by_role("heading", name="Confirm your email address")).to_be_visible()
    steps.confirms_address(page, EMAIL)


def _switches_within_the_trial(page: Page) -> str:
    page.goto("/dashboard")
    expect(page.get_by_text("Professional trial, 14 days left")).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Plans").click()
    page.get_by_role("button", name="Switch to Business").click()
    expect(page.get_by_text("You are trying Business now. Nothing was charged.")).to_be_visible()
    found = re.search(r"/vendor/([^/]+)/plans", page.url)
    assert found
    return found.group(1)


def _pays(page: Page, code: str) -> None:
    """Business is €199.00 a month; nothing of it is due while the trial lasts."""
    page.goto(f"/vendor/{code}/billing")
    page.get_by_role("button", name="Add payment method").click()
    steps.pays(page, steps.DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    steps.pays(page, own_card(501))
    expect(page.get_by_role("heading", name="Payment method added, Business is active")).to_be_visible()
    expect(page.get_by_text("The first charge is €199.00 on")).to_be_visible()


def _is_changed_by_the_admin(admin: Page) -> None:
    """The modal's address is a page of its own; what it costs is asked for by a button."""
    admin.goto(f"/admin/vendors?q={EMAIL}")
    admin.get_by_role("link", name=BUSINESS).click()
    admin.get_by_role("link", name="Edit", exact=True).click()
    expect(admin.get_by_role("heading", name="Change subscription tier")).to_be_visible()
    admin.get_by_role("radio", name=re.compile("Essential")).check()
    admin.get_by_role("radio", name=re.compile("next billing", re.I)).check()
    admin.get_by_role("button", name="Show what it costs").click()
    expect(admin.get_by_role("radio", name=re.compile("Essential"))).to_be_checked()
    admin.get_by_role("button", name="Apply change").click()
    expect(admin.get_by_text(re.compile(f"{BUSINESS} changes to Essential on"))).to_be_visible()

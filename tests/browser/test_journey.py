"""The main job, as a newcomer does it in a browser: from the pricing page to a renewed subscription."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import stack as stacks
from tests.browser import steps
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack

EMAIL = "elif@kilim.example"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A portal of its own: weeks go by in it, and every vendor of the other journeys would live through them too.

    CI starts it as a newcomer does, with all its processes.
    """
    start = stacks.start_supervised if os.environ.get("TEST_THOROUGH") else stacks.start
    running = start(tmp_path_factory.mktemp("journey") / "var")
    running.invite_admin(steps.ADMIN)
    yield running
    running.stop()


def look(page: Page, shots: Path | None, name: str) -> None:
    if shots:
        page.screenshot(path=shots / f"{name}.png", full_page=True)


def test_from_pricing_to_a_renewed_subscription(open_page: OpenPage, stack: Stack, shots: Path | None) -> None:
    page, admin = open_page(), open_page()
    steps.follows_invitation(admin, stack)
    steps.signs_in(admin, steps.ADMIN)
    admin.wait_for_url(lambda url: "/sign-in" not in url)
    _tries_it(page, shots)
    code = _adds_a_card(page, shots)
    stack.conduct("--days", "15")
    _has_been_charged(page, code, shots)
    stack.conduct("--days", "9")
    due = _is_upgraded_by_an_admin(admin, shots)
    _is_told_and_charged(page, code, due)
    stack.conduct("--days", "22")
    _is_renewed_once(page, code, shots)


def _tries_it(page: Page, shots: Path | None) -> None:
    steps.signs_up(page, EMAIL, "Kilim House")
    expect(page.get_by_role("heading", name="Confirm your email address")).to_be_visible()
    steps.confirms_address(page, EMAIL)
    page.goto("/dashboard")
    expect(page.get_by_text("Professional trial, 14 days left")).to_be_visible()
    expect(page.get_by_text("2,000 credits")).to_be_visible()
    look(page, shots, "1-dashboard")


def _adds_a_card(page: Page, shots: Path | None) -> str:
    page.get_by_role("link", name="Billing").first.click()
    found = re.search(r"/vendor/([^/]+)/billing", page.url)
    assert found
    page.get_by_role("button", name="Add payment method").first.click()
    expect(page.get_by_text("Free until")).to_be_visible()
    steps.pays(page, steps.DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    look(page, shots, "2-declined")
    steps.pays(page, steps.VISA)
    expect(page).to_have_url(re.compile("/billing/done"))
    expect(page.get_by_text("€99.00").first).to_be_visible()
    look(page, shots, "3-done")
    page.goto(f"/vendor/{found.group(1)}/billing")
    expect(page.get_by_text("Active").first).to_be_visible()
    expect(page.get_by_text(re.compile("first charge", re.I)).first).to_be_visible()
    return found.group(1)


def _has_been_charged(page: Page, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/billing")
    invoices = page.locator("section, .card", has=page.get_by_role("heading", name="Latest invoices")).last
    expect(invoices.get_by_text("€99.00")).to_have_count(1)
    expect(invoices.get_by_text("Paid").first).to_be_visible()
    steps.reads_mail(page, EMAIL, re.compile("receipt|paid|payment", re.I))
    look(page, shots, "4-receipt")


def _is_upgraded_by_an_admin(admin: Page, shots: Path | None) -> int:
    admin.goto("/admin/vendors")
    admin.get_by_role("link", name="Kilim House").click()
    admin.get_by_role("link", name="Edit", exact=True).click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_role("radio", name=re.compile("Business")).check()
    dialog.get_by_role("radio", name=re.compile("Immediately")).check()
    expect(dialog.get_by_text("Due today")).to_be_visible()
    expect(dialog.get_by_text(re.compile("Unused time|Remaining time")).first).to_be_visible()
    look(admin, shots, "5-upgrade")
    due = steps.shown_amount(dialog, "Due today")
    dialog.get_by_role("button", name="Apply change").click()
    expect(admin.get_by_text("Business").first).to_be_visible()
    expect(dialog).not_to_be_visible()
    look(admin, shots, "6-upgraded")
    return due


def _is_told_and_charged(page: Page, code: str, due: int) -> None:
    """Fourteen free days, then a month: 24 days after sign-up, ten of the period's are over.

    Business costs €100.00 more than Professional. The period has 28 to 31 days, so between 18/28 and 22/31 of it are
    left, less what passed since: €64.28 to €71.00. To the second it is held against the invoice of the sandbox, which
    computes from its own periods, and in tests/subscriptions against figures worked by hand.
    """
    assert 6300 <= due <= 7100
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text(f"€{due / 100:.2f}").first).to_be_visible()
    expect(page.get_by_text("Business").first).to_be_visible()
    steps.reads_mail(page, EMAIL, re.compile("Business"))


def _is_renewed_once(page: Page, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("€199.00").first).to_be_visible()
    expect(page.get_by_text("10,000 credits")).to_be_visible()
    look(page, shots, "7-renewed")

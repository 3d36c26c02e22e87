"""Two-step sign-in in a browser, from the QR code to the lost phone; and what differs from Stripe, repaired by hand."""

import re
from pathlib import Path

import pyotp
import requests
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.conftest import Member, OpenPage
from tests.browser.stack import Stack
from tests.browser.test_axe import look_at


def test_a_phone_is_set_up_asked_for_lost_and_given_up(
    open_page: OpenPage, cast: dict[str, Member], shots: Path | None
) -> None:
    wrong: list[str] = []
    page = open_page()
    steps.signs_in(page, cast["leaving"].email)
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.goto("/profile")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Your password").fill(steps.PASSWORD)
    page.get_by_role("button", name="Continue").click()
    picture = page.get_by_role("img", name=re.compile("QR code"))
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
    secret = page.locator("[data-copy]").get_attribute("data-copy")
    assert secret is not None
    secret = secret.replace(" ", "")
    page.get_by_label("Code from the app").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Keep these now: they are not shown again")).to_be_visible()
    codes = page.locator("li code").all_inner_texts()
    assert len(codes) == 10
    wrong += look_at(page, "two-step-codes", shots)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
    wrong += look_at(page, "profile-two-step", shots)

    elsewhere = open_page()
    steps.signs_in(elsewhere, cast["leaving"].email)
    expect(elsewhere.get_by_role("heading", name="Enter your code")).to_be_visible()
    expect(elsewhere.get_by_label("Code")).to_be_focused()
    elsewhere.get_by_label("Code").fill("000 000")
    elsewhere.get_by_role("button", name="Sign in").click()
    expect(elsewhere.locator("[aria-invalid=true]")).to_be_visible()
    wrong += look_at(elsewhere, "two-step-code", shots)
    elsewhere.get_by_role("link", name="I do not have my phone").click()
    wrong += look_at(elsewhere, "two-step-recovery", shots)
    elsewhere.get_by_label("Recovery code").fill(codes[0])
    elsewhere.get_by_role("button", name="Sign in").click()
    expect(elsewhere.get_by_text("9 recovery codes are left.").first).to_be_visible()

    page.goto("/profile/second-factor/codes")
    wrong += look_at(page, "two-step-renew", shots)
    page.goto("/profile/second-factor/off")
    wrong += look_at(page, "two-step-off", shots)
    page.get_by_label("Your password").fill(steps.PASSWORD)
    page.get_by_label("Code").fill(codes[1])
    page.get_by_role("button", name="Switch it off").click()
    expect(page.get_by_text("Two-step sign-in is off.").first).to_be_visible()
    assert not wrong, "\n".join(wrong)


def test_what_differs_from_stripe_is_shown_and_repaired(
    admin: Page, cast: dict[str, Member], stack: Stack, shots: Path | None
) -> None:
    admin.goto(f"/admin/vendors/{cast['added'].vendor_id}")
    customer = admin.locator("[data-copy^=cus_]").get_attribute("data-copy")
    key = (stack.env["STRIPE_SECRET_KEY"], "")
    address = f"{stack.sandbox_url}/v1/subscriptions"
    held = requests.get(address, params={"customer": customer}, auth=key, timeout=20).json()["data"][0]["id"]
    stack.fault(kind="drop_events", times=100)
    try:
        requests.post(
            f"{address}/{held}", data={"cancel_at_period_end": "true"}, auth=key, timeout=20
        ).raise_for_status()
        admin.get_by_role("link", name="Compare with Stripe").click()
        dialog = admin.get_by_role("dialog")
        expect(dialog.get_by_role("row", name="Ends with the period no yes")).to_be_visible()
        wrong = look_at(admin, "compare-differs", shots)
        admin.set_viewport_size({"width": 1280, "height": 900})
        dialog.get_by_role("button", name="Repair 1 difference").click()
        expect(dialog).to_be_hidden()
        expect(admin.get_by_text("1 difference of Sea Glass is repaired.")).to_be_visible()
        requests.post(f"{address}/{held}", data={"cancel_at_period_end": "false"}, auth=key, timeout=20)
        admin.get_by_role("link", name="Compare with Stripe").click()
        dialog.get_by_role("button", name="Repair 1 difference").click()
        expect(dialog).to_be_hidden()
    finally:
        stack.clear_faults()
    assert not wrong, "\n".join(wrong)

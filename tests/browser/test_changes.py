"""Changing the plan in a browser: a payment that the bank wants confirmed, and a step down with its losses."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser import steps
from tests.browser.conftest import Member, OpenAs
from tests.browser.test_axe import THOROUGH, too_wide, violations

CONFIRMED_BY_THE_BANK = "4000 0027 6000 3184"


def look(page: Page, shots: Path | None, name: str) -> None:
    if shots:
        page.screenshot(path=shots / f"changes-{name}.png", full_page=True)


def sound(page: Page) -> None:
    """No barrier, in light and (where colours are judged) in dark."""
    assert violations(page) == []
    if THOROUGH:
        page.emulate_media(color_scheme="dark")
        assert violations(page) == []
        page.emulate_media(color_scheme="light")


def upgrades(page: Page, code: str, shots: Path | None) -> int:
    """Confirm the change to Professional today; gives what was shown, in cents."""
    page.goto(f"/vendor/{code}/plans")
    page.get_by_role("link", name="Upgrade to Professional today").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Due today")).to_be_visible()
    due = steps.shown_amount(dialog, "Due today")
    sound(page)
    look(page, shots, "1-preview")
    dialog.get_by_role("button", name=f"Pay €{due / 100:.2f} and upgrade").click()
    expect(page.get_by_text("Confirm your card: Professional opens when it is paid")).to_be_visible()
    return due


def plan_card(page: Page) -> Locator:
    return page.locator("#plan")


def until_it_stands(page: Page, code: str, words: str) -> None:
    """Stripe's event is on its way: look again until the plan card says so."""
    for _ in range(60):
        page.goto(f"/vendor/{code}/billing")
        if plan_card(page).get_by_text(words, exact=True).count():
            return
        page.wait_for_timeout(250)
    expect(plan_card(page).get_by_text(words, exact=True)).to_be_visible()


def test_an_upgrade_that_the_bank_wants_confirmed_is_given_up_then_led_through(
    open_as: OpenAs, cast: dict[str, Member], shots: Path | None
) -> None:
    who = cast["asked"]
    page = open_as(who.email)
    upgrades(page, who.code, shots)
    expect(plan_card(page).get_by_text("Essential", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("You can confirm until"))).to_be_visible()
    sound(page)
    look(page, shots, "2-confirm-your-card")
    page.set_viewport_size({"width": 320, "height": 800})
    assert too_wide(page) == 0
    look(page, shots, "3-confirm-your-card-320")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Give up the change").click()
    expect(page.get_by_text("The change was given up. Nothing was charged")).to_be_visible()
    due = upgrades(page, who.code, None)
    page.get_by_role("link", name=f"Confirm your card and pay €{due / 100:.2f}").click()
    steps.pays(page, CONFIRMED_BY_THE_BANK)
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("Invoice paid. Thank you.")).to_be_visible()
    until_it_stands(page, who.code, "Professional")
    expect(page.get_by_text(f"€{due / 100:.2f}").first).to_be_visible()
    steps.reads_mail(page, who.email, re.compile("Professional"))


def test_a_step_down_shows_the_losses_asks_for_a_word_and_can_be_taken_back(
    open_as: OpenAs, cast: dict[str, Member], shots: Path | None
) -> None:
    who = cast["paying"]
    page = open_as(who.email)
    page.goto(f"/vendor/{who.code}/plans")
    page.get_by_role("link", name=re.compile("Switch to Professional on")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Team members: 12 in use, 3 allowed")).to_be_visible()
    sound(page)
    look(page, shots, "4-step-down")
    dialog.get_by_role("button", name=re.compile("^Switch on")).click()
    expect(dialog.get_by_role("alert")).to_contain_text("confirm below that you know what you lose")
    dialog.get_by_role("checkbox", name=re.compile("I know what I lose")).check()
    dialog.get_by_role("button", name=re.compile("^Switch on")).click()
    expect(dialog).not_to_be_visible()
    page.goto(f"/vendor/{who.code}/billing")
    expect(page.get_by_text(re.compile("Changes to Professional on"))).to_be_visible()
    sound(page)
    look(page, shots, "5-planned")
    page.get_by_role("button", name="Keep Business").click()
    expect(page.get_by_text(re.compile("Changes to Professional on"))).to_be_hidden()

"""What pages do under one's hands: focus, keys, toasts, drawer, theme, language, busy buttons, paper."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser import steps
from tests.browser.conftest import Member, OpenAs, OpenPage
from tests.browser.test_axe import too_wide, violations
from tests.browser.test_changes import sound


def _to_extend_trial(admin: Page, who: Member) -> Locator:
    admin.goto(f"/admin/vendors/{who.vendor_id}")
    admin.get_by_role("link", name="Extend trial").click()
    dialog = admin.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Extend trial")).to_be_visible()
    return dialog


def test_a_modal_takes_the_focus_and_gives_it_back(admin: Page, cast: dict[str, Member]) -> None:
    dialog = _to_extend_trial(admin, cast["trying"])
    assert dialog.evaluate("d => d.contains(document.activeElement)")
    for _ in range(12):  # round and round, never out into the page behind
        admin.keyboard.press("Tab")
        assert admin.evaluate("document.activeElement === document.body || "
                              "document.querySelector('#modal').contains(document.activeElement)")  # fmt: skip
    admin.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(admin.get_by_role("link", name="Extend trial")).to_be_focused()
    admin.get_by_role("link", name="Extend trial").press("Enter")
    dialog.get_by_role("link", name="Cancel").click()
    expect(admin.get_by_role("link", name="Extend trial")).to_be_focused()


def test_what_is_wrong_is_pointed_at_and_what_was_typed_stays(admin: Page, cast: dict[str, Member]) -> None:
    dialog = _to_extend_trial(admin, cast["trying"])
    reason = "They asked for more time on the phone."
    dialog.get_by_label("Days").fill("91")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Extend trial").click()
    days = dialog.get_by_label("Days")
    expect(days).to_have_attribute("aria-invalid", "true")
    expect(days).to_be_focused()
    expect(days).to_have_value("91")
    expect(dialog.get_by_label("Reason")).to_have_value(reason)
    expect(dialog.get_by_text("Give between 1 and 90 days.").first).to_be_visible()


def test_success_closes_the_modal_is_announced_and_shows_at_once(admin: Page, cast: dict[str, Member]) -> None:
    """Four days were left of the trial; seven more make eleven."""
    dialog = _to_extend_trial(admin, cast["ending"])
    dialog.get_by_label("Days").fill("7")
    dialog.get_by_label("Reason").fill("Waits for the photographs.")
    dialog.get_by_role("button", name="Extend trial").click()
    expect(dialog).to_be_hidden()
    expect(admin.get_by_role("status").get_by_text("The trial of Tulip & Thread runs until")).to_be_visible()
    expect(admin.get_by_text("Waits for the photographs.")).to_be_visible()
    sound(admin)


def test_a_page_sent_wrong_opens_at_the_first_mistake(page: Page) -> None:
    page.goto("/sign-up?tier=professional")
    page.get_by_label("Business name").fill("Kept")
    page.get_by_label("Your name").fill("Kept too")
    page.get_by_label("Password", exact=True).fill(steps.PASSWORD)
    page.get_by_label("Email address").fill("no address")
    page.get_by_role("button", name="Start 14 days free").click()
    expect(page.get_by_label("Email address")).to_be_focused()
    expect(page.get_by_label("Email address")).to_have_value("no address")
    expect(page.get_by_label("Business name")).to_have_value("Kept")


def test_many_mistakes_are_listed_first_and_lead_to_their_fields(page: Page) -> None:
    page.goto("/sign-up?tier=professional")
    page.get_by_role("button", name="Start 14 days free").click()
    errors = page.get_by_role("alert")
    expect(errors).to_be_focused()
    errors.get_by_role("link", name="Email address").press("Enter")
    expect(page.get_by_label("Email address")).to_be_focused()


def test_a_form_that_fills_its_page_is_never_shown_twice(cast: dict[str, Member], open_as: OpenAs) -> None:
    """Opened in a tab of its own it answers there: with the modal above it, each name would stand there twice."""
    page = open_as(cast["trying"].email)
    page.goto(f"/vendor/{cast['trying'].code}/team/invite")
    page.get_by_role("button", name="Send the invitation").click()
    expect(page.get_by_label("Email address")).to_be_focused()
    expect(page.get_by_text("Enter an email address.")).to_be_visible()
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.get_by_label("Email address").fill("own.tab@elsewhere.example")
    page.get_by_role("button", name="Send the invitation").click()
    expect(page).to_have_url(re.compile(r"/team$"))
    expect(page.get_by_text("The invitation to own.tab@elsewhere.example is on its way.")).to_be_visible()


def test_the_menu_is_a_drawer_on_a_phone(cast: dict[str, Member], open_as: OpenAs) -> None:
    page = open_as(cast["trying"].email, 390)
    page.goto("/dashboard")
    plans = page.get_by_role("navigation", name="Main").get_by_role("link", name="Plans")
    expect(plans).to_be_hidden()
    page.get_by_role("button", name="Menu").press("Enter")
    expect(plans).to_be_visible()
    assert violations(page) == []
    assert too_wide(page) == 0
    page.keyboard.press("Escape")
    expect(plans).to_be_hidden()
    expect(page.get_by_role("button", name="Menu")).to_be_focused()
    page.get_by_role("button", name="Menu").click()
    plans.click()
    expect(page.get_by_role("heading", name="Plans", level=1)).to_be_visible()


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_dark_is_chosen_at_once_and_kept(open_page: OpenPage) -> None:
    page = open_page()
    page.goto("/pricing")
    light = _background(page)
    page.locator("summary").filter(has_text="Light or dark").click()
    with page.expect_response(lambda answer: answer.url.endswith("/preferences")):
        page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = _background(page)
    assert dark != light
    page.goto("/sign-in")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert _background(page) == dark


def test_the_language_is_changed_at_the_foot_of_any_page(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def _focused_row(page: Page) -> str:
    return str(page.evaluate("document.activeElement.closest('tr')?.querySelector('a')?.textContent ?? ''"))


def test_the_vendors_table_is_walked_by_keys(admin: Page, cast: dict[str, Member]) -> None:
    admin.goto("/admin/vendors?sort=name")
    names = admin.locator("table[data-rows] tbody tr th a").all_text_contents()
    assert len(names) >= len({about.vendor_id for about in cast.values() if about.vendor_id})
    walked = []
    for key in ("j", "j", "j", "k"):
        admin.keyboard.press(key)
        walked.append(_focused_row(admin))
    assert walked == [names[0], names[1], names[2], names[1]]
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", level=1)).to_have_text(names[1])


def test_a_slash_begins_the_search_and_the_table_follows_what_is_typed(admin: Page, cast: dict[str, Member]) -> None:
    admin.goto("/admin/vendors")
    expect(admin.get_by_role("link", name="Sea Glass")).to_be_visible()
    admin.keyboard.press("/")
    search = admin.get_by_role("searchbox")
    expect(search).to_be_focused()
    admin.keyboard.type("atelier j")  # j is a letter here
    expect(admin.get_by_text("No vendor matches")).to_be_visible()
    expect(search).to_have_value("atelier j")
    search.fill("atelier")
    expect(admin.get_by_role("link", name="Atelier Marais")).to_be_visible()
    expect(admin.get_by_role("link", name="Sea Glass")).to_have_count(0)
    expect(search).to_be_focused()
    expect(admin).to_have_url(re.compile("q=atelier"))


def test_a_button_keeps_its_size_while_it_works_and_works_once(admin: Page, cast: dict[str, Member]) -> None:
    dialog = _to_extend_trial(admin, cast["trying"])
    button = dialog.get_by_role("button", name="Extend trial")
    size, sent = "b => [b.offsetWidth, b.offsetHeight]", []
    idle = button.evaluate(size)

    def answers_late(route: object) -> None:
        sent.append(route)

    admin.route("**/trial", lambda route: answers_late(route) if route.request.method == "POST" else route.continue_())
    button.click()
    expect(button).to_have_attribute("aria-busy", "true")
    button.click(force=True)
    assert button.evaluate(size) == idle
    assert len(sent) == 1
    sent[0].continue_()  # type: ignore[attr-defined]
    expect(dialog.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_role("button", name="Extend trial")).not_to_have_attribute("aria-busy", "true")


def test_a_failure_on_our_side_is_a_toast_with_another_try(admin: Page, cast: dict[str, Member]) -> None:
    admin.goto(f"/admin/vendors/{cast['trying'].vendor_id}")
    admin.route("**/trial", lambda route: route.fulfill(status=503, body=""))
    admin.get_by_role("link", name="Extend trial").click()
    told = admin.get_by_role("status").get_by_text("Something failed on our side.")
    expect(told).to_be_visible()
    admin.unroute("**/trial")
    admin.get_by_role("status").get_by_role("button", name="Try again").click()
    expect(admin.get_by_role("dialog").get_by_role("heading", name="Extend trial")).to_be_visible()


def test_billing_on_paper_is_the_matter_alone(cast: dict[str, Member], open_as: OpenAs) -> None:
    page = open_as(cast["paying"].email)
    page.goto(f"/vendor/{cast['paying'].code}/billing")
    page.emulate_media(media="print")
    for left_out in (
        page.get_by_role("navigation", name="Main"),
        page.locator(".topbar"),
        page.get_by_role("link", name="Change plan"),
    ):
        expect(left_out.first).to_be_hidden()
    for printed in ("Your plan", "Usage", "Latest invoices"):
        expect(page.get_by_role("heading", name=printed)).to_be_visible()
    expect(page.get_by_text("€199.00").first).to_be_visible()


def test_the_first_tab_leads_past_the_navigation(cast: dict[str, Member], open_as: OpenAs) -> None:
    page = open_as(cast["trying"].email)
    page.goto("/dashboard")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

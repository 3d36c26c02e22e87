"""Days on which something goes wrong: nothing changes that should not, and pages say what is true and what to do."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.conftest import Member, OpenAs, OpenPage
from tests.browser.stack import Stack
from tests.support.stories import own_card

ASKS_THE_BANK = "4000 0027 6000 3184"


def _starts(open_page: OpenPage, name: str) -> Page:
    """A vendor in its trial, at its billing page."""
    page = open_page()
    steps.signs_up(page, f"{name}@bad.example", f"{name.title()} Trading")
    expect(page.get_by_role("heading", name="Confirm your email address")).to_be_visible()
    page.goto(f"/vendor/{name}-trading/billing")
    expect(page.get_by_text("14 days left in your trial")).to_be_visible()
    return page


def _is_still_trying(page: Page, name: str) -> None:
    page.goto(f"/vendor/{name}-trading/billing")
    expect(page.get_by_text("14 days left in your trial")).to_be_visible()
    expect(page.get_by_text("No invoices yet")).to_be_visible()


def test_a_declined_card_changes_nothing_and_another_one_pays(open_page: OpenPage) -> None:
    page = _starts(open_page, "declan")
    page.get_by_role("button", name="Add payment method").click()
    checkout = page.url
    steps.pays(page, steps.DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    _is_still_trying(page, "declan")
    page.goto(checkout)
    steps.pays(page, own_card(601))
    expect(page.get_by_role("heading", name="Payment method added, Professional is active")).to_be_visible()


def test_the_bank_refuses_and_then_agrees(open_page: OpenPage) -> None:
    page = _starts(open_page, "banu")
    page.get_by_role("button", name="Add payment method").click()
    steps.pays(page, ASKS_THE_BANK)
    page.get_by_role("button", name=re.compile("Fail", re.I)).click()
    expect(page.get_by_role("alert")).to_contain_text("unable to authenticate")
    checkout = page.url.removesuffix("/authenticate")
    _is_still_trying(page, "banu")
    page.goto(checkout)
    steps.pays(page, ASKS_THE_BANK)
    page.get_by_role("button", name=re.compile("Complete", re.I)).click()
    expect(page.get_by_role("heading", name="Payment method added, Professional is active")).to_be_visible()
    page.goto("/vendor/banu-trading/billing")
    expect(page.get_by_text("Active").first).to_be_visible()


def test_whoever_leaves_the_payment_page_is_where_they_were(open_page: OpenPage) -> None:
    page = _starts(open_page, "carla")
    page.get_by_role("button", name="Add payment method").click()
    page.get_by_role("link", name="Cancel and go back").click()
    expect(page.get_by_text("You left the payment page")).to_be_visible()
    expect(page.get_by_text("14 days left in your trial")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Subscribe to Professional")).to_be_visible()


def test_an_expired_payment_page_says_so_and_leads_to_a_new_one(open_page: OpenPage) -> None:
    page = _starts(open_page, "exie")
    page.get_by_role("button", name="Add payment method").click()
    order = page.url.rsplit("/", 1)[-1]
    page.get_by_role("button", name="Let it expire").click()
    page.goto(f"/vendor/exie-trading/billing/done?session_id={order}")
    expect(page.get_by_role("heading", name="The payment page has expired")).to_be_visible()
    expect(page.get_by_text("Nothing was charged")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Start trial")).to_be_visible()
    assert page.url.rsplit("/", 1)[-1] != order


def test_somebody_elses_success_page_is_not_found(cast: dict[str, Member], open_as: OpenAs) -> None:
    theirs, mine = cast["paying"], cast["trying"]
    page = open_as(mine.email)
    for code in (mine.code, theirs.code):
        answer = page.goto(f"/vendor/{code}/billing/done?session_id={theirs.order}")
        assert answer is not None
        assert answer.status == 404
        expect(page.get_by_text("Business")).to_have_count(0)
    page.goto(f"/vendor/{mine.code}/billing")
    expect(page.get_by_text("14 days left in your trial")).to_be_visible()


def test_a_failed_payment_is_announced_and_paid_on_the_invoice_page(
    cast: dict[str, Member], open_as: OpenAs, stack: Stack
) -> None:
    """Essential is €49.00 a month; this card had a trial before, so it was charged today, and refused."""
    who = cast["behind"]
    page = open_as(who.email)
    page.goto("/dashboard")
    expect(page.get_by_text("An invoice is unpaid")).to_be_visible()
    page.get_by_role("link", name="Pay now").click()
    expect(page).to_have_url(re.compile(f"/vendor/{who.code}/billing#pay"))
    page.get_by_role("link", name="Pay €49.00 now").click()
    expect(page.get_by_text("€49.00").first).to_be_visible()
    steps.pays(page, own_card(602))
    expect(page.get_by_text("Invoice paid. Thank you.")).to_be_visible()
    _becomes_active(page, who)


def _becomes_active(page: Page, who: Member) -> None:
    """Stripe's event may be a moment on its way."""
    for _ in range(40):
        page.goto(f"/vendor/{who.code}/billing")
        if page.get_by_text("The last payment failed").count() == 0:
            break
        page.wait_for_timeout(250)
    expect(page.get_by_text("The last payment failed")).to_have_count(0)
    plan = page.locator(".card", has=page.get_by_role("heading", name="Your plan"))
    expect(plan.get_by_text("Active")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Pay"))).to_have_count(0)


@pytest.fixture
def stripe_is_down(stack: Stack) -> Iterator[Stack]:
    """Stripe answers 500 to everything, as often as it is asked."""
    stack.fault(kind="status", status=500, path="/v1/", times=1000)
    yield stack
    stack.clear_faults()


def test_while_stripe_is_down_the_page_says_that_nothing_was_charged(open_page: OpenPage, stack: Stack) -> None:
    page = _starts(open_page, "stina")
    stack.fault(kind="status", status=500, path="POST /v1/checkout/sessions", times=50)
    try:
        page.get_by_role("button", name="Add payment method").click()
        expect(page.get_by_role("main")).to_contain_text(re.compile("Stripe|payment service", re.I))
        expect(page.get_by_role("link", name="Back to billing")).to_be_visible()
    finally:
        stack.clear_faults()
    page.get_by_role("link", name="Back to billing").click()
    expect(page.get_by_text("14 days left in your trial")).to_be_visible()
    page.get_by_role("button", name="Add payment method").click()
    steps.pays(page, own_card(603))
    expect(page.get_by_role("heading", name="Payment method added, Professional is active")).to_be_visible()


def test_a_preview_that_stripe_cannot_give_is_not_guessed(
    cast: dict[str, Member], open_as: OpenAs, stripe_is_down: Stack
) -> None:
    who = cast["paying"]
    page = open_as(who.email)
    page.goto(f"/vendor/{who.code}/plans?cycle=yearly")
    page.locator("article", has=page.get_by_role("heading", name="Business")).locator(
        "a[href*='/plans/change']"
    ).click()
    dialog = page.get_by_role("dialog")
    expect(
        dialog.get_by_text("Stripe does not answer, so the amount is not known. Nothing was changed.")
    ).to_be_visible()
    expect(dialog.get_by_role("button", name=re.compile("Pay|Change|Upgrade"))).to_have_count(0)
    stripe_is_down.clear_faults()
    dialog.get_by_role("link", name=re.compile("again", re.I)).click()
    expect(dialog.get_by_text("Due today")).to_be_visible()

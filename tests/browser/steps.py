"""What people do, in words."""

import re
from datetime import datetime

from playwright.sync_api import Locator, Page, expect

from tests.browser.stack import Stack

PASSWORD = "velvet-orchard-quartz-91"
VISA = "4242 4242 4242 4242"
DECLINED = "4000 0000 0000 0002"
ADMIN = "admin@portal.example"


def signs_up(page: Page, email: str, business: str, tier: str = "Professional") -> None:
    """From the pricing page: choose a tier, fill in four fields."""
    page.goto("/pricing")
    card = page.locator("article, section, li", has=page.get_by_role("heading", name=tier, exact=True)).last
    card.get_by_role("link", name="Start 14 days free").click()
    expect(page.get_by_text(tier).first).to_be_visible()
    page.get_by_label("Business name").fill(business)
    page.get_by_label("Your name").fill("Elif Aydin")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Start 14 days free").click()


def reads_mail(page: Page, email: str, subject: str | re.Pattern[str]) -> None:
    """Open the newest mail to this address with this subject on the pages of the local mailbox."""
    row = page.get_by_role("row").filter(has_text=email).filter(has_text=subject).first
    older = page.locator("nav.pager a[rel=next]")
    for _ in range(40):
        page.goto("/mailbox")
        while not row.count() and older.count():
            page.goto(older.get_attribute("href") or "/mailbox")
        if row.count():
            break
        page.wait_for_timeout(250)
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(subject)


def confirms_address(page: Page, email: str) -> None:
    """Follow the link in the mail and press the button there."""
    reads_mail(page, email, re.compile("[Cc]onfirm"))
    page.locator("a[href*='/verify/']").first.click()
    page.get_by_role("button", name="Yes, confirm my address").click()


def signs_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Through the sign-in page."""
    page.goto("/sign-in")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def is_signed_in(page: Page, email: str) -> None:
    """The same without looking at the page, for those who are about to do something else."""
    asked = page.request.get("/sign-in").text()
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', asked)
    assert token, asked
    told = {"email": email, "password": PASSWORD, "csrf_token": token.group(1)}
    answer = page.request.post("/sign-in", form=told)
    assert answer.ok and "/sign-in" not in answer.url, answer.text()


def follows_invitation(page: Page, stack: Stack) -> None:
    """The operator's first person chooses a password by the link that the command printed."""
    found = re.search(r"(/password/reset/\S+)", stack.invitation)
    assert found, stack.invitation
    page.goto(found.group(1))
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Set this password").click()
    page.wait_for_url(lambda url: "/password/" not in url)


def pays(page: Page, card: str = VISA) -> None:
    """Fill in the sandbox's Checkout page."""
    page.get_by_label("Card number").fill(card)
    page.locator("form#pay").get_by_role("button").first.click()


def shown_amount(place: Locator, label: str) -> int:
    """The amount beside a label, in cents."""
    row = place.locator("tr, li, div, dl > *").filter(has_text=label).last
    found = re.findall(r"-?€[\d,]+\.\d\d", row.inner_text())
    assert found, row.inner_text()
    return int(re.sub(r"[^\d-]", "", found[-1]))


def business_time(stack: Stack) -> datetime:
    """What the portal takes for now."""
    return datetime.fromtimestamp(float(stack.sandbox_get("/_sandbox/status")["now"])).astimezone()

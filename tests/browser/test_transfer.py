"""A life paid by bank transfer in a browser, at an operator that has no Stripe at all (SUB-10, ADM-9)."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from portal.subscriptions.rules import add_months
from tests.browser import stack as stacks
from tests.browser import steps
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack
from tests.browser.test_axe import look_at

EMAIL = "elif@kilim.example"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A portal of its own, without STRIPE_SECRET_KEY and without the sandbox; its clock can be moved."""
    folder = tmp_path_factory.mktemp("bank") / "var"
    running = stacks.start(folder, SANDBOX="0", CLOCK_OFFSET_FILE=str(folder / "clock-offset"))
    running.flask("take-transfers")
    running.invite_admin(steps.ADMIN)
    yield running
    running.stop()


def look(page: Page, shots: Path | None, name: str) -> None:
    if shots:
        page.screenshot(path=shots / f"transfer-{name}.png", full_page=True)


def judge(page: Page, shots: Path | None, name: str) -> None:
    """Nothing may be wrong with it, at a desk and on a phone, in light and dark."""
    wrong = look_at(page, f"transfer-{name}", shots)
    assert not wrong, "\n".join(wrong)
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.thorough
def test_from_sign_up_to_suspension_and_back(open_page: OpenPage, stack: Stack, shots: Path | None) -> None:
    page, admin = open_page(), open_page()
    code = _chooses_the_transfer(page, shots)
    _hands_in_a_proof(page, shots)
    steps.follows_invitation(admin, stack)
    steps.signs_in(admin, steps.ADMIN)
    admin.wait_for_url(lambda url: "/sign-in" not in url)
    _is_approved(admin, shots)
    _is_active(page, code, shots)
    stack.conduct("--days", "1")
    _is_asked_to_renew(page, code, shots)
    stack.conduct("--days", "3")
    _is_behind(page, code, shots)
    stack.conduct("--days", "3")
    _is_suspended(page, code, shots)
    _comes_back(page, admin, code, shots)


def _chooses_the_transfer(page: Page, shots: Path | None) -> str:
    steps.signs_up(page, EMAIL, "Kilim House")
    steps.confirms_address(page, EMAIL)
    page.goto("/dashboard")
    page.get_by_role("link", name="Billing").first.click()
    found = re.search(r"/vendor/([^/]+)/billing", page.url)
    assert found
    page.get_by_role("button", name="Add payment method").first.click()
    expect(page.get_by_text("coming soon")).to_be_visible()
    judge(page, shots, "1-methods")
    page.get_by_role("radio", name=re.compile("Bank transfer")).check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Legal name").fill("Kilim House Ltd")
    page.get_by_label(re.compile("Street")).fill("Hauptstr. 1")
    page.get_by_label(re.compile("Post")).fill("10115")
    page.get_by_label(re.compile("City|Town")).fill("Berlin")
    page.get_by_label("Country").select_option("DE")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("radio", name=re.compile("Bank transfer")).check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("DE02 1203 0000 0000 2020 51")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^RF\d\d 0000"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Code for banking apps"))).to_be_visible()
    judge(page, shots, "2-page")
    return found.group(1)


def _hands_in_a_proof(page: Page, shots: Path | None) -> None:
    page.set_input_files("input[type=file]", {"name": "no.png", "mimeType": "image/png", "buffer": b"<svg></svg>"})
    page.get_by_role("button", name="Send the proof").click()
    expect(page.get_by_text("Please hand in a PDF, PNG or JPEG").first).to_be_visible()
    look(page, shots, "3-refused")
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(out, "PNG")
    page.set_input_files("input[type=file]", {"name": "r.png", "mimeType": "image/png", "buffer": out.getvalue()})
    page.get_by_role("button", name="Send the proof").click()
    expect(page.get_by_text("Proof sent, being checked")).to_be_visible()
    look(page, shots, "4-proof")


def _is_approved(admin: Page, shots: Path | None) -> None:
    """The paid month began weeks ago, as was agreed on the telephone: it ends in two or three days."""
    admin.goto("/admin/transfers")
    expect(admin.get_by_text("Kilim House").first).to_be_visible()
    look(admin, shots, "5-queue")
    admin.get_by_role("link", name="Approve the transfer of Kilim House").click()
    dialog = admin.get_by_role("dialog")
    expect(dialog.get_by_label("Amount that arrived")).to_have_value("99.00")
    today = datetime.now(UTC)  # the clock has not been moved yet
    agreed = (today - timedelta(days=days) for days in range(25, 33))
    began = next(day for day in agreed if 2 <= (add_months(day, 1) - today).days <= 3)
    dialog.get_by_label("Paid period begins on").fill(began.date().isoformat())
    judge(admin, shots, "6-approve")
    dialog.get_by_role("button", name="Count the money").click()
    expect(admin.get_by_text("Nobody owes a transfer")).to_be_visible()
    expect(dialog).not_to_be_visible()


def _is_active(page: Page, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("Active").first).to_be_visible()
    expect(page.get_by_text("Bank transfer").first).to_be_visible()
    look(page, shots, "7-active")
    steps.reads_mail(page, EMAIL, re.compile("has arrived"))


def _is_asked_to_renew(page: Page, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("€99.00 is waiting for your bank transfer")).to_be_visible()
    look(page, shots, "8-renewal")
    page.get_by_role("link", name="How to pay").first.click()
    expect(page.get_by_text("DE02 1203 0000 0000 2020 51")).to_be_visible()


def _is_behind(page: Page, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("The payment has not arrived")).to_be_visible()
    expect(page.get_by_role("link", name="How to pay €99.00")).to_be_visible()
    look(page, shots, "9-past-due")


def _is_suspended(page: Page, code: str, shots: Path | None) -> None:
    page.goto("/dashboard")
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("Your subscription is suspended").first).to_be_visible()
    look(page, shots, "10-suspended")


def _comes_back(page: Page, admin: Page, code: str, shots: Path | None) -> None:
    """The money stands on a statement, beside something else."""
    page.goto(f"/vendor/{code}/transfer")
    reference = page.get_by_text(re.compile(r"^RF\d\d 0000")).inner_text()
    day = datetime.now(UTC).strftime("%d.%m.%Y")
    table = f"Buchungstag;Name;Verwendungszweck;Betrag\n{day};Kilim;{reference};99,00\n{day};Bank;Fees;1,00\n"
    admin.goto("/admin/transfers/import")
    admin.set_input_files("input[type=file]", {"name": "n.csv", "mimeType": "text/csv", "buffer": table.encode()})
    admin.get_by_role("button", name="Read the file").click()
    expect(admin.get_by_label("Day of booking")).to_have_value("0")
    judge(admin, shots, "11-columns")
    admin.get_by_role("button", name="Import 2 lines").click()
    expect(admin.get_by_text("by reference")).to_be_visible()
    judge(admin, shots, "12-queue")
    admin.get_by_role("link", name="Reject the transfer of Kilim House").click()
    expect(admin.get_by_role("dialog").get_by_label("Reason")).to_be_visible()
    judge(admin, shots, "13-reject")
    admin.keyboard.press("Escape")
    admin.get_by_role("button", name="It pays this").click()
    expect(admin.get_by_text("Nobody owes a transfer")).to_be_visible()
    page.goto(f"/vendor/{code}/billing")
    expect(page.get_by_text("Active").first).to_be_visible()
    expect(page.get_by_text("Paid").first).to_be_visible()
    look(page, shots, "14-back")

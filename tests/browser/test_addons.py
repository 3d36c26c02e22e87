"""Add-ons in a browser (ADD-1 to ADD-7): bought, watched, failing, tried again, done by staff, cancelled, kept.

The registrar, the mail server and DNS are servers on this machine that speak the protocols of the real ones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.addons.test_certificate import Authority
from tests.browser import stack as stacks
from tests.browser import steps
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack
from tests.browser.test_axe import look_at
from tests.support import far_servers, name_server
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer
from tests.support.outside import CONTACT

EMAIL = "elif@kilim.example"
NAME = "kilimhouse.com"
PEOPLE = ("info", "orders", "elif", "press", "jobs")
SECRET = "violet-harbour-quartz-4711"


@dataclass(frozen=True)
class World:
    """Those outside whom the portal speaks to."""

    account: Namecheap
    mail: Mailcow
    names: NameServer

    def dns_spreads(self, platform: str) -> None:
        """Everybody's DNS knows what stands in the registrar's zone now."""
        self.names.set(platform, "A", "203.0.113.9")
        found: dict[tuple[str, str], list[str]] = {}
        for host in self.account.zones[NAME]:
            full = NAME if host["HostName"] == "@" else f"{host['HostName']}.{NAME}"
            kind, value = host["RecordType"], host["Address"].rstrip(".")
            if kind == "ALIAS":
                kind, value = "A", self.names.records[value, "A"][0]
            found.setdefault((full, kind), []).append(f"{host['MXPref']} {value}" if kind == "MX" else value)
        for (full, kind), values in found.items():
            self.names.set(full, kind, *values)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A registrar, a host of mailboxes and a name server."""
    with far_servers.namecheap() as account, far_servers.mailcow() as mail, name_server.serving() as names:
        yield World(account, mail, names)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Stack]:
    """A portal of its own, which knows that world; weeks go by in it."""
    running = stacks.start(
        tmp_path_factory.mktemp("addons") / "var",
        PLATFORM_DOMAIN="lumashop.com",
        DNS_RESOLVERS=world.names.address,
        NAMECHEAP_API_USER="shop",
        NAMECHEAP_API_KEY=far_servers.API_KEY,
        NAMECHEAP_CLIENT_IP="203.0.113.5",
        NAMECHEAP_API_URL=world.account.url,
        NAMECHEAP_CONTACT=CONTACT,
        MAILCOW_URL=world.mail.url,
        MAILCOW_API_KEY=far_servers.MAIL_KEY,
        MAILCOW_HOST="mail.lumashop.com",
    )
    running.invite_admin(steps.ADMIN)
    yield running
    running.stop()


def judge(page: Page, shots: Path | None, name: str) -> None:
    """Nothing may be wrong with it. Its pages are judged at each width and in both schemes among all others."""
    wrong = look_at(page, f"addons-{name}", shots, again=True)
    assert not wrong, "\n".join(wrong)
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.thorough
def test_a_domain_mailboxes_and_a_certificate(
    open_page: OpenPage, stack: Stack, world: World, shots: Path | None
) -> None:
    page, admin = open_page(), open_page()
    steps.follows_invitation(admin, stack)
    steps.signs_in(admin, steps.ADMIN)
    code = _has_a_plan_that_is_paid(page, stack)
    platform = f"{code.lower()}.lumashop.com"
    _buys_a_domain(page, world, code, shots)
    _sees_the_failure_and_the_retry(page, world, shots)
    world.dns_spreads(platform)
    _has_the_domain(page, code, shots)
    _buys_an_email_package(page, code, shots)
    _is_tried_again_by_itself(page, stack, world, platform, code, shots)
    _makes_five_mailboxes(page, world, code, shots)
    _orders_a_certificate(page, code, shots)
    _issues_it(admin, stack, shots)
    _has_the_certificate(page, code, shots)
    _cancels_and_keeps(page, code, shots)
    assert len(world.mail.mailboxes) == 5, "nothing was deleted by changing one's mind"


def _has_a_plan_that_is_paid(page: Page, stack: Stack) -> str:
    """Essential brings no domain and no mailboxes. Fifteen days later the trial is over and a month was charged."""
    steps.signs_up(page, EMAIL, "Kilim House", "Essential")
    steps.confirms_address(page, EMAIL)
    page.goto("/dashboard")
    page.get_by_role("link", name="Billing").first.click()
    found = re.search(r"/vendor/([^/]+)/billing", page.url)
    assert found
    page.get_by_role("button", name="Add payment method").first.click()
    steps.pays(page)
    expect(page).to_have_url(re.compile("/billing/done"))
    stack.conduct("--days", "15")
    return found.group(1)


def _adds(page: Page, code: str, product: str) -> Locator:
    """Open the form for an add-on from its card."""
    page.goto(f"/vendor/{code}/addons")
    shelf = page.get_by_role("article", name=product)
    shelf.get_by_role("link", name="Add to plan").or_(shelf.get_by_role("button", name="Add to plan")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name=f"Add {product}")).to_be_visible()
    return dialog


def _buys_a_domain(page: Page, world: World, code: str, shots: Path | None) -> None:
    """A year beside a month's plan: paid on its own at Checkout. The registrar's answer to the purchase is lost."""
    world.account.mischief["domains.create"] = "lost"
    world.account.taken.add("kilim.com")
    dialog = _adds(page, code, "Custom domain")
    dialog.get_by_label("Domain name").fill("kilim.com")
    expect(dialog.get_by_text("kilim.com is taken")).to_be_visible()
    dialog.get_by_label("Domain name").fill("https://KilimHouse.com/")
    expect(dialog.get_by_text(f"{NAME} is free")).to_be_visible()
    judge(page, shots, "01-name")
    dialog.get_by_role("button", name="See what it costs").click()
    expect(dialog.get_by_text("What you pay")).to_be_visible()
    expect(dialog.get_by_text(NAME)).to_be_visible()
    assert steps.shown_amount(dialog, "Due today") == 1500
    judge(page, shots, "02-costs")
    dialog.get_by_role("button", name="Pay €15.00 at Stripe").click()
    expect(page.get_by_text("€15.00").first).to_be_visible()
    steps.pays(page)
    expect(page.get_by_role("heading", name="It is yours")).to_be_visible()
    page.get_by_role("link", name="See your add-ons").click()


def _sees_the_failure_and_the_retry(page: Page, world: World, shots: Path | None) -> None:
    mine = page.locator("#your-add-ons").get_by_role("listitem").filter(has_text="Custom domain")
    expect(mine).to_contain_text("Being set up")
    judge(page, shots, "04-mine")
    mine.get_by_role("link", name="See the steps").click()
    failed = page.get_by_role("listitem").filter(has_text="Registering the name")
    expect(failed).to_contain_text("We try again by ourselves on")
    assert world.account.count("domains.create") == 1
    judge(page, shots, "05-failed")
    page.get_by_role("button", name="Look again now").click()
    expect(page.get_by_role("region", name="How far it is")).to_contain_text("The name is yours.")
    assert world.account.count("domains.create") == 1, "it was registered: asking found it, nothing is bought twice"
    page.get_by_text("What happened so far").click()
    expect(page.locator("[id^=setup-log]")).to_contain_text("It was there already: nothing had to be done.")
    judge(page, shots, "06-retried")


def _has_the_domain(page: Page, code: str, shots: Path | None) -> None:
    page.get_by_role("button", name="Look again now").click()
    expect(page.get_by_text("Everything is set up.").first).to_be_visible()
    expect(page.locator("[id^=setup-status]")).to_have_text("Active")
    judge(page, shots, "07-ready")
    page.get_by_role("link", name="Open it").click()
    expect(page.get_by_text(f"Your shop is found under {NAME}.")).to_be_visible()
    expect(page.get_by_text("Main address", exact=True)).to_have_count(1)
    judge(page, shots, "08-domains")
    page.goto(f"/vendor/{code}/invoices")
    expect(page.get_by_text("€15.00").first).to_be_visible()


def _buys_an_email_package(page: Page, code: str, shots: Path | None) -> None:
    """An item of the plan, for the rest of its month: a day of 28 to 31 is over, €5.00 × 27/28 = 4.82 at least."""
    dialog = _adds(page, code, "Email package")
    expect(dialog.get_by_label("Domain of the addresses")).to_contain_text(NAME)
    judge(page, shots, "09-sizes")
    dialog.get_by_role("button", name="See what it costs").click()
    expect(dialog.get_by_text("What you pay")).to_be_visible()
    due = steps.shown_amount(dialog, "Due today")
    assert 475 <= due < 500
    judge(page, shots, "10-item")
    dialog.get_by_role("button", name=f"Pay €{due / 100:.2f} and add it").click()
    expect(page.get_by_text("Email package is yours. We are setting it up now.")).to_be_visible()
    page.goto(f"/vendor/{code}/invoices")
    expect(page.get_by_text(f"€{due / 100:.2f}").first).to_be_visible()


def _is_tried_again_by_itself(
    page: Page, stack: Stack, world: World, platform: str, code: str, shots: Path | None
) -> None:
    page.goto(f"/vendor/{code}/addons")
    page.locator("#your-add-ons").get_by_role("link", name="See the steps").click()
    region = page.get_by_role("region", name="How far it is")
    expect(region).to_contain_text(f"We have set the records of {NAME}.")
    judge(page, shots, "11-mail")
    world.dns_spreads(platform)
    stack.conduct("--hours", "1")
    page.reload()
    expect(page.get_by_text("Everything is set up.").first).to_be_visible()


def _makes_five_mailboxes(page: Page, world: World, code: str, shots: Path | None) -> None:
    page.goto(f"/vendor/{code}/mailboxes")
    for local in PEOPLE:
        page.get_by_role("link", name="New mailbox").or_(page.get_by_role("button", name="New mailbox")).first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Address").fill(local)
        dialog.get_by_label("Password").fill(SECRET)
        dialog.get_by_role("button", name="Make the mailbox").click()
        expect(page.get_by_role("row").filter(has_text=f"{local}@{NAME}")).to_be_visible()
        expect(dialog).not_to_be_visible()
    expect(page.locator("#mailboxes").get_by_text("Works")).to_have_count(5)
    assert sorted(world.mail.mailboxes) == sorted(f"{local}@{NAME}" for local in PEOPLE)
    expect(page.get_by_text("5 of 5 addresses used")).to_be_visible()
    judge(page, shots, "14-five")
    page.get_by_role("link", name="New mailbox").or_(page.get_by_role("button", name="New mailbox")).first.click()
    expect(page.get_by_role("dialog").get_by_text("A larger email package has room for more.")).to_be_visible()
    judge(page, shots, "15-full")


def _orders_a_certificate(page: Page, code: str, shots: Path | None) -> None:
    dialog = _adds(page, code, "Premium SSL")
    expect(dialog.get_by_label("Domain")).to_have_value(NAME)
    dialog.get_by_role("button", name="See what it costs").click()
    expect(dialog.get_by_label("Company")).to_have_attribute("aria-invalid", "true")
    judge(page, shots, "16-company")
    dialog.get_by_label("Company").fill("Kilim House GmbH")
    dialog.get_by_label("Country").select_option("DE")
    dialog.get_by_role("button", name="See what it costs").click()
    dialog.get_by_role("button", name="Pay €49.00 at Stripe").click()
    steps.pays(page)
    page.get_by_role("link", name="See your add-ons").click()
    page.locator("#your-add-ons").get_by_role("link", name="See the steps").click()
    expect(page.get_by_role("region", name="How far it is")).to_contain_text("We order the certificate.")
    judge(page, shots, "17-by-staff")


def _issues_it(admin: Page, stack: Stack, shots: Path | None) -> None:
    """Staff downloads the request, orders with it, and hands in what the authority issued."""
    admin.goto("/admin/provisioning?show=staff")
    expect(admin.get_by_role("row").filter(has_text="Kilim House")).to_have_count(1)
    judge(admin, shots, "18-queue")
    admin.get_by_role("link", name="Premium SSL").click()
    expect(admin.get_by_role("link", name="Download the request")).to_be_visible()
    judge(admin, shots, "19-task")
    with admin.expect_download() as request:
        admin.get_by_role("link", name="Download the request").click()
    now = steps.business_time(stack)
    names = [NAME, f"www.{NAME}"]
    pem = request.value.path().read_text()
    chain = Authority(now).issue(pem, names, now - timedelta(days=1), now + timedelta(days=365))
    admin.locator("#hand-in").click()
    _hands_in(admin, b"no certificate")
    expect(admin.get_by_text("This is no certificate.").first).to_be_visible()
    judge(admin, shots, "20-no-chain")
    _hands_in(admin, chain.encode())
    expect(admin.locator("#provisioning-run").get_by_text("All steps are done.")).to_be_visible()
    judge(admin, shots, "21-issued")


def _hands_in(admin: Page, chain: bytes) -> None:
    sent = {"name": "chain.pem", "mimeType": "text/plain", "buffer": chain}
    admin.set_input_files("input[type=file]", sent)  # type: ignore[arg-type]
    admin.get_by_role("button", name="Check and keep it").click()


def _has_the_certificate(page: Page, code: str, shots: Path | None) -> None:
    page.reload()
    expect(page.get_by_text("Everything is set up.").first).to_be_visible()
    page.get_by_role("link", name="Open it").click()
    expect(page.get_by_text("Issued")).to_be_visible()
    judge(page, shots, "22-certificate")


def _manages(page: Page, code: str) -> Locator:
    page.goto(f"/vendor/{code}/addons")
    name = re.compile("Manage Email package")
    page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Email package")).to_be_visible()
    return dialog


def _cancels_and_keeps(page: Page, code: str, shots: Path | None) -> None:
    dialog = _manages(page, code)
    expect(dialog.get_by_text("It is paid together with your plan.")).to_be_visible()
    judge(page, shots, "23-manage")
    cancel = dialog.get_by_role("button", name=re.compile("Cancel for"))
    ends = cancel.inner_text().strip().removeprefix("Cancel for ")
    cancel.click()
    mine = page.locator("#your-add-ons").get_by_role("listitem").filter(has_text="Email package")
    expect(mine).to_contain_text("Cancelled")
    expect(mine).to_contain_text(f"Ends on {ends}")
    expect(dialog).not_to_be_visible()
    judge(page, shots, "24-cancelled")
    dialog = _manages(page, code)
    dialog.get_by_role("button", name="Keep it as it is").click()
    expect(mine).to_contain_text("Active")
    expect(mine).to_contain_text("Next billing")

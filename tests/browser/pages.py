"""Every page and state that exists: who looks at it, where it is, and what is done there before it is looked at."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.browser import steps

#: Nobody is signed in.
NOBODY = ""


def _nothing(page: Page) -> None:
    """The page as it opens."""


@dataclass(frozen=True)
class Sight:
    """A page in one state. ``who``: one of the cast, ``admin``, or nobody; ``{code}``, ``{id}`` and ``{order}`` in
    ``path`` are those of ``of`` (or of who looks); ``status``: how the page answers."""

    name: str
    path: str
    who: str = NOBODY
    of: str = ""
    act: Callable[[Page], None] = _nothing
    status: int = 200

    def __str__(self) -> str:
        return self.name


def _sends(button: str) -> Callable[[Page], None]:
    """Press a button and wait for what it says is wrong."""

    def act(page: Page) -> None:
        page.get_by_role("button", name=button, exact=True).last.click()
        expect(page.locator("[aria-invalid=true], [data-form-errors]").first).to_be_visible()

    return act


def _fails_to_sign_in(page: Page) -> None:
    page.get_by_label("Email").fill("nobody@cast.example")
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()


def _asks_for_a_password(page: Page) -> None:
    page.get_by_label("Email").fill("nobody@cast.example")
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_text("Look into your mail")).to_be_visible()


def _opens(link: str) -> Callable[[Page], None]:
    """Follow a link that opens the modal."""

    def act(page: Page) -> None:
        page.get_by_role("link", name=re.compile(link)).first.click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return act


def _chooses_now(page: Page) -> None:
    _opens("^Edit$")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name=re.compile("Professional")).check()
    dialog.get_by_role("radio", name=re.compile("Immediately")).check()
    expect(dialog.get_by_text("Due today")).to_be_visible()


def _steps_down_unread(page: Page) -> None:
    _opens("Switch to Professional on")(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("^Switch on")).click()
    expect(dialog.get_by_role("alert")).to_be_visible()


def _sends_in_the_modal(link: str, button: str) -> Callable[[Page], None]:
    """Open the modal, fill in nothing, and send it."""

    def act(page: Page) -> None:
        _opens(link)(page)
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name=button, exact=True).click()
        expect(dialog.locator("[aria-invalid=true]").first).to_be_visible()

    return act


def _follows(link: str) -> Callable[[Page], None]:
    """Follow a link to another page."""

    def act(page: Page) -> None:
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=link)).to_be_visible()

    return act


#: What sends an invitation.
INVITE = "Send the invitation"


def _opens_menu_of_a_row(page: Page) -> None:
    page.locator("main details.menu > summary").last.click()
    expect(page.get_by_role("button", name="Withdraw")).to_be_visible()


def _of_a_member(what: str) -> Callable[[Page], None]:
    """Open the menu beside the first name that has one, and from it the modal."""

    def act(page: Page) -> None:
        page.locator("main details.menu > summary").first.click()
        _opens(what)(page)

    return act


def _opens_the_invitation(page: Page) -> None:
    """From the mail that it was sent with to where one joins."""
    steps.reads_mail(page, "invited@cast.example", re.compile("invites you to the team"))
    page.locator("a[href*='/join/']").first.click()
    expect(page.get_by_role("heading", level=1, name=re.compile("^Join "))).to_be_visible()


def _steps_of(which: int, then: str = "") -> Callable[[Page], None]:
    """From the list of add-ons to the steps of one, and on to where the vendor does its part."""

    def act(page: Page) -> None:
        page.get_by_role("link", name="See the steps").nth(which).click()
        expect(page.get_by_role("heading", level=1, name="Premium SSL")).to_be_visible()
        _opens_folds(page)
        if then:
            page.get_by_role("link", name=then).click()
            expect(page.get_by_role("heading", level=1, name="Certificate")).to_be_visible()
            _opens_folds(page)

    return act


def _run(then: str = "") -> Callable[[Page], None]:
    """From the table of runs to one, and on to what is done about it."""

    def act(page: Page) -> None:
        page.get_by_role("link", name="Premium SSL").first.click()
        expect(page.get_by_role("heading", level=1, name="Premium SSL")).to_be_visible()
        if then:
            _opens(then)(page)

    return act


def _adds(which: int) -> Callable[[Page], None]:
    """Open what is to be chosen for one of the add-ons on the shelf."""

    def act(page: Page) -> None:
        page.get_by_role("link", name="Add to plan").nth(which).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return act


def _gives_no_reason(page: Page) -> None:
    _opens("Extend trial")(page)
    page.get_by_role("dialog").get_by_role("button", name="Extend trial").click()
    expect(page.get_by_role("dialog").locator("[aria-invalid=true]").first).to_be_visible()


def _reads(number: str) -> Callable[[Page], None]:
    """Open the first invoice whose number begins so."""

    def act(page: Page) -> None:
        page.get_by_role("link", name=re.compile(f"^{number}")).first.click()
        expect(page.get_by_role("heading", name=re.compile(number), level=1)).to_be_visible()

    return act


def _credits(page: Page) -> None:
    _reads("INV-")(page)
    _opens("Credit note…")(page)


def _adds_a_card(page: Page) -> None:
    page.get_by_role("button", name="Add payment method").click()
    page.get_by_role("button", name="Save card").click()
    expect(page.get_by_text("Your card was added")).to_be_visible()


def _opens_menu(page: Page) -> None:
    page.locator(".topbar details.menu > summary").click()


def _opens_folds(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details:not([data-menu])').forEach(d => { d.open = true; })")


def _begins_two_step(page: Page) -> None:
    page.get_by_label("Your password").fill(steps.PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_be_visible()


def _types_a_wrong_code(page: Page) -> None:
    _begins_two_step(page)
    page.get_by_label("Code from the app").fill("12345")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.locator("[aria-invalid=true]").first).to_be_visible()


def _reads_a_mail(page: Page) -> None:
    page.get_by_role("row").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def _opens_the_link(page: Page) -> None:
    steps.reads_mail(page, "unverified@cast.example", re.compile("[Cc]onfirm"))
    page.locator("a[href*='/verify/']").first.click()
    expect(page.get_by_role("button", name="Yes, confirm my address")).to_be_visible()


PUBLIC = (
    Sight("home", "/"),
    Sight("pricing, monthly", "/pricing", act=_opens_folds),
    Sight("pricing, yearly", "/pricing?cycle=yearly"),
    Sight("contact", "/contact"),
    Sight("contact, for an offer", "/contact?tier=enterprise"),
    Sight("contact, wrong", "/contact", act=_sends("Send")),
    Sight("pricing, signed in", "/pricing", "trying"),
    Sight("sign-up", "/sign-up?tier=professional&cycle=monthly"),
    Sight("sign-up, yearly", "/sign-up?tier=business&cycle=yearly"),
    Sight("sign-up, everything wrong", "/sign-up?tier=professional", act=_sends("Start 14 days free")),
    Sight("sign-in", "/sign-in"),
    Sight("sign-in, on the way", "/sign-in?next=/dashboard"),
    Sight("sign-in, wrong password", "/sign-in", act=_fails_to_sign_in),
    Sight("verify, nobody known", "/verify"),
    Sight("verify, wrong address", "/verify", act=_sends("Send the link again")),
    Sight("verify, waiting", "/verify", "unverified"),
    Sight("verify, the link", "/mailbox", act=_opens_the_link),
    Sight("join, by the link", "/mailbox", act=_opens_the_invitation),
    Sight("join, signed in as somebody else", "/mailbox", "trying", act=_opens_the_invitation),
    Sight("join, spoilt link", "/join/spoilt", status=404),
    Sight("API reference", "/api/v1/docs", act=_opens_folds),
    Sight("verify, spoilt link", "/verify/spoilt", status=404),
    Sight("verify new address, spoilt link", "/verify/email/spoilt", status=404),
    Sight("password forgotten", "/password/forgotten"),
    Sight("password forgotten, empty", "/password/forgotten", act=_sends("Send me a link")),
    Sight("password forgotten, sent", "/password/forgotten", act=_asks_for_a_password),
    Sight("password reset, spoilt link", "/password/reset/spoilt", status=404),
    Sight("mailbox", "/mailbox"),
    Sight("mail", "/mailbox", act=_reads_a_mail),
    Sight("no such page", "/nowhere", status=404),
    Sight("somebody else's vendor", "/vendor/{code}/billing", "trying", "owing", status=404),
    Sight("not for this role", "/vendor/{code}/plans/change", "member", status=403),
    Sight("not for this staff", "/admin/vendors/{id}/trial", "support", "trying", status=403),
    Sight("change without a plan", "/vendor/{code}/plans/change", "planless", status=409),
    Sight("change while unpaid", "/vendor/{code}/plans/change", "owing", status=409),
)

VENDOR = (
    *(
        Sight(f"dashboard, {who}", "/dashboard", who)
        for who in ("trying", "ending", "paying", "owing", "going", "member")
    ),
    Sight("dashboard, menu open", "/dashboard", "added", act=_opens_menu),
    *(
        Sight(f"billing, {who}", "/vendor/{code}/billing", who)
        for who in (
            "trying",
            "ending",
            "added",
            "paying",
            "planning",
            "owing",
            "closed",
            "going",
            "gone",
            "ended",
            "planless",
            "member",
        )
    ),
    Sight("cancel in the modal", "/vendor/{code}/billing", "paying", act=_opens("Cancel subscription")),
    Sight("cancel with a change planned", "/vendor/{code}/billing", "planning", act=_opens("Cancel subscription")),
    Sight("cancel while owing, as a page", "/vendor/{code}/cancel", "owing"),
    Sight("cancel, cancelled already", "/vendor/{code}/cancel", "going"),
    Sight("end the trial in the modal", "/vendor/{code}/billing", "trying", act=_opens("End the trial")),
    Sight("billing, came back unpaid", "/vendor/{code}/billing?checkout=cancelled", "leaving"),
    *(
        Sight(f"plans, {who}", "/vendor/{code}/plans", who, act=_opens_folds)
        for who in ("trying", "added", "paying", "planning", "owing", "going", "gone", "ended", "planless", "member")
    ),
    Sight("plans, led here suspended", "/dashboard", "closed"),
    Sight("plans, yearly", "/vendor/{code}/plans?cycle=yearly", "paying"),
    Sight("plans, led here", "/dashboard", "ended"),
    Sight("choose in the modal", "/vendor/{code}/billing", "paying", act=_opens("Change plan")),
    Sight("choose as a page", "/vendor/{code}/plans/change", "paying"),
    Sight("upgrade in the modal", "/vendor/{code}/plans", "added", act=_opens("Upgrade to Business today")),
    Sight("step down in the modal", "/vendor/{code}/plans", "paying", act=_opens("Switch to Essential on")),
    Sight("step down, nothing confirmed", "/vendor/{code}/plans", "paying", act=_steps_down_unread),
    Sight("offer in the modal", "/vendor/{code}/plans", "paying", act=_opens("Ask for an offer for Enterprise")),
    *(
        Sight(f"payment methods, {who}", "/vendor/{code}/payment-methods", who)
        for who in ("trying", "paying", "owing", "ended", "planless", "member")
    ),
    Sight("payment methods, one added", "/vendor/{code}/payment-methods", "planning", act=_adds_a_card),
    Sight("payment methods, one asked to go", "/vendor/{code}/payment-methods", "paying", act=_opens("^Remove ")),
    Sight("purchases", "/vendor/{code}/purchases", "paying"),
    Sight("purchases, none", "/vendor/{code}/purchases", "trying"),
    Sight("support", "/vendor/{code}/support", "paying"),
    Sight("support, nothing asked", "/vendor/{code}/support", "trying"),
    Sight("support, suspended", "/vendor/{code}/support", "closed"),
    Sight("ask as a page", "/vendor/{code}/support/new", "paying"),
    Sight("ask in the modal", "/vendor/{code}/support", "paying", act=_opens("Ask a question")),
    Sight("ask, wrong", "/vendor/{code}/support", "paying", act=_sends_in_the_modal("Ask a question", "Send")),
    Sight("question", "/vendor/{code}/support", "paying", act=_follows("How do I export my orders?")),
    Sight("payment, not there yet", "/vendor/{code}/billing/done?session_id={order}", "leaving"),
    Sight("payment, free for now", "/vendor/{code}/billing/done?session_id={order}", "added"),
    Sight("payment, paid", "/vendor/{code}/billing/done?session_id={order}", "paying"),
    Sight("payment, settled", "/vendor/{code}/billing/done?session_id={order}", "owing"),
    *(
        Sight(f"usage, {who}", "/vendor/{code}/usage", who, act=_opens_folds)
        for who in ("trying", "paying", "planless")
    ),
    Sight("steps, waiting for the vendor", "/vendor/{code}/addons", "equipped", act=_steps_of(0)),
    Sight("steps, waiting for staff", "/vendor/{code}/addons", "equipped", act=_steps_of(1)),
    Sight("certificate, details wanted", "/vendor/{code}/addons", "equipped", act=_steps_of(0, "Do this now")),
    Sight("usage, a level", "/vendor/{code}/usage?what=products", "paying", act=_opens_folds),
    Sight("usage, by source", "/vendor/{code}/usage?by=source", "paying"),
    Sight("notifications", "/vendor/{code}/notifications", "paying"),
    Sight("notifications, none yet", "/vendor/{code}/notifications", "trying"),
    Sight("not in the plan", "/vendor/{code}/features/white_label", "trying"),
    Sight("team", "/vendor/{code}/team", "added", act=_opens_folds),
    Sight("team, alone", "/vendor/{code}/team", "trying"),
    Sight("team, seen by a member", "/vendor/{code}/team", "member"),
    Sight("team, menu open", "/vendor/{code}/team", "added", act=_opens_menu_of_a_row),
    Sight("invite as a page", "/vendor/{code}/team/invite", "trying"),
    Sight("invite in the modal", "/vendor/{code}/team", "trying", act=_opens("Invite somebody")),
    Sight("invite, wrong", "/vendor/{code}/team", "trying", act=_sends_in_the_modal("Invite somebody", INVITE)),
    Sight("invite, no seat", "/vendor/{code}/team", "added", act=_opens("Invite somebody")),
    Sight("change a role in the modal", "/vendor/{code}/team", "added", act=_of_a_member("Change role")),
    Sight("remove somebody in the modal", "/vendor/{code}/team", "added", act=_of_a_member("^Remove…")),
    Sight("hand over in the modal", "/vendor/{code}/team", "added", act=_of_a_member("Make owner")),
    Sight("leave the team in the modal", "/vendor/{code}/team", "member", act=_opens("Leave this team")),
    Sight("invoices", "/vendor/{code}/invoices", "billed"),
    Sight("invoices, by card", "/vendor/{code}/invoices", "paying"),
    Sight("invoices, none yet", "/vendor/{code}/invoices", "trying"),
    Sight("invoices, filtered to nothing", "/vendor/{code}/invoices?status=void", "billed"),
    Sight("invoice, waiting", "/vendor/{code}/invoices?status=open", "billed", act=_reads("PF-")),
    Sight("invoice, corrected", "/vendor/{code}/invoices?status=paid", "billed", act=_reads("INV-")),
    Sight("add-ons", "/vendor/{code}/addons", "furnished"),
    Sight("add-ons, some bought", "/vendor/{code}/addons", "paying"),
    Sight("add-ons, none", "/vendor/{code}/addons", "trying"),
    Sight("add-ons, no plan", "/vendor/{code}/addons", "planless"),
    Sight("add-on in the modal", "/vendor/{code}/addons", "paying", act=_opens("^Manage")),
    Sight("add-on, more or less of it", "/vendor/{code}/addons", "paying", act=_opens("Change quantity")),
    Sight("add-on, size to choose", "/vendor/{code}/addons", "paying", act=_adds(1)),
    Sight("add-on included, to set up", "/vendor/{code}/addons", "paying", act=_opens("Set it up now")),
    Sight("domains", "/vendor/{code}/domains", "furnished", act=_opens_folds),
    Sight("domains, none", "/vendor/{code}/domains", "trying"),
    Sight("add a domain as a page", "/vendor/{code}/domains/new", "furnished"),
    Sight("remove a domain in the modal", "/vendor/{code}/domains", "furnished", act=_opens("^Remove ")),
    Sight("mailboxes", "/vendor/{code}/mailboxes", "furnished"),
    Sight("mailboxes, none", "/vendor/{code}/mailboxes", "trying"),
    Sight("new mailbox as a page", "/vendor/{code}/mailboxes/new", "furnished"),
    Sight("new password of a mailbox", "/vendor/{code}/mailboxes", "furnished", act=_of_a_member("Set a new password")),
    Sight("delete a mailbox", "/vendor/{code}/mailboxes", "furnished", act=_of_a_member("^Delete…")),
    Sight("API keys", "/vendor/{code}/api-keys", "furnished"),
    Sight("API keys, not in the plan", "/vendor/{code}/api-keys", "trying"),
    Sight("new key as a page", "/vendor/{code}/api-keys/new", "furnished"),
    Sight("revoke a key in the modal", "/vendor/{code}/api-keys", "furnished", act=_opens("^Revoke")),
    Sight("endpoint in the modal", "/vendor/{code}/api-keys", "furnished", act=_opens("^Manage")),
    Sight("new endpoint as a page", "/vendor/{code}/api-keys/webhooks/new", "furnished"),
    Sight("delivery in the modal", "/vendor/{code}/api-keys", "furnished", act=_opens("^A test")),
    Sight("payments", "/vendor/{code}/payments", "billed"),
    Sight("payments, none yet", "/vendor/{code}/payments", "trying"),
    Sight("billing details", "/vendor/{code}/billing-details", "billed"),
    Sight("billing details, wrong", "/vendor/{code}/billing-details", "billed", act=_sends("Save")),
    Sight("profile, vendor", "/profile", "trying"),
    Sight("profile, not confirmed", "/profile", "unverified"),
    Sight("profile, wrong", "/profile", "trying", act=_sends("Set the new password")),
    Sight("two-step, before", "/profile/second-factor", "trying"),
    Sight("two-step, no password", "/profile/second-factor", "trying", act=_sends("Continue")),
    Sight("two-step, set-up", "/profile/second-factor", "trying", act=_begins_two_step),
    Sight("two-step, wrong code", "/profile/second-factor", "trying", act=_types_a_wrong_code),
)

ADMIN = (
    Sight("vendors", "/admin/vendors", "admin"),
    Sight("vendors, filtered", "/admin/vendors?standing=active&sort=name", "admin"),
    Sight("vendors, filtered to nothing", "/admin/vendors?q=nobody-is-called-so", "admin"),
    *(
        Sight(f"vendor, {of}", "/admin/vendors/{id}", "admin", of)
        for of in ("trying", "paying", "planning", "owing", "closed", "going", "gone", "ended", "planless")
    ),
    Sight("vendor, seen by support", "/admin/vendors/{id}", "support", "paying"),
    *(
        Sight(f"vendor, {tab}", f"/admin/vendors/{{id}}?tab={tab}", "admin", "paying")
        for tab in ("usage", "credits", "invoices", "add-ons", "team", "purchases", "tickets", "audit")
    ),
    Sight("change tier in the modal", "/admin/vendors/{id}", "admin", "paying", act=_opens("^Edit$")),
    Sight("change tier, at once", "/admin/vendors/{id}", "admin", "paying", act=_chooses_now),
    Sight("change tier as a page", "/admin/vendors/{id}/tier-change", "admin", "paying"),
    Sight("change tier, not now", "/admin/vendors/{id}/tier-change", "admin", "owing"),
    Sight("agree a price as a page", "/admin/vendors/{id}/agreed-price", "admin", "paying"),
    Sight("agree a price in the modal", "/admin/vendors/{id}", "admin", "paying", act=_opens("Agree a price")),
    Sight(
        "agree a price, wrong",
        "/admin/vendors/{id}",
        "admin",
        "paying",
        act=_sends_in_the_modal("Agree a price", "Agree"),
    ),
    Sight("setting up", "/admin/provisioning", "admin"),
    Sight("setting up, nothing late", "/admin/provisioning?show=late", "admin"),
    Sight("setting up, a run for staff", "/admin/provisioning?show=staff", "admin", act=_run()),
    Sight("setting up, hand in", "/admin/provisioning?show=staff", "admin", act=_run("Hand in the certificate")),
    Sight("setting up, by hand", "/admin/provisioning?show=vendor", "admin", act=_run("Complete by hand")),
    Sight("tickets", "/admin/support", "admin"),
    Sight("tickets, closed", "/admin/support?state=closed", "admin"),
    Sight("ticket", "/admin/support?state=all", "support", act=_follows("An offer for Enterprise")),
    Sight("cancel a vendor in the modal", "/admin/vendors/{id}", "admin", "paying", act=_opens("^Cancel…$")),
    Sight("cancel a trial as a page", "/admin/vendors/{id}/cancel", "admin", "trying"),
    Sight("nothing to pay out", "/admin/vendors/{id}/payout", "admin", "billed"),
    Sight("refund in the modal", "/admin/vendors/{id}", "admin", "paying", act=_opens("^Refund invoice")),
    Sight(
        "refund, wrong",
        "/admin/vendors/{id}",
        "admin",
        "paying",
        act=_sends_in_the_modal("^Refund invoice", "Give the money back"),
    ),
    Sight("extend trial in the modal", "/admin/vendors/{id}", "admin", "trying", act=_opens("Extend trial")),
    Sight("extend trial, no reason", "/admin/vendors/{id}", "admin", "ended", act=_gives_no_reason),
    Sight("extend trial, none to extend", "/admin/vendors/{id}/trial", "admin", "paying"),
    Sight("webhooks", "/admin/webhooks", "admin", act=_opens_folds),
    Sight("webhooks, seen by support", "/admin/webhooks?type=invoice", "support"),
    Sight("webhooks, filtered to nothing", "/admin/webhooks?q=evt_nobody", "admin"),
    Sight("webhooks, nothing failed", "/admin/webhooks?state=failed", "admin"),
    Sight("webhook", "/admin/webhooks/1", "admin", act=_opens_folds),
    Sight("webhook, replay in the modal", "/admin/webhooks/1", "admin", act=_opens("^Replay$")),
    Sight("webhook, replay as a page", "/admin/webhooks/1/replay", "admin"),
    Sight("webhooks, replay nothing", "/admin/webhooks/replay-failed", "admin"),
    Sight(
        "compare with Stripe, all agrees", "/admin/vendors/{id}", "admin", "paying", act=_opens("Compare with Stripe")
    ),
    Sight("compare, unknown there", "/admin/vendors/{id}/stripe", "admin", "planless"),
    Sight("two-step, staff", "/profile/second-factor?why=staff_second_factor", "admin"),
    Sight("all invoices", "/admin/invoices", "admin"),
    Sight("all invoices, filtered to nothing", "/admin/invoices?q=nobody", "admin"),
    Sight("an invoice", "/admin/invoices?provider=transfer&status=paid", "admin", act=_reads("INV-")),
    Sight("credit note", "/admin/invoices?provider=transfer&status=paid", "admin", act=_credits),
    Sight("taxes", "/admin/taxes", "admin", act=_opens_folds),
    Sight("add a rate as a page", "/admin/taxes/add", "admin", act=_sends("Add the rate")),
    Sight("end a rate", "/admin/taxes", "admin", act=_opens("End the rate of Germany")),
    Sight("transfers, none yet", "/admin/transfers", "admin"),
    Sight("transfers, nothing laid aside", "/admin/transfers?show=aside", "admin"),
    Sight("import a statement, no file", "/admin/transfers/import", "admin", act=_sends("Read the file")),
    Sight("add-on products", "/admin/addons", "admin"),
    Sight("add-on product in the modal", "/admin/addons", "admin", act=_opens("^Edit")),
    Sight("add-on price in the modal", "/admin/addons", "admin", act=_opens("^Change the price")),
    Sight("new add-on, nothing entered", "/admin/addons/new", "admin", act=_sends("Sell it")),
    Sight("tiers that sell an add-on", "/admin/addons", "admin", act=_opens("^Tiers that sell")),
    Sight("tiers that sell an add-on as a page", "/admin/addons/2/tiers", "admin"),
    Sight("new price of an add-on as a page", "/admin/addons/2/prices/new", "admin"),
    Sight("the platform's API keys", "/admin/api-keys", "admin"),
    Sight("new platform key as a page", "/admin/api-keys/new", "admin"),
    Sight("new platform endpoint", "/admin/api-keys", "admin", act=_opens("Add endpoint")),
    Sight("vendor, limits", "/admin/vendors/{id}?tab=limits", "admin", "furnished"),
    Sight("vendor, add-ons in several states", "/admin/vendors/{id}?tab=add-ons", "admin", "furnished"),
    Sight("set a limit as a page", "/admin/vendors/{id}/override?what=limit:orders", "admin", "paying"),
    Sight(
        "set a feature in the modal", "/admin/vendors/{id}?tab=limits", "admin", "paying", act=_opens("^Set Analytics")
    ),
    Sight("give an add-on as a page", "/admin/vendors/{id}/add-ons/give", "admin", "paying"),
    Sight("take an add-on away", "/admin/vendors/{id}?tab=add-ons", "admin", "paying", act=_opens("^Take ")),
    Sight("setting up, failed", "/admin/provisioning?show=failed", "admin"),
    Sight("profile, staff", "/profile", "admin"),
    Sight("style guide", "/admin/styleguide", "admin"),
)

ALL = PUBLIC + VENDOR + ADMIN

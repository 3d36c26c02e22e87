"""Every page in every state: WCAG 2.2 AA in light and dark, at a desk and on a phone, never wider than its screen.

The quick run looks at one sight of each page, half of them at a desk in light and half on a phone in dark, and at
colours in the style guide alone, which shows every component. CI judges both, and colours everywhere; of a page's
further states, which differ in what stands in the middle, modals are judged twice and what is no modal once, without
the frame around it.
"""

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from _pytest.mark import ParameterSet
from axe_playwright_python.base import AXE_SCRIPT
from flask import Flask
from playwright.sync_api import Page, expect

from tests.browser import pages, steps
from tests.browser.conftest import Enter, Member, Tabs
from tests.browser.pages import Sight
from tests.browser.stack import Stack

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
#: The page behind an open modal is inert, and a sight of its own.
MODAL = "document.querySelector('dialog[open]:modal')"
#: What stands around a page is the same in all its states, unless somebody has opened a menu in it.
FRAME = ("#sidebar", ".topbar:not(:has([open]))", ".public-bar:not(:has([open]))", ".foot:not(:has([open]))")
DESK, PHONE = 1280, 390
#: At a desk in light, on a phone in dark: so each width and each scheme is looked at with every rule.
SCHEMES: dict[int, Literal["light", "dark"]] = {DESK: "light", PHONE: "dark"}
THOROUGH = bool(os.environ.get("TEST_THOROUGH"))
STYLE_GUIDE = "style guide"
#: Widths at which nothing may have to be scrolled sideways; 320 is WCAG's reflow.
REFLOW = 320
WIDTHS = (DESK, 768, PHONE, REFLOW)

#: Colours are on their way while something fades in or a scheme changes; what spins for ever is not waited for.
SETTLED = """() => Promise.allSettled(document.getAnimations()
    .filter((a) => a.effect.getComputedTiming().endTime !== Infinity).map((a) => a.finished))"""

#: What is asked for with GET and is no page: for programs, style sheets, parts that pages fetch, ways that lead on.
NOT_PAGES = {
    "static",
    "ops.healthz", "ops.readyz", "ops.metrics",
    "api_plans.plans",
    "public_brand.css",
    "public_mailbox.html",  # a mail as its reader's own program shows it
    "admin_home.index", "admin_vendors.clients",
    "admin_vendor_detail.card", "admin_vendor_detail.meters", "admin_vendor_detail.history",
    "admin_vendor_detail.tab", "admin_vendor_usage.graph", "vendor_usage.graph", "vendor_usage.export",
    "admin_vendor_detail.money",
    "admin_tier_change.preview", "admin_webhooks.figures",
    "vendor_billing.credits", "vendor_billing.credits_card", "vendor_billing.invoices_card",
    "vendor_billing.meters", "vendor_billing.plan_card", "vendor_addons.shelf", "vendor_methods.cards",
    "vendor_invoices.pdf", "vendor_invoices.credit_note_pdf",
    "vendor_provisioning.log", "vendor_certificate.chain", "admin_provisioning.request_file",
    "vendor_team.seats_line", "vendor_domains.show", "vendor_domains.availability",
    "vendor_api_keys.keys", "vendor_api_keys.endpoints", "vendor_api_keys.deliveries",
    "admin_api_keys.keys", "admin_api_keys.endpoints", "admin_api_keys.deliveries",
    "api_reference.openapi", "api_entitlements.show",
    "api_usage.now_0", "api_usage.now_1", "api_usage.now_2", "api_usage.history",
    "vendor_transfer.waiting", "admin_transfers.choose", "admin_transfers.proof",
    "admin_invoices.pdf", "admin_invoices.credit_note_pdf", "admin_invoices.export",
}  # fmt: skip


def violations(page: Page, *, colours: bool = THOROUGH, frame: bool = True) -> list[str]:
    """What axe says is wrong: rule, place, and why. Colours take it as long as all the rest."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(SETTLED)
    rules = {"color-contrast": {"enabled": colours}}
    options = {"runOnly": {"type": "tag", "values": TAGS}, "rules": rules, "resultTypes": ["violations"]}
    whole = "document" if frame else json.dumps({"exclude": [[part] for part in FRAME]})
    found = page.evaluate(f"axe.run({MODAL} ?? {whole}, {json.dumps(options)}).then((found) => found.violations)")
    return [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found for node in v["nodes"]]


def too_wide(page: Page) -> int:
    """Pixels that one would have to scroll sideways. The page has its own width: the window's has room for a scrollbar,
    into which a page that is a little too wide would fit.
    """
    root = "document.documentElement"
    return int(page.evaluate(f"Math.ceil(Math.max(0, {root}.scrollWidth - {root}.getBoundingClientRect().width))"))


def judged_at(name: str, *, both: bool = THOROUGH) -> tuple[int, ...]:
    """The widths at which axe judges this sight; which of them, where it is one, hangs on its name alone."""
    return tuple(SCHEMES) if both else (tuple(SCHEMES)[zlib.crc32(name.encode()) % len(SCHEMES)],)


def look_at(page: Page, name: str, shots: Path | None, *, again: bool = False) -> list[str]:
    """Everything that is wrong with what this browser shows now; ``again``: in a further state of a page."""
    wrong: list[str] = []
    colours = THOROUGH or name == STYLE_GUIDE
    judged = judged_at(name, both=colours and (not again or page.evaluate(f"{MODAL} !== null")))
    for width in WIDTHS if THOROUGH or shots else (*judged, REFLOW):
        page.set_viewport_size({"width": width, "height": 900})
        if sideways := too_wide(page):
            wrong.append(f"{width}: {sideways} px too wide")
        if width in judged:
            scheme = SCHEMES[width]
            page.emulate_media(color_scheme=scheme)
            found = violations(page, colours=colours, frame=not again)
            wrong += [f"{width} {scheme}: {said}" for said in found]
        if shots and width in SCHEMES:
            picture(page, shots, f"{name}-{width}")
    page.emulate_media(color_scheme="light")
    return wrong


def picture(page: Page, shots: Path, name: str) -> None:
    """Both schemes, for somebody who wants to look."""
    stem = re.sub(r"\W+", "-", name)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=shots / f"{stem}-{scheme}.png", full_page=True)


def test_before_anybody_has_come(admin: Page, shots: Path | None) -> None:
    admin.goto("/admin/vendors")
    expect(admin.get_by_text("No vendors yet")).to_be_visible()
    wrong = look_at(admin, "vendors-none", shots)
    admin.goto("/mailbox")
    wrong += look_at(admin, "mailbox-empty", shots)
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="session")
def lookout(tabs: Tabs, stack: Stack) -> Page:
    """One page for all sights, with axe in whatever it opens."""
    page = tabs.take(stack.url)
    page.add_init_script(AXE_SCRIPT)
    return page


@pytest.fixture
def seen_by(lookout: Page, tabs: Tabs, enter: Enter) -> Iterator[Callable[[str], Page]]:
    """The page for somebody's eyes; without an address, nobody is signed in. At the end nothing may have gone wrong."""
    tabs.faults.clear()

    def look(email: str) -> Page:
        lookout.context.clear_cookies()
        if email:
            enter(lookout, email)
        lookout.set_viewport_size({"width": DESK, "height": 900})
        return lookout

    yield look
    assert tabs.faults == []


def _sights() -> Iterator[ParameterSet]:
    """All of them, and whether their page was seen before; its further states belong to the thorough run."""
    seen: set[str] = set()
    for sight in pages.ALL:
        page = sight.path.split("?")[0]
        again = page in seen
        yield pytest.param(sight, again, marks=[pytest.mark.thorough] if again else [], id=sight.name)
        seen.add(page)


@pytest.mark.parametrize(("sight", "again"), list(_sights()))
def test_everybody_can_read_it(
    sight: Sight, again: bool, cast: dict[str, Member], seen_by: Callable[[str], Page], shots: Path | None
) -> None:
    page = seen_by(_who(sight, cast))
    answer = page.goto(_address(sight, cast))
    assert answer is not None
    assert answer.status == sight.status
    sight.act(page)
    wrong = look_at(page, sight.name, shots, again=again)
    assert not wrong, "\n".join(wrong)


def _who(sight: Sight, cast: dict[str, Member]) -> str:
    if sight.who == pages.NOBODY:
        return ""
    return steps.ADMIN if sight.who == "admin" else cast[sight.who].email


def _address(sight: Sight, cast: dict[str, Member]) -> str:
    about = cast.get(sight.of or sight.who)
    if about is None:
        return sight.path
    return sight.path.format(code=about.code, id=about.vendor_id, order=about.order)


def test_a_link_from_a_mail_leads_to_a_new_password(cast: dict[str, Member], page: Page, shots: Path | None) -> None:
    page.goto("/password/forgotten")
    page.get_by_label("Email").fill(cast["ending"].email)
    page.get_by_role("button", name="Send me a link").click()
    steps.reads_mail(page, cast["ending"].email, re.compile("password", re.I))
    page.locator("a[href*='/password/reset/']").first.click()
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_role("button", name="Set this password").click()
    expect(page.get_by_label("New password", exact=True)).to_be_focused()
    wrong = look_at(page, "password reset, too short", shots)
    assert not wrong, "\n".join(wrong)


def test_every_page_is_among_them(built_app: Flask) -> None:
    """A new page that nobody looks at here fails this test."""
    routes = built_app.url_map.bind("localhost")
    seen = {routes.match(re.sub(r"\{.*?\}", "1", sight.path).split("?")[0])[0] for sight in pages.ALL
            if sight.path != "/nowhere"}  # fmt: skip
    seen |= {"public_verify.confirm", "public_password.reset", "public_mailbox.show"}
    # Opened from their lists, whose rows know the ids.
    seen |= {"vendor_invoices.detail", "admin_invoices.detail", "admin_credit_note.form", "admin_taxes.end"}
    seen |= {"vendor_provisioning.steps", "vendor_certificate.form", "admin_provisioning.show"}
    seen |= {"admin_provisioning.confirm", "admin_provisioning.chain_form"}
    seen |= {"vendor_support.show", "admin_support.show", "vendor_methods.ask_removal", "admin_refund.form"}
    seen |= {"vendor_team.role_form", "vendor_team.ask_removal", "vendor_team.hand_over_form"}
    seen |= {"vendor_team.ask_to_leave", "vendor_domains.ask_removal"}
    seen |= {"vendor_mailboxes.password_form", "vendor_mailboxes.ask_removal"}
    seen |= {"vendor_addon.show", "vendor_addon.choose", "vendor_addons.add", "vendor_addons.included_form"}
    seen |= {"admin_addons.form", "admin_addons.price", "admin_vendor_addons.ask"}
    seen |= {f"vendor_api_keys.{view}" for view in ("ask_revoke", "endpoint", "delivery")}
    # The same pages as a vendor's, for the platform.
    seen |= {f"admin_api_keys.{view}" for view in ("ask_revoke", "endpoint", "delivery", "new_endpoint")}
    # Where Stripe leads back to.
    seen |= {"vendor_methods.added", "vendor_addons.done"}
    # Looked at on the way in test_transfer.py: where there is no Stripe.
    seen |= {"vendor_pay.form", "vendor_transfer.show", "admin_transfers.approve_form", "admin_transfers.reject_form"}
    # Looked at on the way in test_two_step.py.
    seen |= {"public_second_factor.code", "public_second_factor.recovery", "security.set_up", "security.codes"}
    seen |= {"security.off"}
    every = {rule.endpoint for rule in built_app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert every - seen - NOT_PAGES == set()
    assert NOT_PAGES - every == set()

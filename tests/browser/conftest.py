"""A running portal, Chromium, and pages that fail on anything a person would see go wrong."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.browser import stack as stacks
from tests.browser import steps
from tests.browser.stack import Stack

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
#: Milliseconds that anything may take on a machine that has other work too.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)
#: Chromium reports every error answer as a console error; those answers are looked at by the tests themselves.
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d|503)")
#: Without a graphics card what is blurred behind a modal takes longer to draw than all the rest. No test sees it.
NO_BLUR = """{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("*, ::backdrop { backdrop-filter: none !important }");
    document.adoptedStyleSheets.push(sheet);
}"""
#: The empty portal can be seen only before anybody has come.
FIRST = "test_before_anybody_has_come"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running portal for all journeys; each journey has its own vendor."""
    running = stacks.start(tmp_path_factory.mktemp("stack") / "var", PLATFORM_DOMAIN="shops.example")
    running.invite_admin(steps.ADMIN)
    yield running
    running.stop()


@dataclass(frozen=True)
class Member:
    """One of the cast: how to sign in, whose vendor it is, and the order placed at Checkout."""

    email: str
    name: str
    code: str
    vendor_id: int
    order: str


@pytest.fixture(scope="session")
def cast(stack: Stack) -> dict[str, Member]:
    """Vendors in every standing (tests/browser/cast.py)."""
    told = stack.flask("play-cast")
    return {role: Member(**about) for role, about in json.loads(told.splitlines()[-1]).items()}


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def admin_chosen(chromium: Browser, stack: Stack) -> None:
    """The operator's first person has chosen a password by the link that the command printed."""
    page = chromium.new_page(base_url=stack.url)
    steps.follows_invitation(page, stack)
    page.context.close()


@dataclass
class Tabs:
    """Pages that stay open from test to test: opening one takes longer than most tests need it. ``faults`` is what went
    wrong in any of them.
    """

    chromium: Browser
    free: dict[str, list[Page]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def take(self, url: str, *, script: bool = True) -> Page:
        """A page at this portal in which nobody is signed in."""
        if script and self.free.get(url):
            return self.free[url].pop()
        context = self.chromium.new_context(base_url=url, java_script_enabled=script, reduced_motion="reduce")
        context.add_init_script("" if os.environ.get("SHOTS") else NO_BLUR)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: _note(self.faults, m.type, m.text))
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        return page

    def give_back(self, url: str, page: Page, *, script: bool = True) -> None:
        """Nothing of what was done in it stays, nor what it fetches by itself. Reading a few bytes of the same origin
        keeps its process; an empty page would not.
        """
        if not script or page.is_closed():
            page.context.close()
            return
        page.unroute_all()
        page.goto("/healthz")
        page.context.clear_cookies()
        page.emulate_media(color_scheme="light", media="screen")
        self.free.setdefault(url, []).append(page)


@pytest.fixture(scope="session")
def tabs(chromium: Browser) -> Tabs:
    """Those of this test process; they end with Chromium."""
    return Tabs(chromium)


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(tabs: Tabs, stack: Stack) -> Iterator[OpenPage]:
    """Open a browser of one's own; at the end nothing may have gone wrong in any."""
    taken: list[tuple[Page, bool]] = []
    tabs.faults.clear()

    def make(width: int = 1280, *, script: bool = True) -> Page:
        page = tabs.take(stack.url, script=script)
        taken.append((page, script))
        page.set_viewport_size({"width": width, "height": 900})
        return page

    yield make
    faults = list(tabs.faults)
    for page, script in taken:
        tabs.give_back(stack.url, page, script=script)
    assert faults == []


def _note(faults: list[str], kind: str, text: str) -> None:
    """Policy violations arrive as console errors too."""
    if kind == "error" and not EXPECTED.search(text):
        faults.append(f"console: {text}")


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A desktop browser."""
    return open_page()


Enter = Callable[[Page, str], None]
OpenAs = Callable[..., Page]


@pytest.fixture(scope="session")
def enter(admin_chosen: None) -> Enter:
    """Let somebody be signed in in a page where nobody is; they sign in once in a session of tests."""
    signed_in: dict[str, Any] = {}

    def do(page: Page, email: str) -> None:
        if email not in signed_in:
            steps.is_signed_in(page, email)
            signed_in[email] = page.context.cookies()
        page.context.add_cookies(signed_in[email])

    return do


@pytest.fixture
def open_as(open_page: OpenPage, enter: Enter) -> OpenAs:
    """Open a browser in which somebody is signed in."""

    def make(email: str, width: int = 1280) -> Page:
        page = open_page(width)
        enter(page, email)
        return page

    return make


@pytest.fixture
def admin(open_as: OpenAs) -> Page:
    """The operator's admin at a desktop browser."""
    return open_as(steps.ADMIN)


@pytest.fixture
def shots() -> Path | None:
    """Where to leave pictures, when somebody wants to look (SHOTS=folder)."""
    folder = os.environ.get("SHOTS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Journeys run only where a browser is, first who must see the shared stack empty."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Journeys come first, then what waits for processes: they take longest, while others work off the rest."""
    if "tests/browser" not in str(item.path):
        return 3 if "tests/faults" in str(item.path) else 4
    return 1 if item.name == FIRST else 2

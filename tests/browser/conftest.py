"""A running portal, Chromium, and pages that fail on anything a person would see go wrong."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

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
#: The empty portal can be seen only before anybody has come.
FIRST = "test_before_anybody_has_come"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running portal for all journeys; each journey has its own vendor."""
    running = stacks.start(tmp_path_factory.mktemp("stack") / "var", PLATFORM_DOMAIN="shops.example")
    running.invitation = running.flask("staff", "add", steps.ADMIN, "--name", "Grace Hopper", "--role", "admin")
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
def signed_in() -> dict[str, Any]:
    """The cookies of people who have signed in, by address."""
    return {}


@pytest.fixture(scope="session")
def cast(stack: Stack) -> dict[str, Member]:
    """Vendors in every standing (tests/browser/cast.py)."""
    told = stack.run("-m", "tests.browser.cast")
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


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, stack: Stack) -> Iterator[OpenPage]:
    """Open a browser of one's own; at the end nothing may have gone wrong in any."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def make(width: int = 1280, *, dark: bool = False, script: bool = True, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=stack.url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            **options,
        )
        contexts.append(context)
        return _watched(context, faults)

    yield make
    for context in contexts:
        context.close()
    assert faults == []


def _watched(context: BrowserContext, faults: list[str]) -> Page:
    """A page of this browser that writes down what goes wrong in it."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: _note(faults, m.type, m.text))
    page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    return page


def _note(faults: list[str], kind: str, text: str) -> None:
    """Policy violations arrive as console errors too."""
    if kind == "error" and not EXPECTED.search(text):
        faults.append(f"console: {text}")


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A desktop browser."""
    return open_page()


OpenAs = Callable[..., Page]


@pytest.fixture
def open_as(open_page: OpenPage, signed_in: dict[str, Any], admin_chosen: None) -> OpenAs:
    """Open a browser in which somebody is signed in; they go through the sign-in page once in a session of tests."""

    def make(email: str, width: int = 1280, **options: Any) -> Page:
        if email in signed_in:
            return open_page(width, storage_state=signed_in[email], **options)
        page = open_page(width, **options)
        steps.signs_in(page, email)
        page.wait_for_url(lambda url: "/sign-in" not in url)
        signed_in[email] = page.context.storage_state()
        return page

    return make


@dataclass
class Viewer:
    """Browsers that stay open from look to look, one for each who looks; ``faults`` went wrong in any of them."""

    stack: Stack
    chromium: Browser
    faults: list[str] = field(default_factory=list)
    pages: dict[str, Page] = field(default_factory=dict)

    def page(self, email: str) -> Page:
        """The browser in which somebody is signed in; without an address, nobody is."""
        if email not in self.pages:
            context = self.chromium.new_context(base_url=self.stack.url, reduced_motion="reduce")
            self.pages[email] = _watched(context, self.faults)
            if email:
                steps.signs_in(self.pages[email], email)
                self.pages[email].wait_for_url(lambda url: "/sign-in" not in url)
        return self.pages[email]


@pytest.fixture(scope="session")
def viewers(stack: Stack, chromium: Browser, admin_chosen: None) -> Iterator[Viewer]:
    """Kept for the whole session: opening a browser takes as long as looking at a page."""
    kept = Viewer(stack, chromium)
    yield kept
    for page in kept.pages.values():
        page.context.close()


@pytest.fixture
def viewer(viewers: Viewer) -> Iterator[Viewer]:
    """Whoever looks; at the end of a look nothing may have gone wrong."""
    viewers.faults.clear()
    yield viewers
    assert viewers.faults == []


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

"""A running portal, Chromium, and pages that fail on anything a person would see go wrong."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.browser import stack as stacks
from tests.browser.stack import Stack

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
#: Chromium reports every 4xx answer as a console error; those answers are looked at by the tests themselves.
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running portal for all journeys; each journey has its own vendor."""
    running = stacks.start(tmp_path_factory.mktemp("stack") / "var")
    running.flask("staff", "add", "admin@portal.example", "--name", "Grace Hopper", "--role", "admin")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


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
        page = context.new_page()
        page.set_default_timeout(15000)
        page.on("console", lambda m: _note(faults, m.type, m.text))
        page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []


def _note(faults: list[str], kind: str, text: str) -> None:
    """Policy violations arrive as console errors too."""
    if kind == "error" and not EXPECTED.search(text):
        faults.append(f"console: {text}")


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A desktop browser."""
    return open_page()


@pytest.fixture
def shots() -> Path | None:
    """Where to leave pictures, when somebody wants to look (SHOTS=folder)."""
    folder = os.environ.get("SHOTS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All journeys share one stack, so they run in one process of xdist's, and only where a browser is."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))

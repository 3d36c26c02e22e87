"""Hostile words in every column, seen by a browser: nothing runs, and the policy has nothing to refuse.

tests/safety/test_hostile_text.py reads every page; here a handful of the richest ones are opened.
"""

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from tests.browser.test_error_pages import answer
from tests.safety import world
from tests.safety.payloads import ALL
from tests.safety.test_hostile_text import put_in, signed_in
from tests.safety.world import World
from tests.support.scenes import Scene

pytestmark = pytest.mark.thorough
#: Whose pages: what they open.
PAGES = {
    "card": ("/dashboard", "/vendor/{code}/billing", "/vendor/{code}/support", "/vendor/{code}/addons"),
    "staff": ("/admin/vendors", "/admin/vendors/{id}?tab=tickets", "/admin/support", "/admin/transfers"),
}


@pytest.fixture
def inhabited(scene: Scene) -> World:
    """The world of the other tests, with a hundred payloads in every place."""
    return scene("hostile text", lambda: world.build(scene.stage.sandbox, scene.client))


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Page]:
    """A browser in which ``pwn`` is heard if anything calls it."""
    faults: list[str] = []
    context = chromium.new_context(base_url="http://localhost", reduced_motion="reduce")
    context.expose_function("pwn", lambda: faults.append("something ran"))
    page = context.new_page()
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("request", lambda asked: faults.append(asked.url) if "evil.example" in asked.url else None)
    yield page
    context.close()
    assert faults == [], "\n".join(faults)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs(inhabited: World, catalog: Flask, watched: Page, name: str) -> None:
    put_in(lambda place: f"at-{place}-{ALL}")
    client = signed_in(catalog, inhabited, name)
    watched.context.route("**/*", lambda route: answer(client, route))
    for address in PAGES[name]:
        found = watched.goto(address.format(code=inhabited.card.code, id=inhabited.card.vendor_id))
        assert found is not None and found.status == 200, address
        watched.wait_for_load_state("load")
        assert "pwn()" in watched.inner_text("body"), address

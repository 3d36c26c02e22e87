"""Every error that a person can meet, as a page: in words, with a way on, readable by everybody.

The app answers inside the test process; the browser's requests are handed to it, so that nothing needs to be started.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, Route

from portal.kit.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PaymentRequired,
    PortalError,
    TooLarge,
    TooMany,
    Unavailable,
)
from portal.web.kit import audience, errors
from tests.browser.test_axe import SCHEMES, judged_at, too_wide, violations

ERRORS: dict[int, PortalError] = {
    402: PaymentRequired(), 403: Forbidden(), 404: NotFound(), 409: Conflict(), 413: TooLarge(), 422: Invalid(),
    429: TooMany(), 500: PortalError(), 503: Unavailable(),
}  # fmt: skip
#: With words of the room that raised it and a way on of its own.
TOLD = Conflict("The %(what)s was changed meanwhile.", what="plan", action=("Back to Billing", "/vendor/kilim/billing"))


@pytest.fixture
def client(app: Flask, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A browser at a portal whose front page fails as its address says (``/?code=409``)."""
    from flask import request

    @audience.public
    def fails() -> Any:
        code = request.args["code"]
        if code == "500":
            raise RuntimeError("something that nobody expected")
        raise TOLD if code == "told" else ERRORS[int(code)]

    monkeypatch.setitem(app.view_functions, "public_home.index", fails)
    return app.test_client()


@pytest.fixture
def page(client: FlaskClient, chromium: Browser) -> Iterator[Page]:
    """A browser whose requests the app answers; at the end nothing may have been refused by the policy."""
    faults: list[str] = []
    context = chromium.new_context(base_url="http://localhost", reduced_motion="reduce")
    context.route("**/*", lambda route: answer(client, route))
    page = context.new_page()
    page.on("console", lambda said: faults.append(said.text) if "Failed to load" not in said.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def answer(client: FlaskClient, route: Route) -> None:
    """The app's answer to a request of the browser's, headers and all."""
    asked = urlsplit(route.request.url)
    htmx = {name: value for name, value in route.request.headers.items() if name.startswith("hx-")}
    given = client.get(f"{asked.path}?{asked.query}", headers={"Accept-Language": "en", **htmx})
    route.fulfill(status=given.status_code, headers=dict(given.headers), body=given.data)


@pytest.mark.parametrize("code", [*ERRORS, "told"])
def test_it_says_what_happened_and_leads_on(client: FlaskClient, code: int | str) -> None:
    for language, asked in (("en", {}), ("de", {}), ("en", {"HX-Request": "true", "HX-Request-Type": "partial"})):
        found = client.get(f"/?code={code}", headers={"Accept-Language": language, **asked})
        html = found.get_data(as_text=True)
        assert found.status_code == (409 if code == "told" else code)
        [title] = re.findall(r"<h[12] data-problem-title>([^<]{8,})</h[12]>", html)
        [words] = re.findall(r"<p data-problem-text>([^<]{20,})</p>", html)
        leads = re.findall(r'<a class="button[^"]*"[^>]*href="([^"]+)"', html)
        assert leads and all(lead.startswith(("/", "mailto:")) for lead in leads)
        assert (
            title != words and "Traceback" not in html and "RuntimeError" not in html and "nobody expected" not in html
        )
    assert (found.headers.get("Retry-After") is not None) == (code == 429)


@pytest.mark.parametrize("code", [*ERRORS, "told"])
def test_everybody_can_read_it(page: Page, code: int | str) -> None:
    page.goto(f"/?code={code}")
    wrong = []
    for width in judged_at(f"error {code}"):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=SCHEMES[width])
        wrong += [f"{width} {SCHEMES[width]}: {said}" for said in violations(page)]
    page.set_viewport_size({"width": 320, "height": 700})
    assert wrong == [] and too_wide(page) == 0


def test_a_program_is_told_the_same_as_data(app: Flask) -> None:
    with app.test_request_context("/api/v1/usage"):
        for code, error in ERRORS.items():
            told = errors.problem(error)
            assert (told.status_code, told.mimetype) == (code, "application/problem+json")
            assert {"type", "title", "status", "code", "detail"} <= told.get_json().keys()

"""What people see when something is refused or fails: pages that are hard to bring about, read by axe all the same."""

from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, Route, expect

from portal.kit.errors import PaymentRequired, PortalError, TooLarge, TooMany, Unavailable
from portal.web.kit import errors
from tests.browser.conftest import OpenPage
from tests.browser.test_axe import look_at

ERRORS: list[PortalError] = [PaymentRequired(), TooLarge(), TooMany(retry_after=60), PortalError(), Unavailable()]


def _page(app: Flask, error: PortalError) -> tuple[int, str]:
    """The page as the portal answers with it."""
    with app.test_request_context("/somewhere"):
        app.preprocess_request()
        answer = errors.render(error)
        return answer.status_code, answer.get_data(as_text=True)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.status))
def test_it_says_what_to_do(app: Flask, open_page: OpenPage, shots: Path | None, error: PortalError) -> None:
    status, html = _page(app, error)
    assert status == error.status
    page: Page = open_page()

    def answers(route: Route) -> None:
        route.fulfill(status=200, content_type="text/html; charset=utf-8", body=html)

    page.route("**/somewhere", answers)
    page.goto("/somewhere")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("link").first).to_be_visible()
    wrong = look_at(page, f"error {error.status}", shots)
    assert not wrong, "\n".join(wrong)

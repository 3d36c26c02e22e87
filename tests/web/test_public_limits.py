"""Doors that machines could try at length slow them down, per address, also while Redis is away (ACC-10)."""

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from config import Config
from portal.kit.db import db
from portal.web.kit.limits import limiter
from tests.support.browser import Browser
from tests.support.people import csrf_token, post, text_of


@pytest.fixture
def limited(catalog: Flask) -> Iterator[Flask]:
    """The app as in production: limits on; the Redis that it names does not answer."""
    from portal.app import create_app

    config: Config = catalog.extensions["portal_config"]
    app = create_app(config.model_copy(update={"ratelimit_enabled": True, "redis_url": "redis://127.0.0.1:1/0"}))
    app.test_client_class = Browser
    yield app
    limiter.enabled = False
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    ("path", "field", "allowed"),
    [
        ("/sign-in", "email", 60),
        ("/password/forgotten", "email", 15),
        ("/verify", "email", 15),
        ("/sign-up", "name", 30),
    ],
)
def test_a_door_that_was_tried_too_often_waits(limited: Flask, path: str, field: str, allowed: int) -> None:
    browser = limited.test_client()
    token = csrf_token(browser)

    def knock(address: str) -> TestResponse:
        data = {"csrf_token": token, field: ""}
        return browser.post(path, data=data, environ_base={"REMOTE_ADDR": address})

    statuses = {knock("192.0.2.1").status_code for _ in range(allowed)}
    assert statuses == {422}
    refused = knock("192.0.2.1")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many" in text_of(refused)
    assert knock("192.0.2.2").status_code == 422, "another address is not slowed down"


def test_the_json_door_answers_with_a_problem(limited: Flask) -> None:
    client = limited.test_client()
    answers = [client.post("/api/v1/auth/register", json={}) for _ in range(31)]
    assert [a.status_code for a in answers] == [422] * 30 + [429]
    assert answers[-1].mimetype == "application/problem+json"
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert answers[-1].get_json()["code"] == "too_many_requests"


def test_reading_is_not_limited(limited: Flask) -> None:
    client = limited.test_client()
    assert {client.get("/sign-in").status_code for _ in range(70)} == {200}
    assert post(client, "/preferences", {"theme": "dark"}).status_code == 303

"""The OpenAPI document and its page: every route is in it, it is valid, and the page needs nothing from elsewhere."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from portal.api import operation
from portal.web.kit import audience
from portal.web.kit.audience import Side

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(client: FlaskClient) -> Any:
    answer = client.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return answer.get_json()


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, said) for path, methods in document["paths"].items() for method, said in methods.items()]


def test_every_route_of_the_interface_is_in_it(client: FlaskClient, document: Any) -> None:
    """A new route under /api without a description fails here, and one that is gone leaves nothing behind."""
    there = set()
    for rule in client.application.url_map.iter_rules():
        if not rule.rule.startswith("/api/"):
            continue
        assert operation.of(client.application.view_functions[rule.endpoint]), f"{rule.endpoint} says nothing"
        path = re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule)
        there |= {(path, method.lower()) for method in rule.methods or () if method.lower() in METHODS}
    assert {(path, method) for path, method, _ in operations(document)} == there
    assert len(there) >= 12


def test_it_is_openapi_31_and_all_its_references_resolve(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("description"), f"{name} is not described"
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert named <= schemas.keys()
    ids = [said["operationId"] for _, _, said in operations(document)]
    assert len(ids) == len(set(ids))


def test_who_may_and_what_may_come_back_is_said(document: Any) -> None:
    for path, method, said in operations(document):
        guarded = bool(said["security"])
        assert guarded == ("401" in said["responses"]), (path, method)
        if guarded:
            assert said["x-scopes"] or "billing" in path
            assert {"403", "404", "422", "429"} <= said["responses"].keys()
        if "requestBody" in said:
            assert {"400", "413", "415", "422"} <= said["responses"].keys()


def test_every_write_of_a_program_can_be_repeated(client: FlaskClient) -> None:
    for rule in client.application.url_map.iter_rules():
        view = client.application.view_functions[rule.endpoint]
        declared, about = audience.of(view), operation.of(view)
        if about and declared and declared.side == Side.API and (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            assert about.repeatable, rule.endpoint


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/docs/"])
def test_the_page_shows_all_of_it_without_help_from_elsewhere(client: FlaskClient, document: Any, path: str) -> None:
    answer = client.get(path)
    html = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    for route, method, said in operations(document):
        assert f'id="{said["operationId"]}"' in html
        assert f"{method.upper()} {route}" in html
    assert not re.search(r"(src|href)=\"(https?:)?//", html)
    assert "unsafe" not in answer.headers["Content-Security-Policy"]

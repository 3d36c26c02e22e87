"""The OpenAPI 3.1 document, made from the routes themselves: their addresses, audiences, models and words (API-2)."""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from portal.api import operation, webhook_document
from portal.api.operation import Operation
from portal.web.kit import audience
from portal.web.kit.audience import Audience, Needs, Side

VERSION = "1.0"
REF = "#/components/schemas/{model}"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
RECENT = """\
`max-age=N`: the answer to the same question, up to N seconds (at most 60) old, will do, unless key, vendor, plan or
rights have changed since. Without it every answer is true at its moment."""
AGE = "How many seconds ago this was answered; only where the request allowed it."

ABOUT = """\
One interface for the operator's own platform and for the programs of vendors.

**Who you are.** Send `Authorization: Bearer …` with an API key (`vp_live_…`) or a person's access token. A key of a
vendor speaks for that vendor, and its plan must include access by API keys. A key of the platform speaks for any vendor
and names it by its code in the header `X-Vendor`.

**Errors** are problem details (RFC 9457, `application/problem+json`) with a stable `code`. Go by `status` and `code`;
`detail` is for people and may change. `errors` names fields, `next_url` is where a person can put it right.

**Repeating.** A write takes an `Idempotency-Key`: sent again with the same body it answers what it answered first;
with another body it is 422 `idempotency_mismatch`.

**Limits.** Each answer says `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds). After that it
is 429 with `Retry-After`.

**Pages.** Lists answer `items` and `next`; pass `next` as `cursor` to go on. A trailing slash changes nothing.
"""


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: dict[str, str] | None = None
    next_url: str | None = None
    metric: str | None = None
    feature: str | None = None
    limit: int | None = None
    usage: int | None = None


def build(app: Flask) -> dict[str, Any]:
    """The whole document as JSON values; the same every time within a process."""
    routes = list(_routes(app))
    shapes = _shapes([about for _, _, _, about in routes])
    _, schemas = models_json_schema([(shape, "validation") for shape in shapes], ref_template=REF)
    paths: dict[str, Any] = {}
    for rule, method, declared, about in routes:
        view = app.view_functions[rule.endpoint]
        paths.setdefault(_path(rule), {})[method.lower()] = _operation(rule, declared, about, inspect.getdoc(view))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vendor portal", "version": VERSION, "description": ABOUT},
        "servers": [{"url": str(app.extensions["portal_config"].base_url).rstrip("/")}],
        "tags": [{"name": tag} for tag in dict.fromkeys(about.tag for _, _, _, about in routes)],
        "paths": paths,
        "webhooks": webhook_document.build(),
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _routes(app: Flask) -> Iterator[tuple[Rule, str, Audience, Operation]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule.startswith("/api/v1/"), rule.rule)):
        view = app.view_functions[rule.endpoint]
        declared, about = audience.of(view), operation.of(view)
        if not rule.rule.startswith("/api/") or declared is None or about is None:
            continue
        for method in METHODS:
            if method in (rule.methods or ()):
                yield rule, method, declared, about


def _shapes(described: list[Operation]) -> list[type[BaseModel]]:
    found: list[type[BaseModel] | None] = [Problem]
    for about in described:
        found += [about.body, *about.also, *about.answers.values()]
    return list(dict.fromkeys(shape for shape in found if shape is not None))


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule)


def _operation(rule: Rule, declared: Audience, about: Operation, words: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": about.summary,
        "description": words or about.summary,
        "tags": [about.tag],
        "parameters": list(_parameters(rule, declared, about)),
        "responses": _answers(declared, about),
        "security": [{"bearer": []}] if declared.side == Side.API else [],
    }
    if declared.side == Side.API:
        described["x-scopes"] = sorted(declared.reach)
    if about.body is not None:
        content: dict[str, Any] = {"schema": {"$ref": REF.format(model=about.body.__name__)}}
        if about.examples:
            content["examples"] = {name: {"value": value} for name, value in about.examples.items()}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _parameters(rule: Rule, declared: Audience, about: Operation) -> Iterator[dict[str, Any]]:
    for name in sorted(rule.arguments):
        kind = "integer" if rule._converters[name].__class__.__name__ == "RowId" else "string"
        yield {"name": name, "in": "path", "required": True, "schema": {"type": kind}}
    if about.query is not None:
        for name, schema in about.query.model_json_schema()["properties"].items():
            text = schema.pop("description", "")
            yield {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
    if declared.side == Side.API:
        yield _header("X-Vendor", "The vendor's code; needed with a platform's key.", 64)
    if declared.recent:
        yield _header("Cache-Control", RECENT)
    if about.repeatable:
        yield _header("Idempotency-Key", "Makes the request repeatable: one key, one effect, one answer.", 255)


def _header(name: str, text: str, longest: int | None = None) -> dict[str, Any]:
    schema = {"type": "string"} | ({"minLength": 1, "maxLength": longest} if longest else {})
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}


def _answers(declared: Audience, about: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, shape in about.answers.items():
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if shape is not None:
            schema = {"$ref": REF.format(model=shape.__name__)}
            answers[str(status)]["content"] = {"application/json": {"schema": schema}}
        if declared.recent:
            answers[str(status)]["headers"] = {"Age": {"description": AGE, "schema": {"type": "integer"}}}
    for status in sorted(_problems(declared, about) - set(about.answers)):
        content = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return answers


def _problems(declared: Audience, about: Operation) -> set[int]:
    found = set(about.problems)
    if declared.side == Side.API:
        found |= {401, 403, 404, 422, 429} | ({402} if declared.needs == Needs.PRODUCT else set())
    if about.body is not None:
        found |= {400, 413, 415, 422}
    if about.query is not None:
        found |= {422}
    if about.repeatable:
        found |= {409, 422}
    return found

"""The document at /api/v1/openapi.json and a page made from it: no script and nothing from elsewhere (API-2)."""

import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, render_template

from portal.api import document, webhook_document
from portal.api.operation import described
from portal.web.kit import audience, responder

blueprint = Blueprint("api_reference", __name__)


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table: a parameter, or a field of a body or an answer."""

    name: str
    kind: str
    needed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A body or an answer."""

    title: str
    text: str
    fields: list[Field]
    example: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One method of one path as the page shows it."""

    anchor: str
    method: str
    path: str
    summary: str
    text: list[str]
    scopes: list[str]
    public: bool
    parameters: list[Field]
    body: Shape | None
    answers: list[Shape]
    problems: list[str]


@blueprint.get("/api/v1/openapi.json", strict_slashes=False)
@audience.public
@described("This document", "Reference", answers={200: None})
def openapi() -> Response:
    """OpenAPI 3.1. It may be kept: it changes only with a new version of the portal."""
    made = _made()
    response = Response(json.dumps(made, ensure_ascii=False), mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@blueprint.get("/api/v1/docs", strict_slashes=False)
@audience.public
@described("The same as a page", "Reference", answers={200: None})
def page() -> Response:
    """For people."""
    made = _made()
    groups: dict[str, list[Entry]] = {}
    for path, methods in made["paths"].items():
        for method, said in methods.items():
            groups.setdefault(said["tags"][0], []).append(_entry(made, path, method, said))
    shapes = [
        _shape(made, name, {"content": {"application/json": {"schema": {"$ref": name}}}})
        for name in sorted(made["components"]["schemas"])
    ]
    fields = webhook_document.DATA
    hooks = [(kind, said["post"]["summary"], list(fields[kind])) for kind, said in made["webhooks"].items()]
    about = [_plain(part) for part in made["info"]["description"].split("\n\n")]
    html = render_template(
        "public/api_reference/page.html", groups=groups, shapes=shapes, about=about, hooks=hooks,
        version=made["info"]["version"],
    )  # fmt: skip
    return responder.vary(Response(html, mimetype="text/html"))


def _made() -> dict[str, Any]:
    """Built at the first question: a process that is never asked pays nothing."""
    made: dict[str, Any] | None = current_app.extensions.get("portal_openapi")
    if made is None:
        made = current_app.extensions["portal_openapi"] = document.build(current_app)
    return made


def _entry(made: dict[str, Any], path: str, method: str, said: dict[str, Any]) -> Entry:
    body = said.get("requestBody", {}).get("content", {}).get("application/json")
    answers = [(status, answer) for status, answer in said["responses"].items()]
    good = [_shape(made, f"{s} {a['description']}", a) for s, a in answers if s < "400"]
    return Entry(
        anchor=said["operationId"],
        method=method.upper(),
        path=path,
        summary=said["summary"],
        text=[_plain(part) for part in said["description"].split("\n\n")],
        scopes=said.get("x-scopes", []),
        public=not said["security"],
        parameters=[_parameter(each) for each in said["parameters"]],
        body=_shape(made, "Body", {"content": {"application/json": body}}) if body else None,
        answers=good,
        problems=[f"{status} {answer['description']}" for status, answer in answers if status >= "400"],
    )


def _plain(text: str) -> str:
    """A paragraph on one line, without the marks of Markdown and reStructuredText."""
    return " ".join(text.replace("**", "").replace("`", "").split())


def _parameter(said: dict[str, Any]) -> Field:
    text = said.get("description", "")
    return Field(f"{said['name']} ({said['in']})", _kind(said["schema"]), said["required"], _plain(text))


def _shape(made: dict[str, Any], title: str, holder: dict[str, Any]) -> Shape:
    content = next(iter(holder.get("content", {}).values()), None)
    if content is None:
        return Shape(title, "", [], "")
    schema = _resolved(made, content["schema"])
    needed = schema.get("required", [])
    fields = [
        Field(name, _kind(each), name in needed, _plain(_words(made, each)))
        for name, each in schema.get("properties", {}).items()
    ]
    example = content.get("examples", {})
    shown = [json.dumps(one["value"], indent=2, ensure_ascii=False) for one in example.values()]
    return Shape(title, _plain(schema.get("description", "")), fields, "\n\n".join(shown))


def _resolved(made: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _words(made: dict[str, Any], schema: dict[str, Any]) -> str:
    return str(schema.get("description", "") or _resolved(made, schema).get("description", ""))


def _kind(schema: dict[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))

"""What imports cannot show: who commits, what routes declare, that names resolve, what templates may not contain."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import portal.app
from portal.kit import tasks
from portal.kit.db import Base, TenantMixin
from portal.web.kit import audience

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sorted((ROOT / "portal").rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
#: Rooms and kit know no web framework; gateways and doors may.
ROOMS = (
    "kit", "settings", "audit", "notifications", "identity", "catalog", "credits", "usage", "entitlements", "billing",
    "subscriptions", "accounts", "checkout", "stripe_events", "reporting", "gateways",
)  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls(tree: ast.AST, method: str) -> list[int]:
    called = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    return [f.lineno for f in called if isinstance(f, ast.Attribute) and f.attr == method]


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_only_the_unit_of_work_commits(path: Path) -> None:
    if "sandbox" in path.parts or path.name == "unit_of_work.py":
        return
    tree = ast.parse(path.read_text())
    assert not calls(tree, "commit"), "commits stand in kit/unit_of_work.py only"


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400, f"{len(lines)} lines: move a verb out"
    assert path.name != "utils.py"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_no_web_framework(room: str) -> None:
    for path in sorted((ROOT / "portal" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = [m for m in modules if m.split(".")[0] in ("flask", "flask_babel", "flask_login", "flask_wtf")]
            assert not wrong, f"{name(path)} imports {wrong}"


def test_services_never_open_a_transaction_nor_the_network() -> None:
    for path in sorted((ROOT / "portal").glob("*/service.py")):
        text = path.read_text()
        assert "unit_of_work()" not in text, name(path)
        assert "gateways.stripe import current" not in text, name(path)
        assert "stripe.current()" not in text, name(path)


def test_every_route_declares_its_audience(built_app: Flask) -> None:
    silent = [
        rule.endpoint
        for rule in built_app.url_map.iter_rules()
        if rule.endpoint != "static" and audience.of(built_app.view_functions[rule.endpoint]) is None
    ]
    assert silent == []


def test_addresses_are_typed_and_in_kebab_case(built_app: Flask) -> None:
    for rule in built_app.url_map.iter_rules():
        if rule.endpoint == "static" or rule.rule.startswith("/api/"):
            continue
        for part in re.sub(r"<[^>]*>", "", rule.rule).split("/"):
            assert re.fullmatch(r"[a-z0-9.-]*", part), rule.rule
        for argument in re.findall(r"<([^>]*)>", rule.rule):
            known = argument in ("code", "token", "feature", "name") or argument.startswith(("int:", "path:"))
            assert known, f"{rule.rule}: say what {argument} is"


def test_tasks_and_events_resolve(built_app: Flask) -> None:
    known = tasks.all_tasks()
    for event, listeners in tasks.all_events().items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event)
        for listener in listeners:
            assert listener in known, f"{event} wakes {listener}, which nobody registered"
    for periodic in tasks.all_periodic():
        assert periodic.task in known
    named = {"task": "enqueue", "event": "emit"}
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            first = node.args[0]
            if not (isinstance(first, ast.Constant) and isinstance(node.func.value, ast.Name)):
                continue
            if node.func.value.id == "outbox" and node.func.attr == named["task"]:
                assert first.value in known, f"{name(path)}: no task {first.value!r}"
            if node.func.value.id == "outbox" and node.func.attr == named["event"]:
                assert first.value in tasks.all_events(), f"{name(path)}: no event {first.value!r}"


def test_handlers_take_small_plain_arguments(built_app: Flask) -> None:
    """Job arguments are ids: a handler that asks for a password or a document would put it into Redis and the log."""
    for task in tasks.all_tasks().values():
        for parameter in inspect.signature(task.handler).parameters.values():
            assert parameter.annotation in (int, str, "int", "str"), f"{task.name}: {parameter}"
            assert not re.search("password|secret|token|payload", parameter.name), f"{task.name}: {parameter}"


def test_every_table_of_tenants_has_a_vendor(built_app: Flask) -> None:
    """Tables that name a vendor either belong to it (TenantMixin) or are listed here with their reason."""
    allowed = {
        "outbox_jobs": "the kit knows no vendors",
        "webhook_events": "whose an event is turns out when it is handled",
        "sent_mails": "staff and people without a vendor get mail too",
        "audit_log": "the platform's own acts stand there too",
        "refresh_tokens": "a token may be for no vendor",
        "tier_prices": "a public price belongs to nobody",
        "credit_accounts": "its key is the vendor",
        "support_tickets": "a visitor's question belongs to nobody",
        "ticket_messages": "a visitor's question belongs to nobody",
        "entitlement_versions": "its key is the vendor",
        "api_keys": "the operator's platform has some too",
        "webhook_endpoints": "the operator's platform has some too",
        "webhook_deliveries": "the operator's platform has some too",
    }
    for mapper in Base.registry.mappers:
        table: Any = mapper.local_table
        if "vendor_id" in table.c and table.name not in allowed:
            assert issubclass(mapper.class_, TenantMixin), table.name
            assert not table.c.vendor_id.nullable, table.name


FORBIDDEN = {
    r"\shx-on": "inline handlers are refused by the policy",
    r"[\"']js:": "js: values are refused by the policy",
    r"\sstyle=": "inline styles are refused by the policy",
    r"\son[a-z]+=[\"']": "inline handlers are refused by the policy",
    r"<script(?![^>]*\ssrc=)": "inline scripts are refused by the policy",
    r"hx-trigger=\"[^\"]*\[": "trigger filters need eval",
    r"https?://(?!www\.w3\.org)[a-z]": "nothing is loaded from elsewhere",
    r"\|\s*safe\b": "what is marked safe is not escaped",
}


@pytest.mark.parametrize("path", [p for p in TEMPLATES if "mail" not in p.parts], ids=name)
def test_templates_fit_the_policy(path: Path) -> None:
    text = re.sub(r"{#.*?#}", "", path.read_text(), flags=re.S)
    for pattern, why in FORBIDDEN.items():
        assert not re.search(pattern, text), f"{pattern}: {why}"


def test_doors_do_not_read_htmx_headers() -> None:
    for path in sorted((ROOT / "portal" / "web").rglob("*.py")):
        if "kit" not in path.parts:
            assert "HX-" not in path.read_text(), f"{name(path)}: the responder decides"


def test_app_names_only_rooms_with_jobs() -> None:
    for room in portal.app.ROOMS_WITH_JOBS:
        assert (ROOT / "portal" / room / "jobs.py").exists()
    forgotten = (
        {p.parent.name for p in (ROOT / "portal").glob("*/jobs.py")} - set(portal.app.ROOMS_WITH_JOBS) - {"kit", "cli"}
    )
    assert forgotten == set()

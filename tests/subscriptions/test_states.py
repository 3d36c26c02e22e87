"""The table of states: docs/states.md says it in words, the verbs ask it, and nothing else changes a state."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from portal.kit.actor import ActorKind
from portal.subscriptions.rules import Status, is_open
from portal.subscriptions.states import STATES, Event, after, allowed

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "states.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"

WHO = {"user": "vendor", "staff": "staff", "system": "the portal", "stripe": "Stripe", "api_key": "API key"}


def table() -> str:
    """One row per event and state that knows it."""
    rows = ["| what happens | in state | by | becomes |", "|---|---|---|---|"]
    for event in Event:
        for status in Status:
            step = STATES[event].get(status)
            if step:
                by = ", ".join(WHO[kind] for kind in get_args(ActorKind) if kind in step.by)
                becomes = "the same" if step.to == status else f"`{step.to}`"
                rows.append(f"| {event.replace('_', ' ')} | `{status}` | {by} | {becomes} |")
    return "\n".join(rows)


def test_the_document_is_the_table() -> None:
    text = DOCUMENT.read_text()
    written = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
    assert written == table(), f"write this between the marks of docs/states.md:\n{table()}"


def test_every_event_and_every_state_is_in_the_table() -> None:
    assert set(STATES) == set(Event)
    assert {status for steps in STATES.values() for status in steps} == set(Status)


@pytest.mark.parametrize("status", Status)
def test_nobody_is_locked_in_or_out(status: Status) -> None:
    """From every state some money that comes in opens the product; only staff's word or a period's end closes it."""
    opens = [
        event
        for event in (Event.ACTIVATE, Event.RENEW, Event.RECOVER)
        if allowed(status, event, "stripe") and allowed(status, event, "staff")
    ]
    assert opens
    assert all(is_open(after(status, event)) for event in opens)


def test_what_a_vendor_may_let_happen() -> None:
    """By itself a vendor opens nothing, and ends at once only where nothing is owed."""
    mine = {(e, s, STATES[e][s].to) for e in Event for s in STATES[e] if allowed(s, e, "user")}
    assert not [m for m in mine if is_open(m[2]) and not is_open(m[1])]
    assert {s for e, s, to in mine if to == Status.CANCELLED} == {Status.TRIAL, Status.ACTIVE}


def test_only_verbs_that_ask_the_table_set_a_state() -> None:
    """Assignments to ``.status`` of a subscription, by file: a new one must ask the table first, then be listed."""
    found = set()
    for path in sorted((ROOT / "portal" / "subscriptions").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            flat = [t for target in targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
            if any(isinstance(t, ast.Attribute) and t.attr == "status" for t in flat):
                found.add(path.name)
    assert found <= {"dunning.py", "endings.py", "mirror.py", "service.py", "transfer_periods.py"}

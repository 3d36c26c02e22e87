"""Bad days on demand: refused payments, error answers before or after the effect, and mischief with events."""

import json
import re
from typing import Any

from portal.sandbox.errors import invalid
from portal.sandbox.tx import Doc, Tx

KINDS = ("status", "stall", "decline_next", "drop_events", "delay_events", "duplicate_events", "reorder_events")
STATUSES = (409, 429, 500, 502, 503)
# Reordered events are held this long (wall seconds) so that the later ones can overtake them.
HOLD = 1.5
SETTINGS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("kind", "when", "path", "types"), (str,)),
    **dict.fromkeys(("status", "times"), (int,)),
    "seconds": (int, float),
}


def add(tx: Tx, given: Doc) -> Doc:
    """Register a fault; raises 400 for one that is not understood."""
    for name, value in given.items():
        if name not in SETTINGS or not isinstance(value, SETTINGS[name]):
            raise invalid(f"Received unknown or wrong setting: {name}", param=name)
    fault = {"when": "before", "times": 1, "seconds": 60.0, "status": 500, **given}
    _check(fault)
    fault["left"] = fault["times"]
    cursor = tx.conn.execute("INSERT INTO faults (body) VALUES (?)", (json.dumps(fault),))
    return {"id": cursor.lastrowid, **fault}


def _check(fault: Doc) -> None:
    if fault.get("kind") not in KINDS:
        raise invalid(f"kind must be one of {', '.join(KINDS)}", param="kind")
    if fault["when"] not in ("before", "after"):
        raise invalid("when must be before or after", param="when")
    if fault["status"] not in STATUSES:
        raise invalid(f"status must be one of {STATUSES}", param="status")
    for name in ("path", "types"):
        try:
            re.compile(fault.get(name, ""))
        except re.error as error:
            raise invalid(f"{name} is not a regular expression: {error}", param=name) from error


def active(tx: Tx) -> list[Doc]:
    """Faults that still have something to do, oldest first."""
    rows = tx.conn.execute("SELECT id, body FROM faults ORDER BY id")
    return [{"id": row[0], **json.loads(row[1])} for row in rows]


def clear(tx: Tx) -> None:
    """All is well again."""
    tx.conn.execute("DELETE FROM faults")


def take(tx: Tx, kinds: tuple[str, ...], subject: str = "", when: str | None = None) -> Doc | None:
    """Use up one turn of the first fault that fits: `subject` is "POST /v1/…" or an event type."""
    for fault in active(tx):
        pattern = fault.get("types") or fault.get("path") or ""
        if fault["kind"] in kinds and when in (None, fault["when"]) and re.search(pattern, subject):
            spend(tx, fault["id"])
            tx.spent_faults.append(fault["id"])
            return fault
    return None


def spend(tx: Tx, ident: int) -> None:
    """Use up one turn of a fault (again, when the transaction that used it was undone by a refusal)."""
    fault = next((fault for fault in active(tx) if fault["id"] == ident), None)
    if fault is None:
        return
    body: dict[str, Any] = {name: value for name, value in fault.items() if name != "id"}
    body["left"] -= 1
    if body["left"] > 0:
        tx.conn.execute("UPDATE faults SET body = ? WHERE id = ?", (json.dumps(body), fault["id"]))
    else:
        tx.conn.execute("DELETE FROM faults WHERE id = ?", (fault["id"],))


def for_delivery(tx: Tx, event_type: str) -> tuple[str, float, float | None, int]:
    """What mischief awaits this event: state, delay in wall seconds, place in the queue, number of copies."""
    fault = take(tx, ("drop_events", "delay_events", "duplicate_events", "reorder_events"), event_type)
    if fault is None:
        return "pending", 0.0, None, 1
    if fault["kind"] == "drop_events":
        return "dropped", 0.0, None, 1
    if fault["kind"] == "delay_events":
        return "pending", float(fault["seconds"]), None, 1
    if fault["kind"] == "duplicate_events":
        return "pending", 0.0, None, 2
    # Ever smaller places, all beyond the ordinary ones, turn the order round.
    return "pending", HOLD, 1e12 + fault["left"], 1

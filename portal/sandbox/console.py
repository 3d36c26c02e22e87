"""The sandbox's own page: the clock, bad days, events with their mischief, deliveries, objects."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from portal.sandbox import dunning, events, faults, mischief, render
from portal.sandbox.api import sandbox
from portal.sandbox.config import AFTER_RETRIES
from portal.sandbox.errors import StripeError
from portal.sandbox.invoices import HOUR
from portal.sandbox.periods import DAY, add
from portal.sandbox.tx import Doc, Tx

bp = Blueprint("console", __name__)
SHOWN_EVENTS, SHOWN_OBJECTS, DELAY = 50, 20, 60
KINDS = (
    "customer",
    "checkout.session",
    "subscription",
    "subscription_schedule",
    "invoice",
    "payment_intent",
    "charge",
    "refund",
    "dispute",
    "credit_note",
    "setup_intent",
    "payment_method",
    "tax_rate",
    "product",
    "price",
    "webhook_endpoint",
)


@bp.get("/")
def page() -> str:
    """Everything at a glance; it reloads by itself while the clock is being moved."""
    box = sandbox()
    with box.begin() as tx:
        following = next_charge(tx)
        return render_template(
            "sandbox/console.html",
            account=box.config.account_name,
            now=datetime.fromtimestamp(tx.now, UTC),
            offset_days=round(box.clock.offset() / DAY, 2),
            next_charge=datetime.fromtimestamp(following, UTC) if following else None,
            conductor=box.conductor,
            faults=faults.active(tx),
            ends=[(end, end == dunning.end_of(tx)) for end in AFTER_RETRIES],
            acts=mischief.ACTS,
            events=_events(tx),
            objects=[(kind, _objects(tx, kind)) for kind in KINDS],
        )


def next_charge(tx: Tx) -> int | None:
    """When a card is charged next: a retry, a draft's hour, or a renewal and the hour after it."""
    query = "SELECT kind, min(at) FROM due WHERE kind IN ('renew', 'finalize', 'retry') GROUP BY kind"
    found = [at + (HOUR if kind == "renew" else 0) for kind, at in tx.conn.execute(query)]
    return min(found, default=None)


def _events(tx: Tx) -> list[Doc]:
    shown = []
    for event in tx.scan("event", extra=f"ORDER BY seq DESC LIMIT {SHOWN_EVENTS}"):
        query = "SELECT state, attempts, answer, next_at FROM deliveries WHERE event = ? ORDER BY id"
        deliveries = [
            {"state": state, "attempts": attempts, "answer": answer, "wait": max(0, round(next_at - time.time()))}
            for state, attempts, answer, next_at in tx.conn.execute(query, (event["id"],))
        ]
        when = datetime.fromtimestamp(event["created"], UTC)
        body = json.dumps(render.present(tx, event), indent=2)
        shown.append({"id": event["id"], "type": event["type"], "when": when, "deliveries": deliveries, "body": body})
    return shown


def _objects(tx: Tx, kind: str) -> list[tuple[str, str]]:
    found = tx.scan(kind, extra=f"ORDER BY seq DESC LIMIT {SHOWN_OBJECTS}")
    return [(doc["id"], json.dumps(render.present(tx, doc), indent=2)) for doc in found]


def _home() -> Response:
    return redirect("/", 303)


# --- the clock


@bp.post("/clock")
def move_clock() -> Response:
    """One day, one month, or to the next charge; by the conductor where there is one."""
    box = sandbox()
    with box.begin() as tx:
        now, following = tx.now, next_charge(tx)
    target = {
        "day": now + DAY,
        "month": add(now, "month", 1),
        "charge": (following or now) + 1,
    }.get(request.form.get("move", ""))
    if target is None:
        abort(400, "Choose day, month or charge.")
    if box.conductor.command:
        day = request.form["move"] == "day"
        box.conductor.start(
            *(("--days", "1") if day else ("--to", f"{datetime.fromtimestamp(target, UTC):%Y-%m-%dT%H:%M:%SZ}"))
        )
    else:
        box.clock.advance(target - now)
        box.run_due()
    return _home()


# --- mischief


@bp.post("/events/<ident>")
def trouble(ident: str) -> Response:
    """Resend, duplicate, delay, drop or reorder the deliveries of one event."""
    with sandbox().begin() as tx:
        event = tx.find(ident)
        if event is None or event["object"] != "event":
            abort(404)
        act = MISCHIEF.get(request.form.get("do", ""))
        if act is None:
            abort(400, "Choose resend, duplicate, delay, drop or reorder.")
        act(tx, ident)
    return _home()


def _resend(tx: Tx, event: str) -> None:
    for endpoint in list(tx.scan("webhook_endpoint")):
        events.queue_delivery(tx, event, endpoint["id"])


def _duplicate(tx: Tx, event: str) -> None:
    _resend(tx, event)
    _resend(tx, event)


def _delay(tx: Tx, event: str) -> None:
    query = "UPDATE deliveries SET next_at = ? WHERE event = ? AND state = 'pending'"
    if not tx.conn.execute(query, (time.time() + DELAY, event)).rowcount:
        for endpoint in list(tx.scan("webhook_endpoint")):
            events.queue_delivery(tx, event, endpoint["id"], delay=DELAY)


def _drop(tx: Tx, event: str) -> None:
    tx.conn.execute("UPDATE deliveries SET state = 'dropped' WHERE event = ? AND state = 'pending'", (event,))


def _reorder(tx: Tx, event: str) -> None:
    query = "UPDATE deliveries SET place = 1e12, next_at = ? WHERE event = ? AND state = 'pending'"
    tx.conn.execute(query, (time.time() + faults.HOLD, event))


MISCHIEF: dict[str, Any] = {
    "resend": _resend,
    "duplicate": _duplicate,
    "delay": _delay,
    "drop": _drop,
    "reorder": _reorder,
}


@bp.post("/objects/<ident>")
def happen(ident: str) -> Response:
    """Let something happen to one object that nobody asked for: a dispute, a new card from the bank."""
    with sandbox().begin() as tx:
        doc = tx.find(ident)
        act = mischief.found(doc, request.form.get("do", "")) if doc else None
        if doc is None or act is None:
            abort(404)
        try:
            act(tx, doc)
        except StripeError as error:
            abort(409, error.error["message"])
    return _home()


@bp.post("/after-retries")
def after_retries() -> Response:
    """What follows the last refused attempt, as Stripe's dashboard sets it."""
    with sandbox().begin() as tx:
        try:
            dunning.choose_end(tx, request.form.get("end"))
        except StripeError as error:
            abort(400, error.error["message"])
    return _home()


@bp.post("/bad-days")
def bad_day() -> Response:
    """Order a fault from the form; the same settings as POST /_sandbox/faults."""
    form = request.form
    with sandbox().begin() as tx:
        if form.get("kind") == "clear":
            faults.clear(tx)
        elif form.get("kind") not in faults.KINDS or not form.get("times", "1").isdigit():
            abort(400, "Choose a kind of bad day and a number of times.")
        else:
            faults.add(tx, _fault(form.to_dict()))
    return _home()


def _fault(form: dict[str, str]) -> Doc:
    fault: Doc = {"kind": form["kind"], "times": max(1, min(int(form.get("times", "1")), 100))}
    if form["kind"] == "status":
        status = form.get("status", "500")
        fault |= {"status": int(status) if status in ("429", "500") else 500, "path": "^(POST|DELETE)"}
        fault["when"] = "after" if form.get("when") == "after" else "before"
    return fault

"""The sandbox's own controls (not Stripe's): due queue, deliveries, faults, reset. JSON for programs."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from portal.sandbox import delivery, dunning, faults, mischief
from portal.sandbox.engine import Sandbox
from portal.sandbox.errors import StripeError, invalid

bp = Blueprint("control", __name__, url_prefix="/_sandbox")


def sandbox() -> Sandbox:
    """The instance that this request reached."""
    found: Sandbox = current_app.extensions["sandbox"]
    return found


@bp.errorhandler(StripeError)
def refused(error: StripeError) -> tuple[Response, int]:
    """A control that was misused."""
    return jsonify(error.body()), error.status


@bp.post("/run-due")
def run_due() -> Response:
    """Do everything that is due."""
    return jsonify(ran=sandbox().run_due())


@bp.post("/deliver")
def deliver() -> Response:
    """Send every delivery that is due (retries that wait for their gap stay waiting)."""
    return jsonify(attempts=delivery.deliver_due(sandbox()))


@bp.get("/status")
def status() -> Response:
    """What is left to do, and the time."""
    with sandbox().begin() as tx:
        due = tx.conn.execute("SELECT count(*) FROM due WHERE at <= ?", (tx.now,)).fetchone()[0]
        waiting = tx.conn.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]
        following = tx.conn.execute("SELECT min(at) FROM due").fetchone()[0]
        return jsonify(due_now=due, deliveries_pending=waiting, now=tx.now, next_due=following)


@bp.get("/deliveries")
def deliveries() -> Response:
    """What waits to be delivered: raw bodies with fresh signatures."""
    return jsonify(data=delivery.pending(sandbox()))


@bp.post("/deliveries/<int:ident>/ack")
def acknowledge(ident: int) -> Response:
    """Someone delivered it by other means."""
    if not delivery.record(sandbox(), ident, True, "acknowledged"):
        raise invalid(f"No such pending delivery: {ident}", status=404, code="resource_missing")
    return jsonify(id=ident, state="delivered")


@bp.get("/faults")
def list_faults() -> Response:
    """Faults that still wait for their turn."""
    with sandbox().begin() as tx:
        return jsonify(data=faults.active(tx))


@bp.post("/faults")
def add_fault() -> Response:
    """Order a bad day; see docs/sandbox.md for the settings."""
    given: Any = request.get_json(silent=True)
    if not isinstance(given, dict):
        raise invalid("Send a JSON object.")
    with sandbox().begin() as tx:
        return jsonify(faults.add(tx, given))


@bp.delete("/faults")
def clear_faults() -> Response:
    """All is well again."""
    with sandbox().begin() as tx:
        faults.clear(tx)
    return jsonify(data=[])


@bp.get("/settings")
def settings() -> Response:
    """What Stripe's dashboard would be set to."""
    with sandbox().begin() as tx:
        return jsonify(after_retries=dunning.end_of(tx))


@bp.post("/settings")
def change_settings() -> Response:
    """Set `after_retries` to past_due, unpaid or cancel."""
    given: Any = request.get_json(silent=True)
    if not isinstance(given, dict) or set(given) != {"after_retries"}:
        raise invalid("Send a JSON object with after_retries.")
    with sandbox().begin() as tx:
        dunning.choose_end(tx, given["after_retries"])
        return jsonify(after_retries=dunning.end_of(tx))


@bp.post("/objects/<ident>/<act>")
def happen(ident: str, act: str) -> Response:
    """Let something happen to an object as the buttons on the page do: dispute, win, lose, renew, settle."""
    with sandbox().begin() as tx:
        doc = tx.find(ident)
        do = mischief.found(doc, act) if doc else None
        if doc is None or do is None:
            raise invalid(f"Nothing called {act} can happen to {ident}.", status=404, code="resource_missing")
        do(tx, doc)
    return jsonify(id=ident, happened=act)


@bp.post("/reset")
def reset() -> Response:
    """Wipe everything but the configured endpoint."""
    sandbox().reset()
    return jsonify(reset=True)

"""One sandbox: its clock, its store, and the queue that runs things when their time has come."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from portal.sandbox import endpoints, renewals, session_shape, timers
from portal.sandbox.clock import Clock
from portal.sandbox.conductor import Conductor
from portal.sandbox.config import SandboxConfig
from portal.sandbox.store import Store
from portal.sandbox.tx import Doc, Tx

log = logging.getLogger(__name__)

DUE: dict[str, Callable[[Tx, Doc], None]] = {**renewals.HANDLERS, "expire_session": session_shape.close}
# Appointments of a subscription that mean nothing once it has ended.
FOR_LIVE = frozenset(timers.KINDS) - {"incomplete_expiry"}


class Sandbox:
    """What all doors of one instance share."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.clock = Clock(config.offset_file)
        self.store = Store(config.data)
        self.conductor = Conductor(config.conductor)
        self.in_flight: set[str] = set()
        self.in_flight_lock = threading.Lock()
        self.delivering = threading.Lock()
        self._register_endpoint()

    @contextmanager
    def begin(self, *, request_id: str | None = None, idempotency_key: str | None = None) -> Iterator[Tx]:
        """A transaction at the present business time; an exception undoes all of it."""
        with self.store.transaction() as conn:
            tx = Tx(conn, self.clock.now(), self.config, request_id, idempotency_key)
            yield tx
            tx.flush()

    def _register_endpoint(self) -> None:
        if not self.config.webhook_url:
            return
        secrets = [secret.strip() for secret in self.config.webhook_secret.split(",") if secret.strip()]
        with self.begin() as tx:
            for endpoint in list(tx.scan("webhook_endpoint")):
                if endpoint["_private"].get("configured"):
                    tx.delete(endpoint)
            endpoint = endpoints.register(
                tx, self.config.webhook_url, secrets, ["*"], {"description": "From the environment"}
            )
            endpoint["_private"]["configured"] = True

    def reset(self) -> None:
        """Forget everything but the endpoint from the configuration."""
        self.store.wipe()
        self._register_endpoint()

    def run_due(self) -> int:
        """Do what is due, in the order of its time and each at its own time; returns how many things were done."""
        ran = 0
        while self._run_next():
            ran += 1
        return ran

    def _run_next(self) -> bool:
        failed: int | None = None
        try:
            with self.begin() as tx:
                query = "SELECT id, at, kind, target FROM due WHERE at <= ? ORDER BY at, id LIMIT 1"
                row = tx.conn.execute(query, (tx.now,)).fetchone()
                if row is None:
                    return False
                failed, tx.now, kind, target = row
                tx.conn.execute("DELETE FROM due WHERE id = ?", (failed,))
                self._do(tx, kind, target)
        except Exception:
            # A thing that cannot be done must not stop the clock for everything after it.
            log.exception("sandbox: a due item failed and was left out")
            with self.store.transaction() as conn:
                conn.execute("DELETE FROM due WHERE id = ?", (failed,))
        return True

    def _do(self, tx: Tx, kind: str, target: str) -> None:
        doc = tx.find(target)
        if doc is None or (kind in FOR_LIVE and doc["status"] not in timers.LIVE):
            return
        DUE[kind](tx, doc)

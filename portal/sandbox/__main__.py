"""`python -m portal.sandbox`: the sandbox as a process of its own, with its clock ticking."""

import logging
import os
import signal
import sys
import threading
import types

from werkzeug.serving import WSGIRequestHandler, make_server

from portal.sandbox import delivery
from portal.sandbox.app import create_sandbox
from portal.sandbox.config import SandboxConfig
from portal.sandbox.engine import Sandbox

log = logging.getLogger("portal.sandbox")
TICK = 0.25  # wall seconds between two looks at the queue of deliveries; what is due is looked at each second


class QuietHandler(WSGIRequestHandler):
    """No line per request; failures are logged by the application."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def tick(sandbox: Sandbox, stop: threading.Event) -> None:
    """Run what is due and deliver, until told to stop."""
    while not stop.wait(TICK):
        try:
            sandbox.run_due()
            delivery.deliver_due(sandbox)
        except Exception:
            log.exception("sandbox: the background thread stumbled and goes on")


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when the environment is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = SandboxConfig.from_environment()
    except ValueError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    app = create_sandbox(config)
    server = make_server(
        "127.0.0.1", int(os.environ.get("SANDBOX_PORT", "8001")), app, threaded=True, request_handler=QuietHandler
    )
    stop = threading.Event()
    sandbox: Sandbox = app.extensions["sandbox"]
    ticker = threading.Thread(target=tick, args=(sandbox, stop), name="sandbox-tick", daemon=True)

    def end(number: int, frame: types.FrameType | None) -> None:
        stop.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    ticker.start()
    log.info("Stripe sandbox (no real money) on %s", config.public_url)
    server.serve_forever()
    ticker.join(timeout=5)
    sandbox.store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

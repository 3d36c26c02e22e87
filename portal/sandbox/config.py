"""What one sandbox instance needs to know; several may live in one process, so nothing is global."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

API_VERSION = "2026-10-28.endive"
AFTER_RETRIES = ("past_due", "unpaid", "cancel")


@dataclass(frozen=True)
class SandboxConfig:
    """Settings of one instance. `data` is a path of an SQLite file or ":memory:"; times are in seconds.

    `redirect_wait` is how long (wall seconds) the hosted Checkout page waits for the endpoint to answer
    the event before it sends the customer back; Stripe waits about ten seconds, 0 never waits.
    `after_retries` is what follows the last refused attempt: past_due, unpaid or cancel.
    """

    secret_key: str = field(repr=False)
    public_url: str
    data: str = ":memory:"
    offset_file: str | None = None
    webhook_url: str | None = None
    webhook_secret: str = field(default="", repr=False)
    conductor: tuple[str, ...] = ()
    account_name: str = "Sandbox operator"
    redirect_wait: float = 2.0
    after_retries: str = "past_due"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "SandboxConfig":
        """Read the SANDBOX_* variables; raises ValueError that names what is missing."""
        port = environ.get("SANDBOX_PORT", "8001")
        if not environ.get("SANDBOX_SECRET_KEY"):
            raise ValueError("SANDBOX_SECRET_KEY is not set: choose the API key this sandbox shall accept")
        if environ.get("SANDBOX_WEBHOOK_URL") and not environ.get("SANDBOX_WEBHOOK_SECRET"):
            raise ValueError("SANDBOX_WEBHOOK_SECRET is not set, but SANDBOX_WEBHOOK_URL is")
        end = environ.get("SANDBOX_AFTER_RETRIES", "past_due")
        if end not in AFTER_RETRIES:
            raise ValueError(f"SANDBOX_AFTER_RETRIES must be one of {', '.join(AFTER_RETRIES)}")
        return cls(
            after_retries=end,
            secret_key=environ["SANDBOX_SECRET_KEY"],
            public_url=environ.get("SANDBOX_PUBLIC_URL", f"http://127.0.0.1:{port}").rstrip("/"),
            data=environ.get("SANDBOX_DATA", ":memory:"),
            offset_file=environ.get("CLOCK_OFFSET_FILE") or None,
            webhook_url=environ.get("SANDBOX_WEBHOOK_URL") or None,
            webhook_secret=environ.get("SANDBOX_WEBHOOK_SECRET", ""),
            conductor=tuple(shlex.split(environ.get("SANDBOX_CONDUCTOR", ""))),
            account_name=environ.get("SANDBOX_ACCOUNT_NAME", "Sandbox operator"),
            redirect_wait=float(environ.get("SANDBOX_REDIRECT_WAIT", "2")),
        )

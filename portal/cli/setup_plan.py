"""What a local run consists of, decided from the environment alone: which parts are ours, and what each is told."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from portal.cli.setup_ports import LOOPBACK, parse_port

DEFAULT_PORT = 8000


@dataclass(frozen=True)
class Plan:
    """One local run. ``environment`` is what every child gets; it holds secrets and is never printed."""

    root: Path
    data: Path
    port: int
    sandbox_port: int
    own_redis: bool
    own_sandbox: bool
    own_database: bool
    demo: bool
    verbose: bool
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where people reach the portal."""
        return self.environment["BASE_URL"]

    @property
    def local_url(self) -> str:
        """Where this machine reaches the web process, whatever the public address is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """Where the Stripe sandbox's own page is."""
        return f"http://{LOOPBACK}:{self.sandbox_port}"

    def flask(self, *arguments: str) -> list[str]:
        """A command of the portal's own."""
        return [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]

    def web(self) -> list[str]:
        """The web server."""
        return [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "wsgi:app"),
            *("--host", LOOPBACK, "--port", str(self.port), "--no-ws", "--respawn-failed-workers"),
            *("--workers", self.environment.get("WEB_WORKERS", "1"), "--workers-kill-timeout", "3"),
            *("--blocking-threads", self.environment.get("WEB_THREADS", "4"), "--log-level", "warning"),
        ]


def data_folder(environ: Mapping[str, str], root: Path) -> Path:
    """DATA_DIR, or ``var`` in the project's folder."""
    return (root / (environ.get("DATA_DIR") or "var")).resolve()


def make_plan(environ: Mapping[str, str], root: Path, keys: Mapping[str, str]) -> Plan:
    """Decide what runs. A DATABASE_URL, REDIS_URL or STRIPE_SECRET_KEY of the operator's own switches ours off.

    SANDBOX=0 leaves Stripe away altogether: then only bank transfer can be offered.

    In production nothing is made up: no keys, no sandbox, no demo; the portal itself then names what is missing.
    Raises ValueError when a variable does not fit.
    """
    given = {name: value for name, value in environ.items() if value}
    production = given.get("APP_ENV") == "production"
    port = parse_port(given.get("PORT", str(DEFAULT_PORT)), "PORT")
    sandbox_port = parse_port(given.get("SANDBOX_PORT", str(port + 1)), "SANDBOX_PORT")
    own_sandbox = not production and "STRIPE_SECRET_KEY" not in given and _flag(given, "SANDBOX", default=True)
    own_database = "DATABASE_URL" not in given
    plan = Plan(
        root=root,
        data=data_folder(environ, root),
        port=port,
        sandbox_port=sandbox_port,
        own_redis="REDIS_URL" not in given,
        own_sandbox=own_sandbox,
        own_database=own_database,
        demo=_flag(given, "DEMO", default=own_sandbox and own_database),
        verbose=_flag(given, "VERBOSE", default=False),
        environment={},
    )
    children = _defaults(plan) | ({} if production else _development(keys)) | given
    if own_sandbox:
        children |= _sandbox(plan, keys, children["BASE_URL"])
    return replace(plan, environment=children | {"DATA_DIR": str(plan.data), "DEMO": "1" if plan.demo else "0"})


def _defaults(plan: Plan) -> dict[str, str]:
    return {
        "BASE_URL": plan.local_url,
        "PROMETHEUS_MULTIPROC_DIR": str(plan.data / "run" / "metrics"),
        "PYTHONUNBUFFERED": "1",
    }


def _development(keys: Mapping[str, str]) -> dict[str, str]:
    return {
        "APP_ENV": "development",
        "SECRET_KEY": keys["SECRET_KEY"],
        "ENCRYPTION_KEYS": keys["ENCRYPTION_KEYS"],
    }


def _sandbox(plan: Plan, keys: Mapping[str, str], base_url: str) -> dict[str, str]:
    """Both ends of the sandbox: what the portal is told of it, and what it is told of the portal."""
    return {
        "STRIPE_SECRET_KEY": keys["SANDBOX_SECRET_KEY"],
        "STRIPE_PUBLISHABLE_KEY": keys["SANDBOX_PUBLISHABLE_KEY"],
        "STRIPE_WEBHOOK_SECRET": keys["SANDBOX_WEBHOOK_SECRET"],
        "STRIPE_API_BASE": plan.sandbox_url,
        "STRIPE_CHECKOUT_ORIGIN": plan.sandbox_url,
        # The clock can be moved only where Stripe's clock moves along.
        "CLOCK_OFFSET_FILE": str(plan.data / "clock-offset"),
        "SANDBOX_URL": plan.sandbox_url,
        "SANDBOX_PORT": str(plan.sandbox_port),
        "SANDBOX_DATA": str(plan.data / "sandbox.db"),
        "SANDBOX_PUBLIC_URL": plan.sandbox_url,
        "SANDBOX_SECRET_KEY": keys["SANDBOX_SECRET_KEY"],
        "SANDBOX_WEBHOOK_URL": f"{base_url}/api/v1/webhooks/stripe",
        "SANDBOX_WEBHOOK_SECRET": keys["SANDBOX_WEBHOOK_SECRET"],
        "SANDBOX_CONDUCTOR": shlex.join([sys.executable, "-m", "flask", "--app", "wsgi", "conduct"]),
    }


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, "1" if default else "0").lower()
    if text not in {"0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise ValueError(f"{name} must be 0 or 1, not {text!r}.")
    return text in {"1", "true", "yes", "on"}


def root_folder() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[2]

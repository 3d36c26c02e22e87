"""Commands typed beside a local run: ``flask --app wsgi …`` in the project's folder is told what the run was told.

Asked by wsgi.py before anything is built, so it needs the standard library alone. No secret is written down for it: the
keys lie in the data folder already, and whoever handed others to ``make run`` hands them to commands, too.
"""

import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from portal.cli import setup_keys
from portal.cli.embedded_redis import EmbeddedRedis
from portal.cli.setup_plan import Plan, data_folder, make_plan

#: What a run was told and its commands must know, too. None of it is secret.
REMEMBERED = ("PORT", "SANDBOX_PORT", "SANDBOX", "DEMO", "BASE_URL", "PLATFORM_DOMAIN", "DNS_RESOLVERS")
#: These lead to other data or are secrets. A run that was given one leaves a command without it alone.
HANDED_ON = ("DATABASE_URL", "REDIS_URL", "STRIPE_SECRET_KEY")
FILE = Path("run") / "told.json"


def remember(data: Path, environ: Mapping[str, str]) -> None:
    """Write down for commands what this run was told; called at its start."""
    told = {
        "settings": {name: environ[name] for name in REMEMBERED if environ.get(name)},
        "needs": [name for name in HANDED_ON if environ.get(name)],
    }
    (data / FILE).write_text(json.dumps(told))


def adopt(environ: MutableMapping[str, str], root: Path) -> None:
    """Complete the environment of a command as that of the run that was last started from this folder.

    Nothing happens where the environment has keys of its own, in production, or where nothing was ever started.
    """
    if environ.get("SECRET_KEY") or environ.get("APP_ENV") == "production":
        return
    data = data_folder(environ, root)
    told = _told(data)
    if told is None or any(not environ.get(name) for name in told["needs"]):
        return
    plan = make_plan({**told["settings"], **environ}, root, setup_keys.load_or_make(data / "keys.env"))
    environ.update(_for_commands(plan))


def _told(data: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((data / FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if (data / "keys.env").exists() else None


def _for_commands(plan: Plan) -> dict[str, str]:
    """As its processes are told; a command counts nothing for Prometheus."""
    told = {name: value for name, value in plan.environment.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    return told | ({"REDIS_URL": EmbeddedRedis(plan.data / "redis").url} if plan.own_redis else {})

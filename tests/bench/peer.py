"""dj-stripe beside us: an environment of its own, a bare Django project, the same server and database."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, Literal

from tests.bench import events
from tests.bench.ground import KEY, Ground
from tests.bench.processes import ROOT, clean_environment, free_port, once, web

REQUIREMENTS = ROOT / "requirements-bench.txt"
PROJECT = Path(__file__).parent / "djstripe_project"
#: The address that dj-stripe gives to its endpoint; chosen here so that nobody has to ask for it.
ENDPOINT = "5f0e9c0a-0000-4000-8000-000000000001"
PATH = f"/stripe/webhook/{ENDPOINT}/"
#: ``fetch``: as it comes, each event's object is asked for anew. ``given``: that request is left out in its favour.
#: ``deferred``: the application's callback takes the event over, so that nothing but the raw trigger is stored.
Mode = Literal["fetch", "given", "deferred"]


def interpreter(data: Path) -> str:
    """The peer's Python; its environment is made when it is missing or its requirements have changed."""
    folder = data / "bench-venv"
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == digest):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-qqq", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(digest)
    return str(python)


def versions(python: str) -> dict[str, str]:
    """What is measured: the installed versions."""
    question = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
    names = ["dj-stripe", "Django", "stripe", "granian", "psycopg"]
    done = subprocess.run([python, "-c", question % names], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def environment(ground: Ground, database: str, mode: Mode) -> dict[str, str]:
    """What its processes are told."""
    return clean_environment(
        DJANGO_SETTINGS_MODULE="settings",
        BENCH_DATABASE=ground.url(database),
        BENCH_STRIPE_KEY=KEY,
        BENCH_STRIPE_URL=ground.sandbox_url,
        BENCH_WEBHOOK_SECRET=events.SECRET,
        BENCH_ENDPOINT=ENDPOINT,
        BENCH_MODE=mode,
        # Its own folder first: the project's name for its settings is not ours.
        PYTHONPATH=str(PROJECT),
    )


def settle_in(ground: Ground, python: str, database: str, told: list[dict[str, Any]]) -> None:
    """Migrate, and let it fetch account, customers and subscriptions from the sandbox, so that no event is a first."""
    subscriptions = [event["data"]["object"]["id"] for event in told]
    log = ground.folder / "peer-load.log"
    once([python, "load.py", *subscriptions], environment(ground, database, "fetch"), log, cwd=PROJECT)


@contextmanager
def serving(ground: Ground, python: str, database: str, mode: Mode) -> Iterator[tuple[int, Popen[bytes]]]:
    """Its web process; gives its port and granian's main process."""
    port = free_port()
    told, log = environment(ground, database, mode), ground.folder / f"peer-{mode}.log"
    with web("wsgi:application", port, told, log, python=python, cwd=PROJECT) as server:
        yield port, server

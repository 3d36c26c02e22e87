"""A running portal with its sandbox: in one process, or as a newcomer starts it, by the supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from portal.cli.setup_keys import load_or_make
from portal.cli.setup_plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 120
#: One process needs no queue, knows the commands, and spends nothing on making passwords hard to guess.
ALONE = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "FLASK_RUN_FROM_CLI": "1",
    "LOG_LEVEL": "ERROR",
    "ARGON2_MEMORY_KIB": "8",
}


@dataclass
class Stack:
    """Where it is found, and what a test may do beside a browser. ``env``: what each of its processes is told."""

    url: str
    sandbox_url: str
    env: dict[str, str]
    process: "subprocess.Popen[Any]"
    #: What the command said that made the first admin, with the link to choose a password.
    invitation: str = field(default="", init=False)

    def flask(self, *arguments: str) -> str:
        """Run a command of the portal's against this stack's data; gives what it printed."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all of it."""
        raise NotImplementedError

    def invite_admin(self, email: str) -> None:
        """The operator's first person, who still has to choose a password."""
        self.invitation = self.flask("staff", "add", email, "--name", "Grace Hopper", "--role", "admin")

    def conduct(self, *arguments: str) -> None:
        """Move business time as the sandbox's button does."""
        self.flask("conduct", *arguments)

    def fault(self, **about: Any) -> None:
        """Let something go wrong at the sandbox (docs/sandbox.md, bad days)."""
        answer = requests.post(self.sandbox_url + "/_sandbox/faults", json=about, timeout=20)
        assert answer.status_code < 300, answer.text

    def clear_faults(self) -> None:
        """All is well at the sandbox again."""
        requests.delete(self.sandbox_url + "/_sandbox/faults", timeout=20).raise_for_status()

    def sandbox_get(self, path: str) -> Any:
        """The sandbox's own controls."""
        return requests.get(self.sandbox_url + path, timeout=20).json()


class OneProcess(Stack):
    """tests/browser/one_process.py: its commands go to the process that serves."""

    def flask(self, *arguments: str) -> str:
        """Run a command of the portal's against this stack's data; gives what it printed."""
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the portal has ended"
        done = json.loads(answer)
        assert done["status"] == 0, done["said"]
        return str(done["said"])

    def stop(self) -> None:
        """It ends with its standard input."""
        self.process.communicate(timeout=30)


class Supervised(Stack):
    """The supervisor with all its children: Redis, sandbox, web, worker, scheduler."""

    def flask(self, *arguments: str) -> str:
        """Run a command in a process of its own, as in a terminal; gives what it printed."""
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._child_env(), capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _child_env(self) -> dict[str, str]:
        """The environment that the supervisor gives its children, read from a running one."""
        for child in Path("/proc").glob("[0-9]*"):
            try:
                command = (child / "cmdline").read_bytes()
                values = (child / "environ").read_bytes().decode().split("\0")
            except OSError:
                continue
            env = dict(v.split("=", 1) for v in values if "=" in v)
            if b"scheduler" in command and env.get("DATA_DIR") == self.env["DATA_DIR"]:
                return env
        raise AssertionError("the scheduler is not running")

    def stop(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **settings: str) -> Stack:
    """Start a portal in one process and wait until it is ready."""
    given = _told(folder, **ALONE, **settings)
    folder.mkdir(parents=True)
    plan = make_plan(given, ROOT, load_or_make(folder / "keys.env"))
    env = {name: value for name, value in plan.environment.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    with (folder.parent / "portal.log").open("wb") as log:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.browser.one_process"]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=log, text=True)
    stack = OneProcess(plan.local_url, plan.sandbox_url, env, process)
    _await(stack, "/healthz", folder.parent / "portal.log")
    return stack


def start_supervised(folder: Path, **settings: str) -> Stack:
    """Start the supervisor as ``make run`` does and wait until the portal is ready."""
    env = _told(folder, **settings)
    with (folder.parent / "supervisor.log").open("wb") as log:
        command = [sys.executable, "-m", "portal.cli.supervise"]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    stack = Supervised(f"http://127.0.0.1:{env['PORT']}", f"http://127.0.0.1:{env['SANDBOX_PORT']}", env, process)
    _await(stack, "/readyz", folder.parent / "supervisor.log")
    return stack


def _told(folder: Path, **settings: str) -> dict[str, str]:
    """What a stack is told: nothing of what this test run itself works with."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STRIPE_", "SMTP_", "TEST_", "SANDBOX_"))}
    for name in ("REDIS_URL", "DATABASE_URL", "APP_ENV", "CLOCK_OFFSET_FILE"):
        kept.pop(name, None)
    ports = {"PORT": str(free_port()), "SANDBOX_PORT": str(free_port())}
    return {**kept, **ports, "DATA_DIR": str(folder), "DEMO": "0", **settings}


def _await(stack: Stack, path: str, log: Path) -> None:
    end = time.monotonic() + START_WITHIN
    while time.monotonic() < end:
        assert stack.process.poll() is None, log.read_text()[-4000:]
        try:
            if requests.get(stack.url + path, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError("not ready: " + log.read_text()[-4000:])

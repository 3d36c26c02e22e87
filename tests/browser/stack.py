"""The whole portal as a newcomer starts it: the supervisor with its own data folder and ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 120


@dataclass
class Stack:
    """A running portal with its sandbox."""

    url: str
    sandbox_url: str
    env: dict[str, str]
    process: "subprocess.Popen[bytes]"
    #: What the command said that made the first admin, with the link to choose a password.
    invitation: str = ""

    def flask(self, *arguments: str, **given: str) -> str:
        """Run a command of the portal's against this stack's data; gives what it printed."""
        return self.run("-m", "flask", "--app", "wsgi", *arguments, **given)

    def run(self, *arguments: str, **given: str) -> str:
        """Run Python beside this stack's processes, in their environment; gives what it printed."""
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**self.child_env(), **given}, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def conduct(self, *arguments: str) -> None:
        """Move business time as the sandbox's button does."""
        self.flask("conduct", *arguments)

    def child_env(self) -> dict[str, str]:
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


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **settings: str) -> Stack:
    """Start the supervisor and wait until the portal is ready."""
    port, sandbox_port = free_port(), free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STRIPE_", "SMTP_", "TEST_", "SANDBOX_"))}
    for name in ("REDIS_URL", "DATABASE_URL", "APP_ENV", "CLOCK_OFFSET_FILE"):
        kept.pop(name, None)
    env = {
        **kept,
        "DATA_DIR": str(folder),
        "PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        "DEMO": "0",
        **settings,
    }
    with (folder.parent / "supervisor.log").open("wb") as log:
        command = [sys.executable, "-m", "portal.cli.supervise"]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    stack = Stack(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}", env, process)
    _await(stack, folder.parent / "supervisor.log")
    return stack


def _await(stack: Stack, log: Path) -> None:
    end = time.monotonic() + START_WITHIN
    while time.monotonic() < end:
        assert stack.process.poll() is None, log.read_text()
        try:
            if requests.get(stack.url + "/readyz", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError("not ready: " + log.read_text())

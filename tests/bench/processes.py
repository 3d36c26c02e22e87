"""Processes that the bench starts and ends again, each by its own id."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from portal.cli.setup_ports import LOOPBACK, wait_until

ROOT = Path(__file__).resolve().parents[2]
#: As many as ``make run`` gives the web process; the peer gets the same.
WORKERS, THREADS = 1, 4


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**told: str) -> dict[str, str]:
    """What a child sees: the paths it needs and what it is told, nothing of the person at the keyboard."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONUNBUFFERED": "1"} | told


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A child for the length of a block; its output goes to ``log``."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, env=dict(environment), cwd=cwd, stdout=output, stderr=output)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def once(command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
    """Run to the end. Raises RuntimeError with the end of the log when it fails."""
    with log.open("ab") as output:
        done = subprocess.run(
            command, env=dict(environment), cwd=cwd, stdout=output, stderr=output, check=False, timeout=600
        )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} … failed:\n{tail(log)}")


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def granian(python: str, target: str, port: int) -> list[str]:
    """The same server, the same numbers, for everybody."""
    return [
        *(python, "-m", "granian", "--interface", "wsgi", target, "--host", LOOPBACK, "--port", str(port), "--no-ws"),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS), "--log-level", "warning"),
    ]


@contextmanager
def web(
    target: str, port: int, environment: Mapping[str, str], log: Path, *, python: str = sys.executable, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A granian that answers. Raises RuntimeError with the end of its log when it does not."""
    with running(granian(python, target, port), environment, log, cwd) as server:
        if not wait_until(lambda: status(port, "/healthz") is not None or server.poll() is not None, 30):
            raise RuntimeError(f"{target} does not answer:\n{tail(log)}")
        if server.poll() is not None:
            raise RuntimeError(f"{target} does not start:\n{tail(log)}")
        yield server


def status(port: int, path: str) -> int | None:
    """The status of a GET, None when nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def seconds_until(port: int, path: str, since: float, patience: float = 30) -> float:
    """Wall seconds from ``since`` (time.perf_counter) to the first 200. Raises TimeoutError."""
    while time.perf_counter() - since < patience:
        if status(port, path) == 200:
            return time.perf_counter() - since
        time.sleep(0.005)
    raise TimeoutError(f"{path} was not ready within {patience} s")

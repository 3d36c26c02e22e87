"""Redis, the sandbox, web, worker and scheduler as real processes on throw-away data; killed and started by a test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from redis import Redis
from sqlalchemy import create_engine, text

from portal.cli.embedded_redis import EmbeddedRedis
from portal.cli.setup_ports import wait_until
from tests.services import _free_port
from tests.support.servers import KEY, WEBHOOK_SECRET

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("web", "worker", "scheduler")


class Crew:
    """All processes of one installation. ``without`` takes a safeguard away (see child.sabotage)."""

    def __init__(self, folder: Path, database: str, *, lease: float = 3, without: str = "", provider: str = "") -> None:
        self.folder, self.engine = folder, create_engine(database)
        self.port, self.sandbox_port = _free_port(), _free_port()
        self.web, self.stripe = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.sandbox_port}"
        self.redis = EmbeddedRedis(folder / "redis", durable=False)
        self.pids: dict[str, int] = {}
        self.kills = 0
        (folder / "armed").mkdir()
        (folder / "offset").write_text("0")
        self.log = (folder / "log").open("wb")
        self.environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")},
            "APP_ENV": "test", "SECRET_KEY": "only-for-tests-0123456789-abcdefghij", "DATA_DIR": str(folder),
            "DATABASE_URL": database, "REDIS_URL": self.redis.url, "BASE_URL": self.web, "LOG_LEVEL": "ERROR",
            "STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": self.stripe, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_MAX_RETRIES": "0", "CLOCK_OFFSET_FILE": str(folder / "offset"), "ARGON2_MEMORY_KIB": "8",
            "RATELIMIT_ENABLED": "0", "FAULTS_FOLDER": str(folder / "armed"), "FAULTS_LEASE": str(lease),
            "FAULTS_PORT": str(self.port), "FAULTS_WITHOUT": without,
            "FAULTS_PROVIDER": provider,
            "SANDBOX_SECRET_KEY": KEY, "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_WEBHOOK_URL": f"{self.web}/api/v1/webhooks/stripe", "SANDBOX_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }  # fmt: skip

    def __enter__(self) -> "Crew":
        assert self.redis.claim()
        self.start_redis()
        self.sandbox = self._popen([sys.executable, "-m", "portal.sandbox"])
        self.forge = self._popen([sys.executable, "-m", "tests.faults.child"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert wait_until(lambda: self._answers(f"{self.stripe}/_sandbox/status"), seconds=60), self.tail()
        self.start("prepare")
        assert wait_until(lambda: not self.lives("prepare"), seconds=90), self.tail()
        for role in ROLES:
            self.start(role)
        assert wait_until(lambda: self._answers(f"{self.web}/healthz"), seconds=60), self.tail()
        return self

    def __exit__(self, *_: object) -> None:
        for role in ROLES:
            if role in self.pids:
                with suppress(ProcessLookupError):
                    os.kill(self.pids[role], signal.SIGKILL)
        for process in (self.forge, self.sandbox, self.redis_process):
            process.kill()
            process.wait()
        for pipe in (self.forge.stdin, self.forge.stdout):
            pipe.close()
        self.engine.dispose()
        self.redis.release()
        self.log.close()

    def _popen(self, command: list[str], **more: Any) -> Any:
        more = {"stdout": self.log, **more}
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, stderr=self.log, **more)

    def start_redis(self) -> None:
        """Start (again) the queue's server; what it held is gone."""
        self.redis_process = self._popen(self.redis.command(), pass_fds=(self.redis.lock_descriptor,))
        assert wait_until(self.redis.ready, seconds=15), self.tail()

    def restart_redis(self) -> None:
        """kill -9 the queue's server and start it with nothing in it."""
        self.redis_process.kill()
        self.redis_process.wait()
        self.start_redis()

    def flush_redis(self) -> None:
        """Forget all that was queued."""
        with Redis.from_url(self.redis.url) as connection:
            connection.flushall()

    def start(self, role: str) -> None:
        """Fork a process of this role."""
        self.forge.stdin.write(f"{role}\n")
        self.forge.stdin.flush()
        self.pids[role] = int(self.forge.stdout.readline())

    def lives(self, role: str) -> bool:
        """Does the role's process live?"""
        try:
            os.kill(self.pids[role], 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self, role: str) -> None:
        """kill -9 and start anew."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[role], signal.SIGKILL)
        self.kills += 1
        wait_until(lambda: not self.lives(role), seconds=5)
        self.start(role)

    def arm(self, point: str) -> None:
        """Whoever comes by this point next dies of it (or falls asleep)."""
        (self.folder / "armed" / point).touch()

    def within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Ask until it holds or so many seconds of the crew's own are over; says whether it held.

        Time in which worker and scheduler waited for a processor that others had does not count: the limit says how
        long the portal may take, not how busy the machine may be. (Linux tells it; elsewhere all time counts.)
        """
        spent, looked, queued = 0.0, time.monotonic(), self._queued()
        while not (held := condition()) and spent < seconds:
            time.sleep(0.1)
            now, waited = time.monotonic(), self._queued()
            lost = sum(max(0.0, waited[pid] - queued.get(pid, 0.0)) for pid in waited)
            spent, looked, queued = spent + max(0.0, now - looked - lost), now, waited
        return held

    def _queued(self) -> dict[int, float]:
        """How many seconds worker and scheduler have waited for a processor, by process."""
        found = {}
        for role in ("worker", "scheduler"):
            with suppress(OSError, IndexError):
                found[self.pids[role]] = int(Path(f"/proc/{self.pids[role]}/schedstat").read_text().split()[1]) / 1e9
        return found

    def comes_up(self) -> bool:
        """Does the portal answer? Whoever died at a point is started anew."""
        self.tend()
        return self._answers(f"{self.web}/healthz")

    def tend(self) -> None:
        """Start anew whoever died at a point."""
        for role in ROLES:
            if not self.lives(role):
                self.kills += 1
                self.start(role)

    def fault(self, **settings: Any) -> None:
        """Order a bad day of Stripe's."""
        requests.post(f"{self.stripe}/_sandbox/faults", json=settings, timeout=20).raise_for_status()

    def resend(self, event: str) -> None:
        """Let Stripe deliver an event again."""
        requests.post(f"{self.stripe}/events/{event}", data={"do": "resend"}, timeout=20).raise_for_status()

    def ask(self, path: str, *, patience: float = 100) -> Any:
        """POST until it is acknowledged, as a person would who presses the button again; gives the answer."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            with suppress(requests.RequestException):
                answer = requests.post(f"{self.web}{path}", timeout=10)
                if answer.status_code == 200 or answer.status_code == 422:
                    return answer.json() if answer.status_code == 200 else None
            time.sleep(0.1)
        raise AssertionError(f"{path} was never acknowledged\n{self.tail()}")

    def rows(self, statement: str, **params: Any) -> list[Any]:
        """Look into the database, as committed now."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), params))

    def of_stripe(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Every object of a list of Stripe's."""
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {"limit": 100, **params}
        while True:
            page = requests.get(f"{self.stripe}/v1/{path}", params=more, auth=(KEY, ""), timeout=20).json()
            if "error" in page:  # a bad day that nobody met yet
                continue
            found += page["data"]
            if not page["has_more"]:
                return found
            more["starting_after"] = found[-1]["id"]

    def _answers(self, url: str) -> bool:
        with suppress(requests.RequestException):
            return requests.get(url, timeout=5).status_code == 200
        return False

    def tail(self) -> str:
        """The end of what the processes said."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

"""``python -m portal.cli.supervise``: everything a local portal consists of, from one terminal.

Embedded Redis, Stripe sandbox, web, worker and scheduler as children that are started again when they crash and are
stopped together. It speaks up when all answer, and otherwise only when something is wrong.
"""

import http.client
import os
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from portal.cli import beside, setup_keys
from portal.cli.embedded_crew import Console, Crew
from portal.cli.embedded_process import Child, is_serious
from portal.cli.embedded_redis import EmbeddedRedis, RedisMissing, private_folder
from portal.cli.setup_lock import AlreadyRunning, Leftovers, SupervisorLock
from portal.cli.setup_plan import Plan, data_folder, make_plan, root_folder
from portal.cli.setup_ports import PortTaken, answers, require_free, wait_until
from portal.cli.setup_stamp import PrepareStamp

#: Visitors first, then what makes new work, then what does it, then what all of them need.
STOP_ORDER = (("web", "scheduler"), ("worker",), ("sandbox",), ("redis",))
TICK = 0.25
#: Seconds until it is said aloud that the start takes long. It goes on waiting.
PATIENCE = 60.0


class StartFailed(Exception):
    """A step of the start did not work; the message says which and what its log ends with."""


class Stopped(Exception):
    """Somebody pressed Ctrl-C during the start."""


class Supervisor:
    """One run, from the claim of the data folder to the last child's end."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self.console = console
        self.run_folder = private_folder(plan.data / "run")
        self.logs = private_folder(plan.data / "log")
        self.leftovers = Leftovers(self.run_folder / "children.json")
        self.crew = Crew(console.say, self.leftovers.record)
        self.redis: EmbeddedRedis | None = None
        self.environment = dict(plan.environment)
        self._stop = threading.Event()

    def run(self) -> None:
        """Start, stay until asked to stop, stop. Raises StartFailed, PortTaken, RedisMissing."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked)
        try:
            self._start()
            while not self._stop.wait(TICK):
                self.crew.tick(time.monotonic())
        except Stopped:
            pass
        finally:
            self._end()

    def _start(self) -> None:
        beside.remember(self.plan.data, os.environ)
        if ended := self.leftovers.end():
            self.console.say(f"Ended {ended} processes that a killed supervisor had left over.")
        self._require_ports()
        self._clear_metrics()
        self._start_redis()
        self._start_sandbox()
        self._prepare()
        sign_ins = self._ask_sign_ins()
        for name, command in self._services():
            self._launch(self._child(name, command))
        self._await_ready()
        self._announce(sign_ins)

    def _require_ports(self) -> None:
        plan = self.plan
        require_free(plan.port, "the portal", "PORT", plan.port + 1000)
        if plan.own_sandbox:
            require_free(plan.sandbox_port, "the Stripe sandbox", "SANDBOX_PORT", plan.sandbox_port + 1000)

    def _clear_metrics(self) -> None:
        """Counters of ended processes would be summed up for ever."""
        folder = Path(self.environment["PROMETHEUS_MULTIPROC_DIR"])
        if folder.is_relative_to(self.plan.data):
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)

    def _start_redis(self) -> None:
        if not self.plan.own_redis:
            return
        self.redis = EmbeddedRedis(self.plan.data / "redis")
        self.environment["REDIS_URL"] = self.redis.url
        if not self.redis.claim():
            self.console.say(f"A Redis already serves {self.redis.folder}; using it.")
            return
        child = self._child("redis", self.redis.command())
        child.inherit = (self.redis.lock_descriptor,)
        self._launch(child)
        if not self._wait(self.redis.ready, 15):
            raise StartFailed(f"Redis does not answer. The end of {child.log_path}:\n{child.tail()}")

    def _start_sandbox(self) -> None:
        if not self.plan.own_sandbox:
            return
        child = self._child("sandbox", [sys.executable, "-m", "portal.sandbox"])
        self._launch(child)
        if not self._wait(lambda: answers(self.plan.sandbox_port) or not child.running, 30) or not child.running:
            raise StartFailed(f"The Stripe sandbox does not start. The end of {child.log_path}:\n{child.tail()}")

    def _prepare(self) -> None:
        """Migrations, catalog, push to Stripe, demo: one process, left out when nothing has changed since."""
        stamp = PrepareStamp(self.plan.root, self.plan.data)
        settings = " ".join(f"{name}={self.environment.get(name, '')}" for name in ("STRIPE_API_BASE", "DEMO"))
        ours = self.plan.own_database and self.plan.own_sandbox
        if ours and stamp.matches(settings):
            return
        demo = "Preparing the database, the catalog and the demo (the first time this takes about a minute) …"
        self.console.say(demo if self.plan.demo else "Preparing the database and the catalog …")
        stamp.clear()
        self._once("prepare", self.plan.flask("prepare"), "The database could not be prepared")
        if ours:
            stamp.write(settings)

    def _once(self, name: str, command: list[str], failure: str) -> None:
        child = self._child(name, command)
        child.log_path.unlink(missing_ok=True)
        child.start()
        try:
            self._wait(lambda: not child.running, 600)
        finally:
            child.stop()
        if child.process is None or child.process.returncode:
            raise StartFailed(f"{failure}. The end of {child.log_path}:\n{child.tail()}")

    def _ask_sign_ins(self) -> Child | None:
        """Ask the demo for its sign-ins while the services start."""
        if not self.plan.demo:
            return None
        child = self._child("sign-ins", self.plan.flask("demo", "sign-ins"))
        child.log_path.unlink(missing_ok=True)
        child.start()
        return child

    def _services(self) -> list[tuple[str, list[str]]]:
        plan = self.plan
        return [("web", plan.web()), ("worker", plan.flask("worker")), ("scheduler", plan.flask("scheduler"))]

    def _child(self, name: str, command: list[str]) -> Child:
        wanted = (lambda line: True) if self.plan.verbose else is_serious
        return Child(name, command, self.environment, self.plan.root, self.logs, self.console.child, wanted)

    def _launch(self, child: Child) -> None:
        self.crew.start(child, time.monotonic())

    def _await_ready(self) -> None:
        while not self._wait(lambda: ready(self.plan.local_url)[0], PATIENCE):
            self.console.say(f"Still not ready: {ready(self.plan.local_url)[1]}\nLogs: {self.logs}")

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for it and keep the crew alive meanwhile. Raises Stopped when asked to."""

        def over() -> bool:
            self.crew.tick(time.monotonic())
            return self._stop.is_set() or condition()

        held = wait_until(over, seconds, pause=0.1)
        if self._stop.is_set():
            raise Stopped
        return held

    def _announce(self, sign_ins: Child | None) -> None:
        say, plan = self.console.say, self.plan
        say(f"\n  Portal          {plan.url}")
        if plan.own_sandbox:
            say(f"  Stripe sandbox  {plan.sandbox_url}   (no real money; moves the clock)")
        if sign_ins is not None:
            self._wait(lambda: not sign_ins.running, 20)
            sign_ins.stop()
            say("\n" + "\n".join(f"  {line}" for line in sign_ins.tail(30).splitlines()))
        say(f"\n  Data and logs   {plan.data}   ·   Ctrl-C stops everything\n")

    def _asked(self, number: int, frame: object) -> None:
        if self._stop.is_set():
            self.crew.kill()
        self._stop.set()

    def _end(self) -> None:
        if self.crew.children:
            self.console.say("Stopping …")
        self.crew.stop(STOP_ORDER)
        self.leftovers.record([])
        if self.redis:
            self.redis.release()
        if self.crew.children:
            self.console.say("Stopped.")


def ready(base: str) -> tuple[bool, str]:
    """Does /readyz answer 200? And what it said, or why nothing answered."""
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=3) as answer:  # noqa: S310 - our own address
            return answer.status == http.HTTPStatus.OK, str(answer.status)
    except urllib.error.HTTPError as problem:
        return False, f"/readyz answers {problem.code}: {problem.read(500).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as problem:
        return False, f"the web process does not answer yet ({problem})"


def supervise(console: Console, root: Path) -> None:
    """Plan, claim the folder, run. Raises what the steps raise, and ValueError for a variable that does not fit."""
    os.umask(0o077)
    os.chdir(root)
    data = private_folder(data_folder(os.environ, root))
    plan = make_plan(os.environ, root, setup_keys.load_or_make(data / "keys.env"))
    lock = SupervisorLock(data)
    lock.take(plan.url)
    try:
        Supervisor(plan, console).run()
    finally:
        lock.release()


def main(root: Path) -> int:
    """The exit status: 0 after an orderly end, 1 when the start was refused or failed."""
    console = Console()
    try:
        supervise(console, root)
    except (AlreadyRunning, PortTaken, RedisMissing, StartFailed, PermissionError, ValueError) as problem:
        console.say(f"\n{problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(root_folder()))

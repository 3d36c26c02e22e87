"""``make test``: every test on one database, and in a browser, as far as this machine can.

``python -m tests.run [--soak] [--thorough] [--coverage] [--on sqlite|postgres|both] [pytest's own arguments]``

At a desk the repetitions of what takes long are left out; CI asks for them too (``--thorough`` or TEST_THOROUGH=1).
Which database is said by ``--on`` or TEST_ON; without either it is SQLite, which needs nothing. CI asks for both.

What pytest is told through the environment: TEST_DATABASE_URL (empty: SQLite files; else a PostgreSQL server on which
each worker makes its own database), TEST_REDIS_URL, CHROMIUM. PORTAL_REQUIRE=chromium,postgres,redis makes it an error
when one of these is missing, instead of a line at the end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from portal.cli.embedded_redis import RedisMissing
from tests import services

ROOT = Path(__file__).resolve().parents[1]
#: Tests must never see what the person at the keyboard works with. Nor are they told to keep no compiled modules:
#: rewriting the asserts of all of them is a third of a minute for every process of every run.
NEVER_INHERITED = (
    "APP_ENV", "BASE_URL", "CLOCK_OFFSET_FILE", "DATABASE_URL", "DATA_DIR", "DEMO", "ENCRYPTION_KEYS", "LOG_FORMAT",
    "PROMETHEUS_MULTIPROC_DIR", "PYTHONDONTWRITEBYTECODE", "REDIS_URL", "SECRET_KEY", "TEST_DATABASE_URL", "TEST_ON",
    "TEST_THOROUGH",
)  # fmt: skip
NEVER_INHERITED_PREFIXES = ("STRIPE_", "SMTP_", "SANDBOX_")
NO_TESTS_COLLECTED = 5
#: One more than there are processors: journeys wait for servers and browsers most of the time.
WORKERS = str((os.cpu_count() or 1) + 1)
DATABASES = ("sqlite", "postgres", "both")


@dataclass(frozen=True)
class Tally:
    """What one run of pytest counted."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


@dataclass(frozen=True)
class Pass:
    """One run of pytest: on which database, with which choice of tests."""

    name: str
    database: str
    marks: str


def read_tally(report: Path) -> Tally:
    """From a JUnit report; a missing one counts as a failure, since pytest then died."""
    if not report.exists():
        return Tally(failed=1)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    total = Tally()
    for suite in suites:
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        total += Tally(tests - skipped - failed, failed, skipped)
    return total


def plan(postgres: str | None, browser: str | None, *, on: str, soak: bool, thorough: bool) -> list[Pass]:
    """Journeys in the browser run on the first database alone, as do long repetitions and what touches no database."""
    quick = "not soak and not thorough"
    wanted = "soak" if soak else "not soak" if thorough else quick
    with_browser = wanted if browser else f"{wanted} and not browser"
    passes = [Pass("SQLite", "", with_browser)] if on != "postgres" else []
    if postgres and on != "sqlite":
        again = f"{'soak' if soak else quick} and not browser and not once"
        passes.append(Pass("PostgreSQL", postgres, again if passes else with_browser))
    return passes


def left_out(postgres: str | None, browser: str | None, *, on: str, thorough: bool) -> list[str]:
    """One line for each thing this run did not test, with the way to change that."""
    lines = []
    if not thorough:
        lines.append("repetitions that take long (TEST_THOROUGH=1 runs them too)")
    if on != "both":
        lines.append(f"the other database ({on} was asked for; TEST_ON=both tests on SQLite and PostgreSQL)")
    if on != "sqlite" and not postgres:
        lines.append("PostgreSQL: none reached or started (install postgresql, or set TEST_POSTGRES_URL)")
    if not browser:
        lines.append("browser journeys: no Chromium (install chromium, or set CHROMIUM)")
    return lines


def missing(required: str, found: Mapping[str, object]) -> list[str]:
    """Names in PORTAL_REQUIRE that were not found. Raises ValueError for a name that means nothing."""
    names = [name.strip() for name in required.split(",") if name.strip()]
    if unknown := set(names) - found.keys():
        raise ValueError(f"PORTAL_REQUIRE knows {', '.join(found)}, not {', '.join(sorted(unknown))}.")
    return [name for name in names if not found[name]]


def environment(redis_url: str, database: str, browser: str | None, *, thorough: bool = False) -> dict[str, str]:
    """What pytest and all it starts may see."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in NEVER_INHERITED and not name.startswith(NEVER_INHERITED_PREFIXES)
    }
    told = {"APP_ENV": "test", "TEST_DATABASE_URL": database, "TEST_REDIS_URL": redis_url, "REDIS_URL": redis_url}
    return kept | told | {"CHROMIUM": browser or "", "TEST_THOROUGH": "1" if thorough else ""}


def run_pass(each: Pass, env: Mapping[str, str], report: Path, extra: Sequence[str], *, coverage: bool) -> Tally:
    """Run pytest once, its output going straight to the terminal."""
    measured = ["-m", "coverage", "run"] if coverage else []
    command = [sys.executable, *measured, "-m", "pytest", "-n", "0" if coverage else WORKERS, "--dist", "loadscope"]
    print(f"\n=== {each.name} ===", flush=True)
    done = subprocess.run(
        [*command, "-q", "-m", each.marks, f"--junit-xml={report}", *extra], cwd=ROOT, env=dict(env), check=False
    )
    tally = read_tally(report)
    if done.returncode == NO_TESTS_COLLECTED and extra:  # whoever chose the tests may have chosen none for this pass
        return tally
    if done.returncode and not tally.failed:
        tally += Tally(failed=1)
        print(f"pytest ended with status {done.returncode}")
    return tally


def run(options: argparse.Namespace, extra: Sequence[str], folder: Path) -> int:
    """All passes, then the account of them; the last line adds up."""
    browser = services.chromium()
    required = os.environ.get("PORTAL_REQUIRE", "")
    needed = options.on != "sqlite" or "postgres" in required
    cluster = services.postgres(folder) if needed else nullcontext()
    with services.redis(folder) as redis_url, cluster as postgres_url:
        found = {"chromium": browser, "postgres": postgres_url, "redis": redis_url}
        if absent := missing(required, found):
            print(f"Required here, but missing: {', '.join(absent)}")
            return 1
        lines, total = [], Tally()
        for each in plan(postgres_url, browser, on=options.on, soak=options.soak, thorough=options.thorough):
            begun = time.monotonic()
            env = environment(redis_url, each.database, browser, thorough=options.thorough)
            tally = run_pass(each, env, folder / f"{each.name}.xml", extra, coverage=options.coverage)
            lines.append(f"{each.name}: {tally} in {time.monotonic() - begun:.0f} s")
            total += tally
    print("\n" + "\n".join(lines))
    for line in left_out(postgres_url, browser, on=options.on, thorough=options.thorough) or ["nothing"]:
        print(f"Left out: {line}")
    print(total, flush=True)
    return 1 if total.failed else 0


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--soak", action="store_true", help="the long versions only")
    parser.add_argument("--thorough", action="store_true", default=bool(os.environ.get("TEST_THOROUGH")))
    parser.add_argument("--coverage", action="store_true", help="list the lines never reached")
    parser.add_argument("--on", choices=DATABASES, default=os.environ.get("TEST_ON") or "sqlite")
    options, extra = parser.parse_known_args(arguments)
    if options.on not in DATABASES:
        parser.error(f"TEST_ON is {', '.join(DATABASES)}, not {options.on}.")
    with tempfile.TemporaryDirectory(prefix="portal-tests-") as folder:
        try:
            status = run(options, extra, Path(folder))
        except (RedisMissing, ValueError) as problem:
            print(problem)
            return 1
    if options.coverage:
        subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, check=False)
        subprocess.run([sys.executable, "-m", "coverage", "report"], cwd=ROOT, check=False)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

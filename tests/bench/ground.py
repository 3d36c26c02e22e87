"""What the sides stand on: one PostgreSQL, one Redis, one Stripe sandbox, databases of the bench's own."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from portal.cli.setup_ports import LOOPBACK, answers, wait_until
from tests import services
from tests.bench import events, meter
from tests.bench.processes import clean_environment, free_port, running, tail

#: Shaped like Stripe's own; both sides check the shape.
KEY = "sk_test_TheBenchSpeaksToItsOwnSandbox1"


@dataclass
class Ground:
    """Servers that run for the length of the bench. ``redis_pid`` is None where Redis was given from outside."""

    folder: Path
    postgres_url: str
    redis_url: str
    sandbox_url: str
    admin: psycopg.Connection
    redis_pid: int | None

    def create(self, name: str, template: str = "template1") -> str:
        """A database of the bench's own; gives its URL. ``template`` must have no connections."""
        self.drop(name)
        self.admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(self.full(name)), sql.Identifier(template))
        )
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove it with whoever is still connected."""
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.full(name))))

    def full(self, name: str) -> str:
        """The name on the server, which others may share."""
        return f"portal_bench_{os.getpid()}_{name}"

    def url(self, name: str) -> str:
        """Its address in the form of DATABASE_URL."""
        parts = conninfo_to_dict(self.postgres_url)
        secret = f":{parts['password']}" if parts.get("password") else ""
        place = f"{parts.get('host', LOOPBACK)}:{parts.get('port', 5432)}"
        return f"postgresql://{parts.get('user', 'postgres')}{secret}@{place}/{self.full(name)}"

    def connect(self, name: str) -> psycopg.Connection:
        """For the books: outside of what is measured."""
        target = make_conninfo(self.postgres_url, dbname=self.full(name), application_name=meter.OWN_NAME)
        return psycopg.connect(target, autocommit=True)

    def cpu(self, roots: list[int], database: str) -> meter.CpuMeter:
        """A meter over these process trees and that database's backends, but not the bench's own connections."""
        return meter.CpuMeter(roots, lambda: meter.backends(self.admin, self.full(database)))

    def show(self, setting: str) -> str:
        """How the server is set."""
        row = self.admin.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone()
        return str(row[0]) if row else ""


class NoPostgres(RuntimeError):
    """The bench measures the database that the portal is run on for real."""


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Start what is needed; everything is ended afterwards, databases dropped."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(services.redis(folder))
        postgres_url = stack.enter_context(services.postgres(folder, services.DURABLE))
        if postgres_url is None:
            raise NoPostgres("make bench needs PostgreSQL: install postgresql, or set TEST_POSTGRES_URL")
        admin = stack.enter_context(psycopg.connect(postgres_url, autocommit=True))
        sandbox_url = stack.enter_context(_sandbox(folder))
        ours = Ground(folder, postgres_url, redis_url, sandbox_url, admin, _redis_pid(redis_url))
        try:
            yield ours
        finally:
            left = admin.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"portal_bench_{os.getpid()}_%",)
            )
            for (name,) in left.fetchall():
                ours.drop(str(name).rsplit("_", 1)[1])


def _redis_pid(url: str) -> int | None:
    """The server's own process, when it runs beside us."""
    from redis import Redis

    if os.environ.get("TEST_REDIS_URL"):
        return None
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def _sandbox(folder: Path) -> Iterator[str]:
    """A Stripe of our own that sends nothing by itself: the bench delivers."""
    port = free_port()
    url, log = f"http://{LOOPBACK}:{port}", folder / "sandbox.log"
    told = {
        "SANDBOX_PORT": str(port),
        "SANDBOX_PUBLIC_URL": url,
        "SANDBOX_SECRET_KEY": KEY,
        "SANDBOX_WEBHOOK_URL": f"http://{LOOPBACK}:9/never-called",
        "SANDBOX_WEBHOOK_SECRET": events.SECRET,
        "SANDBOX_REDIRECT_WAIT": "0",
    }
    with running([sys.executable, "-m", "portal.sandbox"], clean_environment(**told), log):
        if not wait_until(lambda: answers(port), 30):
            raise RuntimeError(f"The sandbox does not answer:\n{tail(log)}")
        yield url

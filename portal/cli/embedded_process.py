"""One child process: started in a group of its own, its lines kept in a rotating log, stopped with all it started."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

LOG_BYTES, LOG_FILES = 5 * 1024 * 1024, 3
LONGEST_LINE = 64 * 1024
#: A level as structlog (console and JSON), granian, RQ and Redis write it..
_SERIOUS = re.compile(
    r"\[(?:warn(?:ing)?|error|critical|fatal)\s*\]"
    r"|\"level\":\s*\"(?:warning|error|critical)\""
    r"|^(?:warning|error|critical)\b",
    re.IGNORECASE,
)


def is_serious(line: str) -> bool:
    """Is this line a warning or worse, so that the person at the terminal should see it?"""
    return bool(_SERIOUS.search(line))


@dataclass
class Backoff:
    """Seconds to wait before the next start: doubled at each crash, from the beginning after a run that lasted."""

    first: float = 0.5
    longest: float = 30.0
    lasted: float = 30.0
    _crashes: int = 0

    def after(self, ran_for: float) -> float:
        """The gap after a process that ran for so many seconds."""
        self._crashes = 1 if ran_for >= self.lasted else self._crashes + 1
        return float(min(self.longest, self.first * 2 ** (self._crashes - 1)))


@dataclass
class Child:
    """A process to keep running. ``show`` gets every line that ``wanted`` lets through; the log gets them all."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    logs: Path
    show: Callable[[str, str], None]
    wanted: Callable[[str], bool] = is_serious
    inherit: Sequence[int] = ()
    #: Seconds between asking and insisting when it is stopped.
    patience: float = 4.0
    backoff: Backoff = field(default_factory=Backoff)
    process: subprocess.Popen[bytes] | None = None
    _pump: threading.Thread | None = None

    @property
    def log_path(self) -> Path:
        """Where all its lines go."""
        return self.logs / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Has it been started and not ended yet?"""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone, which stops all in order."""
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(self.inherit),
        )
        assert self.process.stdout is not None
        self._pump = threading.Thread(
            target=self._read, args=(self.process.stdout,), name=f"log-{self.name}", daemon=True
        )
        self._pump.start()

    def ask_to_stop(self) -> None:
        """SIGTERM to the process itself, which takes its own children down: jobs and requests in hand are finished."""
        if self.running and self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    def stop(self) -> bool:
        """Ask, wait, ask again (a worker then drops its job, which the outbox gives out anew), then kill the group.

        Says whether it ended by itself.
        """
        for _ in range(2):
            if self._ended_within(0):
                break
            self.ask_to_stop()
            self._ended_within(self.patience)
        by_itself = self._ended_within(0)
        self.kill_group()
        if self._pump:
            self._pump.join(timeout=1)
        return by_itself

    def kill_group(self) -> None:
        """Kill whatever is left of what it started; harmless when nothing is."""
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=2)

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - LONGEST_LINE))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def _ended_within(self, seconds: float) -> bool:
        try:
            if self.process:
                self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self, stream: IO[bytes]) -> None:
        handler = RotatingFileHandler(self.log_path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        with contextlib.closing(handler), stream:
            for raw in iter(lambda: stream.readline(LONGEST_LINE), b""):
                line = raw.decode(errors="replace").rstrip()
                handler.emit(logging.makeLogRecord({"msg": line}))
                if self.wanted(line):
                    self.show(self.name, line)

"""One supervisor per data folder, and nothing left over from one that was killed."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from portal.cli.setup_ports import wait_until


class AlreadyRunning(Exception):
    """Another supervisor holds this data folder; the message says where it is and how to stop it."""


class SupervisorLock:
    """Held from start to end. The file tells a second start who holds it; the lock dies with its holder."""

    def __init__(self, data: Path) -> None:
        self._descriptor = os.open(data / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, url: str) -> None:
        """Raises AlreadyRunning."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(self._holder()) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._descriptor)

    def _holder(self) -> str:
        try:
            holder: dict[str, Any] = json.loads(os.pread(self._descriptor, 4096, 0))
        except ValueError:
            return "The portal is already starting in this folder."
        return (
            f"The portal already runs from this folder: {holder['url']}\n"
            f"Stop it with Ctrl-C in its terminal, or: kill {holder['pid']}"
        )


class Leftovers:
    """The children of this folder by process id and birth, so that the next start can end what was left over."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def record(self, processes: Iterable[int]) -> None:
        """Remember these; called after every start."""
        known = {str(pid): birth(pid) for pid in processes}
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(known))
        fresh.replace(self.file)

    def alive(self) -> list[int]:
        """Which of them still live. A process id given to some other program since does not count."""
        known: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            known = json.loads(self.file.read_text())
        return [int(pid) for pid, born in known.items() if born and birth(int(pid)) == born]

    def end(self, patience: float = 4.0) -> int:
        """Stop them, with all they started; says how many there were."""
        found = self.alive()
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, how)
            if wait_until(lambda: not self.alive(), seconds=patience):
                break
        self.file.unlink(missing_ok=True)
        return len(found)


def birth(pid: int) -> str:
    """When a live process was started, as its system counts it; nothing for one that is gone or a zombie.

    With the process id it names a process for good. A command line would not do: it is empty for an instant after a
    start, and some programs rewrite theirs.
    """
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold blanks and brackets itself; after it come the state first, the birth 20th.
            fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip()

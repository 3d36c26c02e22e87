"""One supervisor per data folder, and nothing left over from one that was killed."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
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
    """The children of this folder by process id, so that the next start can end what a killed supervisor left."""

    def __init__(self, file: Path, command_of: Callable[[int], str] | None = None) -> None:
        self.file = file
        self._command_of = command_of or command_line

    def record(self, processes: Iterable[int]) -> None:
        """Remember these; called after every start."""
        known = {str(pid): self._command_of(pid) for pid in processes}
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(known))
        fresh.replace(self.file)

    def alive(self) -> list[int]:
        """Which of them still live. A process id given to some other program since does not count."""
        known: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            known = json.loads(self.file.read_text())
        return [int(pid) for pid, command in known.items() if command and self._command_of(int(pid)) == command]

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


def command_line(pid: int) -> str:
    """The command of a live process, or nothing. A zombie has none."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip()

"""Starting the portal's conductor, which moves the shared clock step by step and lets both sides keep up."""

import subprocess
import threading
from collections import deque


class Conductor:
    """Runs one command at a time in the background and keeps the last lines it said."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self._lines: deque[str] = deque(maxlen=20)
        self._running: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether the clock is being moved at this moment."""
        return self._running is not None and self._running.poll() is None

    @property
    def output(self) -> list[str]:
        """The last lines of the running or last run."""
        return list(self._lines)

    def start(self, *arguments: str) -> bool:
        """Start the command with these arguments; False while one is running."""
        with self._lock:
            if self.running:
                return False
            self._lines.clear()
            self._lines.append(f"conduct {' '.join(arguments)}")
            try:
                self._running = subprocess.Popen(  # noqa: S603 - the command is the operator's own, from the environment
                    [*self.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            except OSError as error:
                self._lines.append(f"The conductor could not be started: {error.strerror}")
                return True
            threading.Thread(target=self._listen, args=(self._running,), daemon=True).start()
            return True

    def _listen(self, process: subprocess.Popen[str]) -> None:
        with process:
            for line in process.stdout or ():
                self._lines.append(line.rstrip()[:300])
        code = process.returncode
        self._lines.append("Done." if code == 0 else f"The conductor stopped with code {code}.")

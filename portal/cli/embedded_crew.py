"""The children as one crew: lines on one terminal, restarts with growing gaps, an orderly end."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from portal.cli.embedded_process import Child

_COLOURS = {"web": 36, "worker": 35, "scheduler": 34, "sandbox": 33, "redis": 31}
#: A child that floods the terminal is cut short: so many lines in so many seconds; its log has them all.
BURST, WINDOW = 5, 10.0


class Console:
    """Prints for people: own lines plain, lines of children after their name, coloured where the terminal can."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.out = out or sys.stdout
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: dict[str, tuple[float, int]] = {}
        self.coloured = self.out.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """A line of the supervisor's own."""
        with self._lock:
            print(text, file=self.out, flush=True)

    def child(self, name: str, line: str) -> None:
        """A line of a child's."""
        now = self._clock()
        since, count = self._recent.get(name, (now, 0))
        if now - since > WINDOW:
            since, count = now, 0
        self._recent[name] = since, count + 1
        if count < BURST:
            self.say(f"{self._label(name)} {line}")
        elif count == BURST:
            self.say(f"{self._label(name)} … and more; all of it is in its log")

    def _label(self, name: str) -> str:
        label = f"{name:>9} |"
        return f"\033[{_COLOURS.get(name, 37)}m{label}\033[0m" if self.coloured else label


@dataclass
class Crew:
    """Keeps its children running. It has no loop of its own: ``tick`` is called with the present second."""

    say: Callable[[str], None]
    started: Callable[[Sequence[int]], None] = lambda pids: None
    children: list[Child] = field(default_factory=list)
    _since: dict[str, float] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)

    def start(self, child: Child, now: float) -> None:
        """Take it on."""
        self.children.append(child)
        self._launch(child, now)

    def tick(self, now: float) -> None:
        """Notice who has ended, and start again those whose gap is over."""
        for child in self.children:
            if child.running:
                continue
            if child.name not in self._due:
                self._mourn(child, now)
            elif now >= self._due[child.name]:
                child.kill_group()
                self._launch(child, now)

    def stop(self, order: Sequence[Sequence[str]]) -> None:
        """Stop all, one group after the other; those of a group together; whoever is not named goes last."""
        named = {name for group in order for name in group}
        for group in (*order, [child.name for child in self.children if child.name not in named]):
            members = [child for child in self.children if child.name in group]
            for child in members:
                child.ask_to_stop()
            for child in members:
                if not child.stop():
                    self.say(f"{child.name} did not stop when asked and was killed.")

    def kill(self) -> None:
        """End all at once, for somebody who will not wait."""
        for child in self.children:
            child.kill_group()

    def _launch(self, child: Child, now: float) -> None:
        self._due.pop(child.name, None)
        self._since[child.name] = now
        child.start()
        self.started([each.process.pid for each in self.children if each.process and each.running])

    def _mourn(self, child: Child, now: float) -> None:
        gap = child.backoff.after(now - self._since[child.name])
        self._due[child.name] = now + gap
        code = child.process.returncode if child.process else None
        self.say(f"{child.name} ended ({_how(code)}); starting it again in {gap:g} s. Its log: {child.log_path}")


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit {code}"

"""The registry of what a job may do. Rooms' ``jobs.py`` register, ``app.py`` imports them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Handler = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Task:
    """``verb``: runs inside one unit of work that also marks the job done. ``flow``: opens its own transactions,
    can be repeated without harm, and is marked done afterwards."""

    name: str
    handler: Handler
    kind: Literal["verb", "flow"]
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Periodic:
    """A task due once per period. ``business`` follows the movable clock; ``latest`` skips missed periods."""

    task: str
    every: timedelta
    clock: Literal["business", "wall"]
    missed: Literal["every", "latest"]


_tasks: dict[str, Task] = {}
_periodic: dict[str, Periodic] = {}
_listeners: dict[str, tuple[str, ...]] = {}


def task(name: str, *, kind: Literal["verb", "flow"] = "verb", max_attempts: int = 12) -> Callable[[Handler], Handler]:
    """Register a handler under a stable name (the name is stored in rows: never rename it without a migration)."""

    def register(handler: Handler) -> Handler:
        known = _tasks.get(name)
        if known and known.handler is not handler:
            raise ValueError(f"two handlers for task {name}")
        _tasks[name] = Task(name, handler, kind, max_attempts)
        return handler

    return register


def periodic(
    name: str,
    *,
    every: timedelta,
    clock: Literal["business", "wall"] = "business",
    missed: Literal["every", "latest"] = "latest",
) -> Callable[[Handler], Handler]:
    """Make an already registered task periodic: one job per period, whoever inserts it."""

    def register(handler: Handler) -> Handler:
        _periodic[name] = Periodic(name, every, clock, missed)
        return handler

    return register


def find(name: str) -> Task:
    """The task of that name; KeyError when nothing registered it."""
    return _tasks[name]


def all_tasks() -> dict[str, Task]:
    """Every registered task by name."""
    return dict(_tasks)


def all_periodic() -> list[Periodic]:
    """Every periodic task."""
    return list(_periodic.values())


def listen(event: str, *task_names: str) -> None:
    """Say which tasks a named event wakes. ``app.py`` alone calls this; an event may have no listener."""
    _listeners[event] = task_names


def listeners(event: str) -> tuple[str, ...]:
    """The tasks that an event wakes; KeyError for an event that ``app.py`` does not know."""
    return _listeners[event]


def all_events() -> dict[str, tuple[str, ...]]:
    """Every declared event with its listeners."""
    return dict(_listeners)

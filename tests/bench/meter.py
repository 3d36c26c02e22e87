"""CPU and memory of processes, from /proc: what a wall clock on a shared machine cannot tell."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
#: By this name the bench's own connections are known, and left out.
OWN_NAME = "portal-bench"


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process with all its threads; None when it is gone. Steps of a hundredth."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    found = [root]
    for pid in found:
        for children in (PROC / str(pid) / "task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def memory(pid: int) -> tuple[float, float]:
    """Proportional and resident size of a process, in megabytes (10^6 bytes)."""
    sizes = dict.fromkeys(("Pss", "Rss"), 0.0)
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024 / 1e6
    return sizes["Pss"], sizes["Rss"]


class BackendsOutOfSight(RuntimeError):
    """The database server runs where its processes cannot be read, so its share of the CPU would be left out."""


def backends(admin: psycopg.Connection, database: str) -> list[int]:
    """The server's processes that serve this database. Raises BackendsOutOfSight for a server elsewhere."""
    rows = admin.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' "
        "AND application_name <> %s",
        (database, OWN_NAME),
    ).fetchall()
    pids = [int(row[0]) for row in rows]
    for pid in pids:
        name = PROC / str(pid) / "comm"
        if not name.exists() or not name.read_text().startswith("postgres"):
            raise BackendsOutOfSight("PostgreSQL must run on this machine: its CPU is read from /proc")
    return pids


class CpuMeter:
    """CPU spent since the last ``start`` by whole process trees and by the backends of a database."""

    def __init__(self, roots: Iterable[int], serving: Callable[[], list[int]]) -> None:
        self._roots, self._serving = list(roots), serving
        self._begun: dict[int, float] = {}

    def start(self) -> None:
        """Remember where every process stands."""
        self._begun = self._now()

    def spent(self) -> float:
        """Seconds since then; a process that came meanwhile counts whole."""
        return sum(value - self._begun.get(pid, 0.0) for pid, value in self._now().items())

    def _now(self) -> dict[int, float]:
        pids = {pid for root in self._roots for pid in tree(root)} | set(self._serving())
        return {pid: seconds for pid in pids if (seconds := cpu_seconds(pid)) is not None}

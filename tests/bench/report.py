"""The measurement as text: tables for people, and docs/performance.md."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.bench.figures import Figure, Goal, Line
from tests.bench.ground import Ground
from tests.bench.processes import ROOT, THREADS, WORKERS

TARGET = ROOT / "docs" / "performance.md"


def number(value: float, digits: int) -> str:
    """With thousands set apart."""
    return f"{value:,.{digits}f}"


def _row(line: Line) -> str:
    values = line.values
    cells = (number(value, line.digits) for value in (values.median, values.low, values.high))
    return f"| {line.what} | {' | '.join(cells)} | {line.unit} |"


def _goal(goal: Goal) -> str:
    verdict = "met" if goal.met else "**missed**"
    reached, limit = number(goal.reached, goal.digits), number(goal.limit, goal.digits)
    return f"- {goal.text}: {reached}, goal {goal.sense} {limit}: {verdict}."


def figure(measured: Figure) -> str:
    """One figure: what was done, the table, the goals, what must be known to read it."""
    table = ["| | median | min | max | |", "|---|---:|---:|---:|---|", *(_row(line) for line in measured.lines)]
    notes = [f"- {note}" for note in measured.notes]
    parts = [f"## {measured.code}: {measured.title}", measured.how, "\n".join(table)]
    parts.append("\n".join([*(_goal(goal) for goal in measured.goals), *notes]))
    return "\n\n".join(parts)


def summary(figures: Iterable[Figure]) -> str:
    """The goals of all figures in one table."""
    rows = ["| figure | goal | reached | |", "|---|---|---:|---|"]
    for measured in figures:
        for goal in measured.goals:
            limit = f"{goal.text}: {goal.sense} {number(goal.limit, goal.digits)}"
            verdict = "met" if goal.met else "**missed**"
            rows.append(f"| {measured.code} | {limit} | {number(goal.reached, goal.digits)} | {verdict} |")
    return "\n".join(rows)


def machine(ground: Ground, peer: Mapping[str, str], load: float) -> str:
    """What the figures were taken on, without names or places."""
    ours = {name: importlib.metadata.version(name) for name in ("Flask", "SQLAlchemy", "granian", "psycopg", "stripe")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    facts = [
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        f"PostgreSQL {ground.show('server_version').split()[0]} on the same machine, fsync {ground.show('fsync')}, "
        f"synchronous_commit {ground.show('synchronous_commit')}, full_page_writes {ground.show('full_page_writes')}; "
        "the same server for every side",
        f"granian with {WORKERS} worker and {THREADS} threads for every side that is a server",
        "ours: " + ", ".join(f"{name} {version}" for name, version in ours.items()),
        *(["the peer: " + ", ".join(f"{name} {version}" for name, version in peer.items())] if peer else []),
        f"load when it began: {load:.1f}, when it ended: {os.getloadavg()[0]:.1f} ({_noise(load)})",
    ]
    return "\n".join(f"- {fact}." for fact in facts)


def _noise(load: float) -> str:
    """``load`` is that of others: nothing of the bench ran yet."""
    if load < 0.5:
        return "the machine was otherwise idle"
    return (
        "other work shared the machine: absolute times and rates are worse than on an idle one, also CPU times, since "
        "cores and caches were shared; only ratios compare"
    )


def write(
    figures: Sequence[Figure], ground: Ground, peer: Mapping[str, str], load: float, target: Path = TARGET
) -> None:
    """docs/performance.md anew."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    parts = [HEAD, f"Taken on {day} by `make bench`, on:\n\n{machine(ground, peer, load)}", summary(figures)]
    target.write_text("\n\n".join([*parts, *(figure(measured) for measured in figures)]) + "\n")


HEAD = """\
# Performance, measured

Written by `make bench` (`python -m tests.bench`), which starts the portal, the floors and the peer beside each other, \
lets them take turns, throws the first round away and takes the others; a round with an answer that is not 2xx, or \
whose rows do not add up, is void and taken again. Ratios are formed round by round, so that a busy machine slows \
both sides of each. CPU (workers and database backends, from `/proc`) is what to compare; rates swing with the \
machine."""

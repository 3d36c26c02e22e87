"""P13: how soon the web process is ready, and what a worker of it weighs."""

import sys
import time

from tests.bench import load, meter, portal_side
from tests.bench.figures import Figure, Goal, Line, spread
from tests.bench.ground import Ground
from tests.bench.processes import free_port, granian, running, seconds_until
from tests.bench.rounds import Sizes, Tell, VoidRound

#: What a worker has done before it is weighed.
REQUESTS = 1000
PATHS = ("/healthz", "/pricing", "/sign-in", "/")


def measure(ground: Ground, sizes: Sizes, tell: Tell) -> Figure:
    """P13, on a database of its own."""
    ground.create("start", ground.full("seed"))
    seconds, cpu, pss, rss = [], [], [], []
    for number in range(sizes.starts + 1):
        ready, spent, weighed = _start(ground)
        size = f"{weighed[0]:.1f} MB proportional, {weighed[1]:.1f} MB resident"
        tell(f"  start {number}: {ready:.2f} s, {spent:.2f} s CPU, {size}")
        if number:
            seconds.append(ready)
            cpu.append(spent)
            pss.append(weighed[0])
            rss.append(weighed[1])
    lines = [
        Line("start of granian to the first 200 of /healthz", "s", spread(seconds), 2),
        Line("CPU of that start, all its processes", "s", spread(cpu), 2),
        Line("a worker after 1,000 requests, proportional (PSS)", "MB", spread(pss), 1),
        Line("a worker after 1,000 requests, resident (RSS)", "MB", spread(rss), 1),
    ]
    goals = [
        Goal("seconds until ready", spread(seconds).median, "at most", 1.5, 2),
        Goal("MB a worker (PSS)", spread(pss).median, "at most", 60, 1),
    ]
    return Figure("P13", "Start and memory", HOW, lines, goals)


def _start(ground: Ground) -> tuple[float, float, tuple[float, float]]:
    port = free_port()
    told = portal_side.environment(ground, "start", port, data=ground.folder / f"start-{port}")
    begun = time.perf_counter()
    with running(granian(sys.executable, "wsgi:app", port), told, ground.folder / "start.log") as server:
        ready = seconds_until(port, "/healthz", begun)
        spent = sum(meter.cpu_seconds(pid) or 0 for pid in meter.tree(server.pid))
        requests = [load.request("GET", PATHS[n % len(PATHS)], port, {}) for n in range(REQUESTS)]
        outcome = load.drive(port, requests, connections=4)
        if not outcome.clean:
            raise VoidRound(f"pages answered {dict(outcome.statuses)}")
        return ready, spent, max(meter.memory(pid) for pid in meter.tree(server.pid)[1:])


HOW = f"""\
Granian is started as `make run` starts it, on a migrated database, byte code compiled; the clock runs from its start \
to the first 200. Then {REQUESTS:,} requests in turn to {", ".join(f"`{path}`" for path in PATHS)}; the heaviest of \
its child processes is weighed (`smaps_rollup`; MB of 10^6 bytes)."""

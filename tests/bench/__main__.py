"""``make bench``: ``python -m tests.bench [--quick] [--only P1,P13]``. A whole run writes docs/performance.md."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import (
    p1_webhook,
    p1b_applied,
    p3_p4_usage,
    p7_check,
    p8_pages,
    p9_queries,
    p13_start,
    peer,
    portal_side,
    report,
    rounds,
    usage_side,
    vendors,
)
from tests.bench.figures import Figure
from tests.bench.ground import Ground, NoPostgres, ground
from tests.bench.processes import ROOT
from tests.bench.rounds import Sizes

CODES = ("P1", "P1b", "P3", "P4", "P7", "P8", "P9", "P13")


def main(arguments: Sequence[str]) -> int:
    """0 when everything was measured, whether goals are met or not; 1 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it works, not figures")
    parser.add_argument("--only", default="", help="some figures, with commas: " + ",".join(CODES))
    options = parser.parse_args(arguments)
    wanted = [code.strip() for code in options.only.split(",") if code.strip()] or list(CODES)
    if unknown := set(wanted) - set(CODES):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(CODES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        try:
            with ground(Path(folder)) as servers:
                return run(
                    servers,
                    wanted,
                    rounds.QUICK if options.quick else rounds.FULL,
                    write=not (options.quick or options.only),
                )
        except NoPostgres as problem:
            print(problem)
            return 1


def run(servers: Ground, wanted: list[str], sizes: Sizes, *, write: bool) -> int:
    """Measure one figure after the other and report."""
    say("Preparing …")
    load = os.getloadavg()[0]
    servers.create("seed")
    app = portal_side.build(servers, "seed")
    cast = vendors.settle_in(app, servers)
    key = usage_side.make_key(app) if {"P3", "P4", "P7"} & set(wanted) else ""
    python = ""
    if {"P1", "P1b"} & set(wanted):
        python = peer.interpreter(ROOT / "var")
        servers.create("peer")
        peer.settle_in(servers, python, "peer", cast.events)
    measures: dict[str, Callable[[], Figure]] = {
        "P1": lambda: p1_webhook.measure(servers, app, cast, python, sizes, say),
        "P1b": lambda: p1b_applied.measure(servers, cast, python, sizes, say),
        "P3": lambda: p3_p4_usage.measure_one(servers, app, cast, key, sizes, say),
        "P4": lambda: p3_p4_usage.measure_batch(servers, app, cast, key, sizes, say),
        "P7": lambda: p7_check.measure(servers, app, cast, key, sizes, say),
        "P8": lambda: p8_pages.measure(servers, cast, sizes, say),
        "P9": lambda: p9_queries.measure(app, cast, say),
        "P13": lambda: p13_start.measure(servers, sizes, say),
    }
    figures = []
    for code in wanted:
        say(f"{code} …")
        figures.append(measures[code]())
        say(report.figure(figures[-1]))
    if write:
        report.write(figures, servers, peer.versions(python) if python else {}, load)
    return 0


def say(text: str) -> None:
    """Progress, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

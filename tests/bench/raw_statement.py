"""The floor: the product's own statements straight through psycopg, from one process with the web's number of threads.

``python -m tests.bench.raw_statement URL FILE``; reads ``count prefix`` from standard input, prepares all parameters,
answers ``ready``, waits for a line, works, answers with the seconds it took.
"""

import json
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.processes import THREADS

#: As on the product's lines: nobody plans a statement anew for each execution.
PLANNED_ONCE = "-c plan_cache_mode=force_generic_plan"
Statement = tuple[str, dict[str, Any]]


def renumbered(statements: list[Statement], sample: str, number: str) -> list[Statement]:
    """The same statements about another event: its id stands in keys, arguments and payload."""
    return [(text, {k: _renumbered(v, sample, number) for k, v in values.items()}) for text, values in statements]


def _renumbered(value: Any, sample: str, number: str) -> Any:
    if isinstance(value, list):
        return [_renumbered(each, sample, number) for each in value]
    return value.replace(sample, number) if isinstance(value, str) else value


def work(connection: psycopg.Connection, transactions: list[list[Statement]]) -> None:
    """One transaction for each event, as the product does it; a single statement is one by itself."""
    for statements in transactions:
        with connection.transaction() if len(statements) > 1 else nullcontext():
            for text, values in statements:
                connection.execute(text, values)


def perform(connections: list[psycopg.Connection], transactions: list[list[Statement]]) -> float:
    """All transactions over all connections; seconds of the wall clock."""
    count = len(connections)
    threads = [
        threading.Thread(target=work, args=(connection, transactions[n::count]))
        for n, connection in enumerate(connections)
    ]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def main(url: str, file: str) -> None:
    """Until standard input ends."""
    captured = json.loads(Path(file).read_text())
    connections = [psycopg.connect(url, autocommit=True, options=PLANNED_ONCE) for _ in range(THREADS)]
    kinds = captured.get("each", [captured["statements"]])
    for line in sys.stdin:
        count, prefix = line.split()
        transactions = [
            renumbered(kinds[n % len(kinds)], captured["sample"], f"evt_bench_{prefix}_{n}") for n in range(int(count))
        ]
        print("ready", flush=True)
        sys.stdin.readline()
        print(perform(connections, transactions), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

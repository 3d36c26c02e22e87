"""P3: one usage event by program. P4: a thousand in one call. Each against the raw statements that it causes."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from flask import Flask

from tests.bench import load, raw_side, rounds, usage_side
from tests.bench.figures import Figure, Goal, Line, Reading, Spread, ratios, spread
from tests.bench.ground import Ground
from tests.bench.p1_webhook import Books
from tests.bench.rounds import Side, Sizes, Tell, VoidRound
from tests.bench.vendors import Cast

CONNECTIONS = 8
BATCH = 1000
#: What is in the books after a round: an event's row, and its share of a counter and of a day.
BOOKS = (
    "SELECT count(*) FROM usage_events WHERE metric = 'conversations'",
    "SELECT coalesce(sum(used), 0) FROM usage_counters WHERE metric = 'conversations'",
    "SELECT coalesce(sum(quantity), 0) FROM usage_daily WHERE metric = 'conversations'",
)


@dataclass(frozen=True)
class Api:
    """The portal: sends ``calls`` requests with ``each`` events, over all vendors in turn."""

    port: int
    roots: list[int]
    ground: Ground
    database: str
    key: str
    cast: Cast
    calls: int
    each: int

    def __call__(self, number: int) -> Reading:
        """Report. Raises VoidRound for an answer that is not 2xx, or when the books do not add up."""
        books = Books(self.ground, self.database, BOOKS)
        before = books.read()
        ready = [self._request(f"api{self.each}_{number}_{n}", n) for n in range(self.calls)]
        meter = self.ground.cpu(self.roots, self.database)
        meter.start()
        outcome = load.drive(self.port, ready, CONNECTIONS)
        spent = meter.spent()
        if not outcome.clean:
            raise VoidRound(f"the portal answered {dict(outcome.statuses)}: {outcome.last_body[:200]!r}")
        check(books, before, self.calls * self.each)
        return Reading(self.calls * self.each, spent, outcome.seconds)

    def _request(self, name: str, n: int) -> bytes:
        events: list[dict[str, Any]] = [
            {"key": f"{name}-{place:04}", "metric": usage_side.METRIC} for place in range(self.each)
        ]
        body = events[0] if self.each == 1 else {"events": events}
        who = self.cast.vendors[n % len(self.cast.vendors)]
        return usage_side.post(self.port, usage_side.EVENTS, self.key, who.code, body)


@dataclass(frozen=True)
class Floor:
    """The same statements, straight through the driver, for the same vendors in turn."""

    process: raw_side.RawProcess
    ground: Ground
    database: str
    calls: int
    each: int

    def __call__(self, number: int) -> Reading:
        """Store. Raises VoidRound when the books do not add up."""
        books = Books(self.ground, self.database, BOOKS)
        before = books.read()
        self.process.prepare(self.calls, f"raw_{self.each}_{number}")
        meter = self.ground.cpu([self.process.pid], self.database)
        meter.start()
        seconds = self.process.perform()
        spent = meter.spent()
        check(books, before, self.calls * self.each)
        return Reading(self.calls * self.each, spent, seconds)


def check(books: Books, before: list[int], wanted: int) -> None:
    """VoidRound unless events, counters and days all grew by what was sent."""
    more = [now - then for now, then in zip(books.read(), before, strict=True)]
    if any(count != wanted for count in more):
        raise VoidRound(f"{wanted} events made {more} in events, counters and days")


def measure_one(ground: Ground, app: Flask, cast: Cast, key: str, sizes: Sizes, tell: Tell) -> Figure:
    """P3, in databases of its own; single and batch are in P4 side by side."""
    taken = _take(ground, app, cast, key, sizes, tell, {"one": 1})
    rate = ratios(*(rounds.rate(taken[name]) for name in ("one", "raw one")))
    goals = [Goal("of the raw statements' rate (%)", rate.median * 100, "at least", 35, 0)]
    share = ratios(*(rounds.cpu(taken[name]) for name in ("raw one", "one")))
    lines = [
        *_lines(taken),
        Line("CPU of the raw statements ÷ ours", "%", _percent(share)),
        Line("rate of ours ÷ the raw statements'", "%", _percent(rate)),
    ]
    return Figure("P3", "One usage event by program", HOW, lines, goals, NOTES)


def measure_batch(ground: Ground, app: Flask, cast: Cast, key: str, sizes: Sizes, tell: Tell) -> Figure:
    """P4, in databases of its own."""
    taken = _take(ground, app, cast, key, sizes, tell, {"one": 1, "thousand": BATCH})
    rate: Callable[[str], list[float]] = lambda name: rounds.rate(taken[name])  # noqa: E731
    share, times = ratios(rate("thousand"), rate("raw thousand")), ratios(rate("thousand"), rate("one"))
    goals = [
        Goal("of the raw statements' rate on the same rows (%)", share.median * 100, "at least", 70, 0),
        Goal("the rate of single events", times.median, "at least", 30, 0),
    ]
    lines = [
        *_lines(taken),
        Line("rate of a thousand at once ÷ the raw statements'", "%", _percent(share)),
        Line("rate of a thousand at once ÷ one by one", "×", times, 1),
    ]
    return Figure("P4", "A thousand usage events in one call", HOW, lines, goals, NOTES)


def _take(
    ground: Ground, app: Flask, cast: Cast, key: str, sizes: Sizes, tell: Tell, kinds: dict[str, int]
) -> dict[str, list[Reading]]:
    captured = {name: usage_side.capture(app, cast, key, each) for name, each in kinds.items()}
    ground.create("usage", ground.full("seed"))
    with ExitStack() as stack:
        port, server = stack.enter_context(usage_side.serving(ground, "usage"))
        redis = [ground.redis_pid] if ground.redis_pid else []
        sides: dict[str, Side] = {}
        for name, each in kinds.items():
            calls = sizes.webhooks if each == 1 else max(5, sizes.webhooks // 50)
            sides[name] = Api(port, [server.pid, *redis], ground, "usage", key, cast, calls, each)
            floor = f"raw{each}"
            ground.create(floor, ground.full("seed"))
            process = stack.enter_context(raw_side.running(ground, floor, captured[name]))
            sides[f"raw {name}"] = Floor(process, ground, floor, calls, each)
        return rounds.take(sides, sizes.rounds, tell)


def _lines(taken: dict[str, list[Reading]]) -> list[Line]:
    lines = [Line(f"{name}: CPU an event", "µs", spread(rounds.cpu(readings))) for name, readings in taken.items()]
    return lines + [Line(f"{name}: events", "1/s", spread(rounds.rate(readings))) for name, readings in taken.items()]


def _percent(values: Spread) -> Spread:
    return Spread(values.low * 100, values.median * 100, values.high * 100)


HOW = """\
Events of one metric for ten vendors in turn, reported by a platform's key over 8 kept connections; CPU is that of the \
web process, of Redis, which counts requests, and of the database's backends. The raw floor is one process with as \
many threads and connections, which repeats the statements that the portal was seen to execute for each vendor: no \
HTTP, no key, no JSON. Books: events, counters and days grew by exactly what was sent, on both sides."""
NOTES = (
    "Each commit waits for the disc, on both sides, as where money is kept: rates tell of the disc too, CPU does not.",
    "A single event's statement looks for itself who calls; so does the floor's. A thousand take a statement more for "
    "that, and both count requests in Redis, by lots.",
    "The product names prepared statements to libpq, with plans that are made once for a connection; the floor uses "
    "the driver's cursors, which prepare as well, on connections that plan once too.",
)

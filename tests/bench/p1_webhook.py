"""P1: Stripe's webhook, from the first byte to the answer. P1b: from the first byte until the event is applied."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from flask import Flask

from portal.cli.setup_ports import wait_until
from tests.bench import events, load, peer, portal_side, raw_side, rounds
from tests.bench.figures import Figure, Goal, Line, Reading, Spread, ratios, spread
from tests.bench.ground import Ground
from tests.bench.rounds import Side, Sizes, Tell, VoidRound
from tests.bench.vendors import Cast

CONNECTIONS = 8


@dataclass(frozen=True)
class Books:
    """How many rows there must be more of after a round: a query for each table."""

    ground: Ground
    database: str
    queries: tuple[str, ...]

    def read(self) -> list[int]:
        """The counts now, on a connection that is gone before anything is measured."""
        with self.ground.connect(self.database) as connection:
            rows = [connection.execute(query.encode()).fetchone() for query in self.queries]
        return [int(row[0]) if row else 0 for row in rows]


@dataclass(frozen=True)
class Webhook:
    """A server that takes Stripe's events: delivers signed events to it and reads what that cost.

    ``applied`` says whether all that follows from them has happened as well; without it the answers are the end.
    """

    name: str
    port: int
    path: str
    roots: list[int]
    ground: Ground
    database: str
    books: Books
    cast: Cast
    count: int
    applied: Callable[[], bool] = lambda: True

    def __call__(self, number: int) -> Reading:
        """Deliver. Raises VoidRound for an answer that is not 2xx, or when the rows are not as many as the events."""
        before = self.books.read()
        ready = [
            load.request("POST", self.path, self.port, headers, body)
            for body, headers in events.batch(self.cast.events, f"{self.name}_{number}", self.count)
        ]
        meter = self.ground.cpu(self.roots, self.database)
        meter.start()
        begun = time.perf_counter()
        outcome = load.drive(self.port, ready, CONNECTIONS)
        settled = wait_until(self.applied, 120, pause=0.02)
        seconds, spent = time.perf_counter() - begun, meter.spent()
        if not outcome.clean:
            raise VoidRound(f"{self.name} answered {dict(outcome.statuses)}: {outcome.last_body[:200]!r}")
        if not settled:
            raise VoidRound(f"{self.name} did not apply all events within two minutes")
        self._check(before)
        return Reading(self.count, spent, seconds)

    def _check(self, before: list[int]) -> None:
        more = [now - then for now, then in zip(self.books.read(), before, strict=True)]
        if any(count != self.count for count in more):
            raise VoidRound(f"{self.name}: {self.count} events made {more} rows")


@dataclass(frozen=True)
class Raw:
    """The statements alone."""

    process: raw_side.RawProcess
    ground: Ground
    database: str
    books: Books
    count: int

    def __call__(self, number: int) -> Reading:
        """Store. Raises VoidRound when the rows are not as many as the events."""
        before = self.books.read()
        self.process.prepare(self.count, f"raw_{number}")
        meter = self.ground.cpu([self.process.pid], self.database)
        meter.start()
        seconds = self.process.perform()
        spent = meter.spent()
        more = [now - then for now, then in zip(self.books.read(), before, strict=True)]
        if any(count != self.count for count in more):
            raise VoidRound(f"raw: {self.count} events made {more} rows")
        return Reading(self.count, spent, seconds)


OURS = ("SELECT count(*) FROM webhook_events", "SELECT count(*) FROM outbox_jobs WHERE task = 'stripe_events.handle'")
THEIRS = ("SELECT count(*) FROM djstripe_webhookeventtrigger WHERE valid", "SELECT count(*) FROM djstripe_event")


def measure(ground: Ground, app: Flask, cast: Cast, python: str, sizes: Sizes, tell: Tell) -> Figure:
    """P1, in databases of its own. ``app`` stands on the seed; what it is seen to send is repeated and counted."""
    statements = raw_side.capture(app, cast.events[0])
    ground.create("ours", ground.full("seed"))
    ground.create("raw", ground.full("seed"))
    with ExitStack() as stack:
        port, server = stack.enter_context(portal_side.serving(ground, "ours"))
        redis = [ground.redis_pid] if ground.redis_pid else []
        ours = Webhook("ours", port, portal_side.PATH, [server.pid, *redis], ground, "ours",
                       Books(ground, "ours", OURS), cast, sizes.webhooks)  # fmt: skip
        process = stack.enter_context(raw_side.running(ground, "raw", statements))
        raw = Raw(process, ground, "raw", Books(ground, "raw", OURS), sizes.webhooks * 2)
        given = _peer(stack, ground, python, "given", THEIRS, cast, sizes.peer)
        deferred = _peer(stack, ground, python, "deferred", THEIRS[:1], cast, sizes.peer * 2)
        sides: dict[str, Side] = {"ours": ours, "raw": raw, "dj-stripe": given, "dj-stripe deferred": deferred}
        taken = rounds.take(sides, sizes.rounds, tell)
    return _webhook_figure(taken, raw_side.count_in_request(app, cast.events[0]))


def _peer(
    stack: ExitStack, ground: Ground, python: str, mode: peer.Mode, books: tuple[str, ...], cast: Cast, count: int
) -> Webhook:
    port, server = stack.enter_context(peer.serving(ground, python, "peer", mode))
    rows = Books(ground, "peer", books)
    return Webhook(f"dj_{mode}", port, peer.PATH, [server.pid], ground, "peer", rows, cast, count)


def _webhook_figure(taken: dict[str, list[Reading]], sent: raw_side.Sent) -> Figure:
    cpu = {name: rounds.cpu(readings) for name, readings in taken.items()}
    rate = {name: rounds.rate(readings) for name, readings in taken.items()}
    times, share = ratios(cpu["dj-stripe"], cpu["ours"]), ratios(rate["ours"], rate["raw"])
    lines = [Line(f"{name}: CPU an event", "µs", spread(values)) for name, values in cpu.items()]
    lines += [Line(f"{name}: events", "1/s", spread(values)) for name, values in rate.items()]
    lines += [
        Line("CPU of dj-stripe ÷ ours", "×", times, 1),
        Line("CPU of dj-stripe deferred ÷ ours", "×", ratios(cpu["dj-stripe deferred"], cpu["ours"]), 1),
        Line("CPU of the raw statements ÷ ours", "%", _percent(ratios(cpu["raw"], cpu["ours"]))),
        Line("rate of ours ÷ the raw statements'", "%", _percent(share)),
    ]
    goals = [
        Goal("CPU less than dj-stripe's", times.median, "at least", 15),
        Goal("of the raw statements' rate (%)", share.median * 100, "at least", 35, 0),
        Goal("statements inside the request", sent.statements + sent.pings, "at most", 2, 0),
    ]
    return Figure("P1", "Stripe webhook: verify, store once, answer", HOW, lines, goals, NOTES)


def _percent(values: Spread) -> Spread:
    return Spread(values.low * 100, values.median * 100, values.high * 100)


HOW = """\
Signed `customer.subscription.updated` events, the sandbox's own documents about ten paid subscriptions under new ids, \
over 8 kept connections. CPU is that of the web process and of the database's backends, on our side of Redis too. \
Books: as many rows more in inbox and outbox (dj-stripe: valid triggers and events) as events were sent."""
NOTES = (
    "dj-stripe stores the trigger, the event and the object before it answers; the request that it makes to Stripe for "
    "each event is answered from the event itself, in its favour. We store event and job; the rest is P1b.",
    "“Deferred” is dj-stripe with a callback of the application's that does nothing: only the raw trigger is stored, "
    "neither once (a repeated event is stored again) nor with a job.",
    "Statements were counted over a real request with no Stripe configured, which a call to Stripe would have failed. "
    "A connection that has rested for a second is asked first if it lives: under load that does not happen.",
    "Each commit waits for the disc, on every side, as where money is kept: rates tell of the disc too, CPU does not.",
    "The raw floor is one process with as many threads and connections as the web process, which repeats the "
    "statements that the product was seen to execute, with parameters made beforehand: no HTTP, no signature, no JSON.",
)

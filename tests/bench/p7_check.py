"""P7: asking the gate by program, against a bare JSON route of the same app."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg
from flask import Flask
from psycopg import sql

from tests.bench import load, rounds, usage_side
from tests.bench.figures import Figure, Goal, Line, Reading, ratios, spread
from tests.bench.ground import Ground
from tests.bench.rounds import Side, Sizes, Tell, VoidRound
from tests.bench.vendors import Cast
from tests.support import programs
from tests.web.test_vendor_queries import counted

CONNECTIONS = 8
BARE = "/api/bench/bare"
BODY = {"metric": "orders"}
#: Fewer than any tier allows.
MOST = 40
RECENT, MOVED, FIRST, CHANGED = "up to a second old", "after usage moved", "the first time", "right after a change"


@dataclass(frozen=True)
class Asked:
    """One address on the one server, asked for all vendors in turn."""

    name: str
    port: int
    roots: list[int]
    ground: Ground
    requests: list[bytes]
    count: int = field(default=0)
    before_each_turn: Callable[[], None] = field(default=lambda: None)

    def __call__(self, _: int) -> Reading:
        """One round. Raises VoidRound for an answer that is not 200, or one that does not allow."""
        meter = self.ground.cpu(self.roots, "gate")
        meter.start()
        outcome = load.drive(self.port, self._ready(), CONNECTIONS)
        spent = meter.spent()
        if not outcome.clean or b'"allowed":true' not in outcome.last_body:
            raise VoidRound(f"{self.name} answered {dict(outcome.statuses)}: {outcome.last_body[:200]!r}")
        return Reading(self.count, spent, outcome.seconds)

    def _ready(self) -> Iterator[bytes]:
        for n in range(self.count):
            if n % len(self.requests) == 0:
                self.before_each_turn()
            yield self.requests[n % len(self.requests)]


def measure(ground: Ground, app: Flask, cast: Cast, key: str, sizes: Sizes, tell: Tell) -> Figure:
    """P7, on a database of its own."""
    statements = max(_statements(app, cast, key, known) for known in (True, False))
    ground.create("gate", ground.full("seed"))
    with ExitStack() as stack:
        target = "tests.bench.bare_json:application"
        port, server = stack.enter_context(usage_side.serving(ground, "gate", target))
        roots = [server.pid, *([ground.redis_pid] if ground.redis_pid else [])]
        asked = [usage_side.post(port, usage_side.CHECK, key, who.code, BODY) for who in cast.vendors]
        cold = [_with(b"X-Bench-Forget: rights", one) for one in asked]
        anew = [_with(b"X-Bench-Forget: answers", one) for one in asked]
        aged = [_with(b"Cache-Control: max-age=1", one) for one in asked]
        moves = _moving(port, key, cast, stack.enter_context(ground.connect("gate")))
        bare = [usage_side.post(port, BARE, key, who.code, BODY) for who in cast.vendors]
        told = {"asked": asked, RECENT: aged, FIRST: anew, CHANGED: cold, "bare": bare}
        sides: dict[str, Side] = {
            name: Asked(name, port, roots, ground, ready, sizes.webhooks) for name, ready in told.items()
        }
        sides[MOVED] = Asked(MOVED, port, roots, ground, asked, sizes.webhooks, moves)
        taken = rounds.take(sides, sizes.rounds, tell)
    return _figure(taken, statements)


def _moving(port: int, key: str, cast: Cast, books: psycopg.Connection) -> Callable[[], None]:
    """What moves the usage that is asked for, of all vendors at once: the books' work, which is not measured."""
    event = BODY | {"key": "the first"}
    posts = [usage_side.post(port, usage_side.EVENTS, key, who.code, event) for who in cast.vendors]
    if not load.drive(port, posts, 1).clean:
        raise RuntimeError("nothing could be counted")
    move = sql.SQL("UPDATE usage_counters SET used = used % {} + 1 WHERE metric = {}").format(MOST, BODY["metric"])

    def moves() -> None:
        books.execute(move)

    return moves


def _with(header: bytes, request: bytes) -> bytes:
    return request.replace(b"\r\n", b"\r\n" + header + b"\r\n", 1)


def _statements(app: Flask, cast: Cast, key: str, known: bool) -> int:
    """How many one question sends, its key's use being noted already. Raises RuntimeError when it is not answered."""
    from portal.accounts import callers
    from portal.kit.db import db

    client, headers = app.test_client(), programs.bearer(key, cast.vendors[0].code)
    with app.app_context():
        client.post(usage_side.CHECK, json=BODY, headers=headers)
        if not known:
            callers.forget()
        with counted(db.engine) as seen:
            answer = client.post(usage_side.CHECK, json=BODY, headers=headers)
        db.session.remove()
        db.engine.dispose()
    if answer.status_code != 200:
        raise RuntimeError(f"the gate answered {answer.status_code}")
    return len(seen)


def _figure(taken: dict[str, list[Reading]], statements: int) -> Figure:
    cpu = {name: rounds.cpu(readings) for name, readings in taken.items()}
    against = {name: ratios(values, cpu["bare"]) for name, values in cpu.items() if name != "bare"}
    lines = [Line(f"{name}: CPU a request", "µs", spread(values)) for name, values in cpu.items()]
    lines += [Line(f"{name}: requests", "1/s", spread(rounds.rate(readings))) for name, readings in taken.items()]
    lines += [Line(f"{name} ÷ bare", "×", ratio, 2) for name, ratio in against.items()]
    goals = [
        Goal("asked, against a bare JSON route", against["asked"].median, "at most", 1.7),
        Goal(f"{RECENT}, against a bare JSON route", against[RECENT].median, "at most", 1.2),
        Goal("statements, who calls included", statements, "at most", 1, 0),
    ]
    return Figure("P7", "Asking the gate by program", HOW, lines, goals, NOTES)


HOW = """\
`POST /api/v1/entitlements/check` for ten vendors in turn with a platform's key, over 8 kept connections. The floor is \
a route in the same process behind the same hooks, which parses its body and answers the same JSON without a key or a \
query. CPU is that of the web process, of Redis, which counts requests, and of the database's backends."""
NOTES = (
    "“Asked” is the product as it runs: the process keeps what it read of a key and its vendor, and the one statement "
    "looks for the same key and the same stamps of the vendor's rows and reads the counter; nothing that is answered "
    "is older than that statement. Where it finds nothing different since the same question, the answer is not made "
    "again, which is so here: usage stands still. Questions that were put before are answered before Flask makes a "
    "request of them (docs/decisions/0018), which the floor is: that is why this can cost less than a bare route.",
    "“After usage moved” is the same while each vendor's counter is another one each time it is asked for (the books "
    "move it, which is not measured), so that the answer is made anew. “The first time” forgets what was answered: the "
    "whole way through Flask, with the one statement. “Right after a change” forgets the rights too, so that "
    "everything is read, as happens once after a change of key, vendor, subscription or rights.",
    "“Up to a second old” is what a program gets that says `Cache-Control: max-age=1`: its answer again for a second, "
    "unless the process hears of a change (docs/decisions/0018). Without those words nothing is answered from memory.",
)

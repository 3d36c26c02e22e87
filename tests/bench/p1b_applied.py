"""P1b: the same event from receipt until it is applied, the fetch from Stripe included."""

from collections.abc import Callable
from contextlib import ExitStack

from tests.bench import peer, portal_side, rounds
from tests.bench.figures import Figure, Goal, Line, Reading, ratios, spread
from tests.bench.ground import Ground
from tests.bench.p1_webhook import THEIRS, Books, Webhook
from tests.bench.rounds import Sizes, Tell
from tests.bench.vendors import Cast

#: Handled means mirrored; done means that the job was marked in the transaction after it.
OURS = (
    "SELECT count(*) FROM webhook_events WHERE state = 'handled'",
    "SELECT count(*) FROM outbox_jobs WHERE task = 'stripe_events.handle' AND state = 'done'",
)
OPEN = "SELECT count(*) FROM outbox_jobs WHERE task = 'stripe_events.handle' AND state = 'pending'"


def measure(ground: Ground, cast: Cast, python: str, sizes: Sizes, tell: Tell) -> Figure:
    """P1b, in a database of its own; the peer goes on in its own."""
    ground.create("applied", ground.full("seed"))
    with ExitStack() as stack:
        ours = _ours(stack, ground, cast, sizes.applied)
        port, server = stack.enter_context(peer.serving(ground, python, "peer", "fetch"))
        books = Books(ground, "peer", THEIRS)
        theirs = Webhook("dj_fetch", port, peer.PATH, [server.pid], ground, "peer", books, cast, sizes.applied)
        taken = rounds.take({"ours": ours, "dj-stripe": theirs}, sizes.rounds, tell)
    return _figure(taken)


def _ours(stack: ExitStack, ground: Ground, cast: Cast, count: int) -> Webhook:
    port, server = stack.enter_context(portal_side.serving(ground, "applied"))
    workers = stack.enter_context(portal_side.working(ground, "applied"))
    roots = [server.pid, *(process.pid for process in workers), *([ground.redis_pid] if ground.redis_pid else [])]
    applied = _nothing_open(stack, ground)
    books = Books(ground, "applied", OURS)
    return Webhook("applied", port, portal_side.PATH, roots, ground, "applied", books, cast, count, applied)


def _nothing_open(stack: ExitStack, ground: Ground) -> Callable[[], bool]:
    connection = stack.enter_context(ground.connect("applied"))
    return lambda: connection.execute(OPEN).fetchone() == (0,)


def _figure(taken: dict[str, list[Reading]]) -> Figure:
    cpu = {name: rounds.cpu(readings) for name, readings in taken.items()}
    times = ratios(cpu["dj-stripe"], cpu["ours"])
    lines = [Line(f"{name}: CPU an event", "µs", spread(values)) for name, values in cpu.items()]
    lines += [Line(f"{name}: events applied", "1/s", spread(rounds.rate(taken[name]))) for name in taken]
    lines.append(Line("CPU of dj-stripe ÷ ours", "×", times, 1))
    goals = [Goal("CPU less than dj-stripe's with its fetch", times.median, "at least", 3)]
    return Figure("P1b", "Stripe webhook: from receipt to applied", HOW, lines, goals, NOTES)


HOW = """\
The same events; they count as applied when the job is marked done (ours), or when the answer has come (dj-stripe, \
which applies inside the request). CPU is that of web, worker, scheduler, Redis and the database's backends on our \
side, of web and backends on dj-stripe's; that of the loopback Stripe, the sandbox, on neither."""
NOTES = (
    "Ours asks Stripe for the subscription with its payment method, its latest invoice and that one's payments, and "
    "mirrors all of it; dj-stripe asks for the subscription and stores it with its items. Nothing has changed on the "
    "subscription, for either side.",
    "The events are about ten subscriptions and come as quickly as they are taken. Ours settles those about one object "
    "that wait together by one question; dj-stripe, which applies inside the request, asks for each.",
    "Both speak API version 2026-10-28.endive with the sandbox. dj-stripe 2.11 keeps the document as JSON and takes "
    "the newest shapes; only its request for a customer's `sources`, long gone from the API, was left out when its "
    "database was filled beforehand.",
)

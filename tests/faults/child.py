"""The portal's processes as children that can be killed: one process builds the app, then forks what it is told.

Forking makes a restart take a moment instead of seconds; nothing is connected before. The children run the portal's own
commands. What they do more than in production is here and nowhere else: they die at named points, once, when the test
has armed the point; their leases are short; and a task that is not idempotent counts what it did.
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask
from flask.cli import FlaskGroup

FOLDER = Path(os.environ.get("FAULTS_FOLDER", "."))


def at(point: str) -> bool:
    """Was this point armed? The first to come takes it."""
    try:
        (FOLDER / point).unlink()
    except FileNotFoundError:
        return False
    return True


def die_at(point: str) -> None:
    """kill -9, here and now, when this point was armed."""
    if at(point):
        os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str, point: str) -> None:
    """Die when a function has done its work and nobody has heard of it."""
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        die_at(point)
        return result

    setattr(owner, name, wrapped)


def before(owner: Any, name: str, act: Callable[[], None]) -> None:
    """Do something just before a function's work."""
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        act()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def set_points() -> None:
    """Where a child may die or fall asleep."""
    from rq import Queue

    from portal.api import stripe_hook
    from portal.gateways.stripe import StripeGateway
    from portal.kit import jobs, outbox
    from portal.stripe_events import service

    outbox.LEASE = timedelta(seconds=float(os.environ["FAULTS_LEASE"]))
    # As many as one worker carries out within so short a lease on a busy machine: of more, most would be handed out
    # anew before their turn, and again, and the queue would hold nothing but void claims.
    outbox.IN_FLIGHT_CAP = 5
    after(service, "receive", "after-the-event's-insert")
    before(stripe_hook, "jsonify", lambda: die_at("before-the-answer"))
    for write in ("customer_create", "checkout_create"):
        after(StripeGateway, write, "after-stripe's-effect")
    before(outbox, "finish", lambda: die_at("before-the-mark"))
    before(Queue, "enqueue", lambda: die_at("before-the-queue"))
    before(jobs, "_run", fall_asleep)
    if os.environ.get("FAULTS_PROVIDER"):
        set_points_of_setting_up()
    sabotage(os.environ.get("FAULTS_WITHOUT", ""))


def set_points_of_setting_up() -> None:
    """A provider that tests know; short leases and gaps, so that what was interrupted goes on within seconds."""
    from portal.addons import jobs, provisioning_rules, runner
    from portal.kit import tasks
    from tests.addons.provider import Make

    provisioning_rules.LEASE = timedelta(seconds=float(os.environ["FAULTS_LEASE"]))
    provisioning_rules.GAPS = (timedelta(seconds=1),) * len(provisioning_rules.GAPS)
    tasks.periodic("addons.tend", every=timedelta(seconds=1))(jobs.tend)
    after(Make, "act", "after-the-provider's-effect")
    before(runner, "_record", lambda: die_at("before-the-outcome"))


def fall_asleep() -> None:
    """Outlive the lease and then go on, as a machine does that was suspended."""
    if at("asleep"):
        time.sleep(2.5 * float(os.environ["FAULTS_LEASE"]))


def sabotage(without: str) -> None:
    """Take away what keeps things from happening twice, to see that the test would notice."""
    from portal.kit import clock, outbox
    from portal.kit.unit_of_work import in_unit_of_work, unit_of_work

    if without == "lease":

        def take(claim: outbox.Claim) -> Any:
            return outbox.locked(claim.job_id)

        def finish(claim: outbox.Claim) -> None:
            with nullcontext() if in_unit_of_work() else unit_of_work():
                job = outbox.locked(claim.job_id)
                assert job is not None
                job.state, job.done_at, job.lease_until = "done", clock.wall(), None

        outbox.take, outbox.finish = take, finish
    if without == "asking":
        from tests.addons.provider import Make

        Make.find = lambda self, ctx: None  # type: ignore[method-assign]
    if without == "dedupe":
        enqueue = outbox.enqueue

        def keyless(task: str, *, dedupe_key: str | None = None, **rest: Any) -> bool:
            return enqueue(task, dedupe_key=None, **rest)

        outbox.enqueue = keyless


def count(n: int) -> None:
    """Leaves one more row each time it happens."""
    from portal.audit import service as audit
    from portal.kit import clock
    from portal.kit.actor import SYSTEM

    audit.record(SYSTEM, "faults.counted", vendor_id=None, data={"n": n}, now=clock.business())


def doors(app: Flask) -> None:
    """What people do, without pages: register, open Checkout, ask for one counted job."""
    from portal.accounts import service as accounts
    from portal.app import csrf
    from portal.catalog import queries as catalog
    from portal.catalog.rules import Cycle
    from portal.checkout import flows as checkout
    from portal.kit import actor, clock, outbox, tenancy
    from portal.kit.unit_of_work import unit_of_work
    from portal.web.kit import audience

    blueprint = Blueprint("faults", __name__)

    @blueprint.post("/faults/ask/<int:n>")
    @audience.public
    def ask(n: int) -> dict[str, bool]:
        with unit_of_work():
            return {"written": outbox.enqueue("faults.count", dedupe_key=f"ask:{n}", n=n)}

    @blueprint.post("/faults/register/<int:n>")
    @audience.public
    def register(n: int) -> dict[str, int]:
        wanted = accounts.prepare(business_name=f"Shop {n}", name="Ada", email=f"v{n}@shop.example",
                                  password="correct horse battery staple 9", tier_code="professional")  # fmt: skip
        with unit_of_work():
            return {"vendor": accounts.register(wanted, now=clock.business()).vendor.id}

    @blueprint.post("/faults/checkout/<int:vendor>")
    @audience.public
    def pay(vendor: int) -> dict[str, str]:
        with tenancy.scoped(vendor):
            price = catalog.offer("professional", Cycle.MONTHLY)
            assert price is not None
            back = checkout.Addresses("http://localhost/done?s={CHECKOUT_SESSION_ID}", "http://localhost/back")
            return {"url": checkout.start(vendor, price.id, back, actor=actor.user(vendor, "Ada"))}

    @blueprint.post("/faults/addon/<int:vendor>/<int:n>")
    @audience.public
    def add(vendor: int, n: int) -> dict[str, int]:
        from tests.addons import factory

        with tenancy.unscoped("a test"):
            addon = factory.addon(vendor, factory.product(), url=os.environ["FAULTS_PROVIDER"], n=n)
            return {"run": factory.begin(addon)}

    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)


def prepare(app: Flask) -> None:
    """Tables, catalog, and Stripe's knowledge of it."""
    from flask_migrate import upgrade

    from portal.catalog import flows, service
    from portal.gateways import stripe
    from portal.kit import actor, clock
    from portal.kit.unit_of_work import unit_of_work

    with app.app_context():
        upgrade()
        with unit_of_work():
            service.load_preset("marketplace", actor=actor.SYSTEM, now=clock.business())
        flows.push(stripe.current(), dry_run=False)


def serve(app: Flask) -> None:
    """The web process."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    make_server("127.0.0.1", int(os.environ["FAULTS_PORT"]), app, threaded=True, request_handler=Quiet).serve_forever()


def build() -> Flask:
    """The app that every process is, with what people do here."""
    from portal.app import create_app
    from portal.kit import tasks

    app = create_app()
    tasks.task("faults.count")(count)
    doors(app)
    return app


def become(role: str, app: Flask) -> None:
    """Be what was asked for."""
    if role == "web":
        serve(app)
    elif role == "prepare":
        prepare(app)
    else:
        FlaskGroup(create_app=lambda: app).main([role], standalone_mode=False)


def main() -> None:
    """Read roles from standard input, fork each, answer with its process id."""
    import stripe  # noqa: F401 - imported once, here

    set_points()
    app = build()
    gc.freeze()  # a collection in a child would copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            become(line.strip(), app)
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()

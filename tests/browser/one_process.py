"""A whole portal in one process: web and Stripe sandbox serve from threads, another one carries out the jobs.

For journeys that ask what pages do: one start instead of six, and no queue between them. What it is to be several
processes is lived by test_journey.py in CI and by tests/faults. Runs as a program, in the environment that the
supervisor would give its children; each line of standard input is a command of the portal's (its arguments as a JSON
list), each line of the answer says how it ended and what it printed. It ends with its standard input, so that it
outlives nobody.
"""

import json
import os
import sys
import threading
import traceback
from datetime import timedelta
from typing import TextIO

from flask import Flask
from werkzeug.serving import make_server

from portal.app import create_app
from portal.cli import conduct
from portal.kit import jobs, outbox, periodic
from portal.kit.db import relax_durability
from portal.kit.unit_of_work import unit_of_work
from portal.sandbox.__main__ import tick
from portal.sandbox.app import create_sandbox
from portal.sandbox.config import SandboxConfig
from tests.browser import bank, cast
from tests.support.servers import Quiet

#: Wall seconds after which is looked for jobs that nobody announced: tries again, and what is done once per period.
LOOK = 1.0
#: Time moves a day at a step, not six hours: all happens on its date, with a quarter of the looks at what is due.
STEP = timedelta(days=1)


def serve(app: Flask, port: int) -> None:
    """Answer requests from now on."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def work(app: Flask, woken: threading.Event, busy: threading.Lock) -> None:
    """Scheduler and worker: what is due is done as soon as it is written."""
    while True:
        woken.wait(LOOK)
        woken.clear()
        with busy, app.app_context():
            with unit_of_work():
                periodic.insert_due()
            jobs.run_all()


def start_sandbox() -> None:
    """Stripe, its events on their way by themselves."""
    stripe = create_sandbox(SandboxConfig.from_environment())
    serve(stripe, int(os.environ["SANDBOX_PORT"]))
    threading.Thread(target=tick, args=(stripe.extensions["sandbox"], threading.Event()), daemon=True).start()


def obey(app: Flask, busy: threading.Lock, answers: TextIO) -> None:
    """Carry out commands until there are no more to come; nobody else works meanwhile."""
    runner = app.test_cli_runner()
    for line in sys.stdin:
        with busy, app.app_context():
            done = runner.invoke(args=json.loads(line))
        raised = "".join(traceback.format_exception(done.exception)) if done.exit_code and done.exception else ""
        answers.write(json.dumps({"status": done.exit_code, "said": done.output + raised}) + "\n")
        answers.flush()


def main() -> None:
    """Everything, until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    relax_durability()
    conduct.STEP = STEP
    app = create_app()
    app.cli.add_command(cast.play_cast)
    app.cli.add_command(bank.take_transfers)
    woken, busy = threading.Event(), threading.Lock()
    outbox.on_wake(woken.set)
    if os.environ.get("SANDBOX_SECRET_KEY"):
        start_sandbox()
    with app.app_context():
        app.test_cli_runner().invoke(args=["prepare"], catch_exceptions=False)
    serve(app, int(os.environ["PORT"]))
    threading.Thread(target=work, args=(app, woken, busy), daemon=True).start()
    obey(app, busy, answers)


if __name__ == "__main__":
    main()

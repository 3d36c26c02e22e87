"""The long-running processes: worker and scheduler."""

import signal
import threading

import click
from flask import Flask, current_app


def register(app: Flask) -> None:
    """Add ``flask worker`` and ``flask scheduler``."""
    app.cli.add_command(worker)
    app.cli.add_command(scheduler)


@click.command()
def worker() -> None:
    """Carry out jobs until told to stop."""
    from portal.kit import worker as process

    app = current_app._get_current_object()  # type: ignore[attr-defined]
    process.run(app.extensions["portal_redis_blocking"], app.app_context)


@click.command()
def scheduler() -> None:
    """Hand out due jobs and insert periodic ones until told to stop; several may run."""
    from portal.kit import dispatcher

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    dispatcher.run(current_app.extensions["portal_redis_blocking"], stop.is_set)

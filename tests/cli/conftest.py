"""A portal that listens and a sandbox that posts its events to it, as after ``make run``."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from portal.gateways import stripe
from portal.sandbox.app import create_sandbox
from portal.sandbox.config import SandboxConfig
from tests.support import servers
from tests.support.travel import Travel

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(built_app: Flask) -> Run:
    """Type a command; gives its exit status and everything it said."""

    def typed(command: click.Command, *args: str, answer: str = "") -> tuple[int, str]:
        result = built_app.test_cli_runner().invoke(command, list(args), input=answer)
        return result.exit_code, result.output

    return typed


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        """Say nothing."""


@dataclass
class Street:
    """The portal's and the sandbox's addresses."""

    portal: str
    sandbox: str


@pytest.fixture
def street(catalog: Flask, travel: Travel, folder: Path, sandbox_server: servers.Sandbox) -> Iterator[Street]:
    """Both on real ports for one test; the portal's gateway speaks to this sandbox meanwhile."""
    portal = make_server("127.0.0.1", 0, catalog, threaded=True, request_handler=_Quiet)
    stripe_side = make_server("127.0.0.1", 0, catalog, threaded=True, request_handler=_Quiet)
    here = Street(f"http://127.0.0.1:{portal.server_port}", f"http://127.0.0.1:{stripe_side.server_port}")
    app = create_sandbox(
        SandboxConfig(
            secret_key=servers.KEY,
            public_url=here.sandbox,
            offset_file=str(folder / "offset"),
            webhook_url=f"{here.portal}/api/v1/webhooks/stripe",
            webhook_secret=servers.WEBHOOK_SECRET,
            redirect_wait=0,
        )
    )
    stripe_side.app = app
    both = (portal, stripe_side)
    for server in both:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    stripe.configure(servers.KEY, here.sandbox, 0)
    yield here
    stripe.configure(servers.KEY, sandbox_server.url, 0)
    for server in both:
        server.shutdown()
        server.server_close()
    app.extensions["sandbox"].store.close()

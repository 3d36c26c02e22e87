"""Fixtures for every test: the app on a clean database, time at a known moment, the sandbox."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache

from config import Config
from portal.kit import tenancy
from portal.kit.db import db
from tests.support import servers
from tests.support.browser import Browser
from tests.support.databases import Cleaner, drop, url_for_worker
from tests.support.direct import direct
from tests.support.scenes import Scene, Stage
from tests.support.travel import Travel

#: How long one example takes says how busy the machine is.
hypothesis.settings.register_profile("portal", deadline=None)
hypothesis.settings.load_profile("portal")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Tests that share running processes stay together (tests/support/together.py)."""
    from tests.support.together import Together

    return Together(config, log)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test process's own."""
    return tmp_path_factory.mktemp("portal")


@pytest.fixture(scope="session")
def sandbox_server(folder: Path) -> Iterator[servers.Sandbox]:
    """One sandbox per test process."""
    sandbox, server = servers.start(folder / "offset")
    yield sandbox
    server.shutdown()


@pytest.fixture(scope="session")
def built_app(
    folder: Path, sandbox_server: servers.Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """The app, built once per test process on a database of its own."""
    url = url_for_worker(folder)
    import stripe

    from portal.app import create_app
    from portal.identity import second_factor_rules
    from portal.settings import queries as settings

    # The SDK's pauses between its tries at an answer of 500 are counted in seconds: nobody waits for them here.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    # Statements are counted: on a busy machine the kept settings would run out between two requests.
    monkeypatch.setattr(settings, "FRESH_FOR", 600.0)
    monkeypatch.setattr(second_factor_rules, "SCRYPT_COST", 2)
    # Templates are compiled once for all test processes.
    compiled = FileSystemBytecodeCache(str(tmp_path_factory.getbasetemp().parent))
    monkeypatch.setitem(Flask.jinja_options, "bytecode_cache", compiled)
    app = create_app(
        Config(
            app_env="test",
            secret_key="only-for-tests-0123456789-abcdefghij",  # type: ignore[arg-type]
            data_dir=folder,
            database_url=url,
            redis_url=os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1/0"),
            base_url="http://localhost",
            stripe_secret_key=servers.KEY,  # type: ignore[arg-type]
            stripe_api_base=sandbox_server.url,
            stripe_webhook_secret=servers.WEBHOOK_SECRET,  # type: ignore[arg-type]
            sandbox_url=sandbox_server.url,
            clock_offset_file=str(folder / "offset"),
            ratelimit_enabled=False,
            argon2_memory_kib=8,
            log_level="ERROR",
        )
    )
    app.extensions["cleaner"] = Cleaner(app)
    app.extensions["stage"] = Stage(app.extensions["cleaner"], sandbox_server, Travel(folder / "offset"))
    app.test_client_class = Browser
    gc.freeze()  # what was imported is no garbage: every full collection would look through it in vain
    gc.set_threshold(50_000, 20, 50)  # nor is most of what a test makes: looking every 700 things took a fifteenth
    yield app
    with app.app_context():
        db.engine.dispose()
    drop(url)


@pytest.fixture
def travel(folder: Path) -> Travel:
    """Business time, at its known start."""
    return Travel(folder / "offset").to_the_start()


@pytest.fixture
def app(built_app: Flask, travel: Travel) -> Iterator[Flask]:
    """The app on an empty database, its context pushed, no vendor chosen."""
    yield from _fresh(built_app, "empty")


def _fresh(app: Flask, state: str) -> Iterator[Flask]:
    from portal.settings import queries as settings
    from portal.web.kit.rates import Rates

    app.extensions["cleaner"].restore(state)
    app.extensions["portal_rates"] = Rates(None)  # what others send in this minute is not counted
    settings.forget()
    with app.app_context():
        yield app
        db.session.remove()


@pytest.fixture
def catalog(built_app: Flask, travel: Travel) -> Iterator[Flask]:
    """The app with the marketplace preset loaded and everything else empty."""
    cleaner: Cleaner = built_app.extensions["cleaner"]
    if cleaner.has("catalog"):
        yield from _fresh(built_app, "catalog")
        return
    for app in _fresh(built_app, "empty"):
        load_catalog()
        cleaner.save("catalog")
        yield app


def load_catalog() -> None:
    """Load the marketplace preset."""
    from portal.catalog import service
    from portal.kit import actor, clock
    from portal.kit.unit_of_work import unit_of_work

    with unit_of_work():
        service.load_preset("marketplace", actor=actor.SYSTEM, now=clock.business())


@pytest.fixture
def sandbox(sandbox_server: servers.Sandbox) -> servers.Sandbox:
    """The sandbox, empty but for its endpoint."""
    sandbox_server.reset()
    return sandbox_server


@pytest.fixture
def asked_directly(sandbox: servers.Sandbox) -> Iterator[None]:
    """The sandbox answers without a socket (tests.support.direct)."""
    with direct(sandbox):
        yield


@pytest.fixture
def client(catalog: Flask) -> FlaskClient:
    """A browser that is not signed in, on the app with the catalog loaded."""
    return catalog.test_client()


@pytest.fixture
def scene(client: FlaskClient, sandbox: servers.Sandbox, travel: Travel) -> Scene:
    """``scene(name, build)``: build what a story has led to once, and start from there in every test."""
    return Scene.of(client)


@pytest.fixture
def unscoped() -> Iterator[None]:
    """Look across vendors in a test."""
    with tenancy.unscoped("a test"):
        yield

"""What has changed elsewhere: PostgreSQL tells every process that listens, as soon as it is committed.

Triggers (migration 0009) send the vendor's id with each change of a row that decides who calls and with which rights,
whoever makes it. Whoever keeps an answer takes a number before asking for it; what this process hears of afterwards has
a higher one. While it does not listen, or has not heard from the server just now, there are no numbers, and nothing may
be kept. SQLite tells nobody anything, so there never is one.
"""

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from portal.kit import log
from portal.kit.db import db
from portal.kit.unit_of_work import after_commit, in_unit_of_work

logger = log.get(__name__)
CHANNEL = "portal_changes"
#: Seconds between two signs of life, and how old the last one may be for anything to be kept.
BEAT, PATIENCE = 1.0, 2.0
#: Vendors whose changes are told apart; beyond that, all count as changed and it begins anew.
KEPT = 10_000

_numbers = count(1)
_changed: dict[int, int] = {}


def number() -> int | None:
    """A number for what is asked now; None while this process would not hear of a change. The first question lets it
    listen.
    """
    return next(_numbers) if Listener.of(db.engine).hears() else None


def unchanged(vendor_id: int, since: int) -> bool:
    """Would this process have heard of a change of this vendor's, and has heard of none after that number?"""
    listener = Listener.of(db.engine)
    return listener.since < since and _changed.get(vendor_id, 0) < since and listener.hears()


def moved(vendor_id: int) -> None:
    """This process itself changes something of the vendor's that the triggers do not tell of: known once it is
    committed.
    """
    if in_unit_of_work():
        after_commit(partial(_note, vendor_id))
    else:
        _note(vendor_id)


def _note(vendor_id: int) -> None:
    if len(_changed) >= KEPT and vendor_id not in _changed:
        Listener.all_changed()
        _changed.clear()
    _changed[vendor_id] = next(_numbers)


class Listener:
    """One connection that listens, in a thread of its own, for one engine in one process."""

    _all: dict[Engine, "Listener"] = {}  # noqa: RUF012 - one table for the process
    _making = threading.Lock()

    def __init__(self, engine: Engine) -> None:
        self.since = next(_numbers)
        self._engine, self._process = engine, os.getpid()
        self._heard_at = float("-inf")
        self._ended = threading.Event()

    @classmethod
    def of(cls, engine: Engine) -> "Listener":
        """The engine's, listening from its first use on. After a fork a process makes its own."""
        found = cls._all.get(engine)
        if found is not None and found._process == os.getpid():
            return found
        with cls._making:
            found = cls._all.get(engine)
            if found is None or found._process != os.getpid():
                found = cls._all[engine] = cls(engine)
                if engine.dialect.name == "postgresql":
                    threading.Thread(target=found._run, name="changes", daemon=True).start()
        return found

    @classmethod
    def all_changed(cls) -> None:
        """No number that was given is worth anything any more."""
        for listener in list(cls._all.values()):
            listener.since = next(_numbers)

    def hears(self) -> bool:
        """Did the server answer just now? Whatever was committed before it did has been heard of."""
        return time.monotonic() - self._heard_at < PATIENCE

    def heard_since(self, moment: float) -> bool:
        """Has everything been heard that was committed before ``moment`` (monotonic)?"""
        return self._heard_at > moment

    def end(self) -> None:
        """Listen no more; the thread ends within a beat."""
        self._ended.set()
        self._deaf()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._connected() as driver:
                    self._listen(driver)
            except (psycopg.Error, SQLAlchemyError, OSError) as error:
                logger.warning("changes.not_heard", error=type(error).__name__)
            self._deaf()
            self._ended.wait(BEAT)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection that no pool knows, made as the pool makes its own."""
        pooled: Any = self._engine.raw_connection()
        driver = pooled.driver_connection
        pooled.detach()
        with closing(driver):
            driver.autocommit = True
            driver.add_notify_handler(self._told)
            yield driver

    def _listen(self, driver: psycopg.Connection[Any]) -> None:
        driver.execute("SET application_name = 'portal changes'")
        driver.execute(f"LISTEN {CHANNEL}")
        self.since = next(_numbers)
        waiting = select.poll()
        waiting.register(driver.fileno(), select.POLLIN)
        while not self._ended.is_set():
            begun = time.monotonic()
            driver.execute("SELECT 1")  # brings along what it has to tell, before its answer
            self._heard_at = begun
            waiting.poll(BEAT * 1000)

    def _told(self, notify: psycopg.Notify) -> None:
        """A vendor's id; nothing where it concerns all of them."""
        if notify.payload:
            _note(int(notify.payload))
        else:
            self.since = next(_numbers)

    def _deaf(self) -> None:
        self._heard_at = float("-inf")
        self.since = next(_numbers)


@event.listens_for(Engine, "engine_disposed")
def _disposed(engine: Engine) -> None:
    """Whoever lets go of an engine's connections means this one too."""
    listener = Listener._all.pop(engine, None)
    if listener is not None:
        listener.end()

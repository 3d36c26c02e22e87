"""One database per test process, clean before each test, on SQLite or PostgreSQL (TEST_DATABASE_URL)."""

import os
import re
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import PoolProxiedConnection

from portal.kit.db import db

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")

#: Tables that processes started by a test write too, unseen by the watcher of this one.
ELSEWHERE = {"heartbeats", "outbox_jobs", "periodic_runs", "sent_mails", "webhook_events"}


def url_for_worker(folder: Path) -> str:
    """A database of this test process's own; on PostgreSQL it is created beside the one that is named."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    if not given.startswith("postgres"):
        return f"sqlite:///{folder / 'test.db'}"
    url = make_url(given.replace("postgresql://", "postgresql+psycopg://", 1) if "+psycopg" not in given else given)
    name = f"{url.database or 'portal'}_{WORKER}_{os.getpid()}"
    admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def drop(url: str) -> None:
    """Remove a PostgreSQL database that url_for_worker made; SQLite's goes with its folder."""
    if url.startswith("sqlite"):
        return
    parsed = make_url(url)
    admin = create_engine(parsed.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{parsed.database}" WITH (FORCE)'))
    admin.dispose()


class Cleaner:
    """Brings the database back to a saved state: the file's bytes on SQLite; on PostgreSQL the tables that were written
    since are emptied, and what was saved of them is copied in again.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.url = app.config["SQLALCHEMY_DATABASE_URI"]
        self.sqlite = self.url.startswith("sqlite")
        self.saved: dict[str, dict[str, bytes]] = {}
        self.stands: dict[str, bytes] = {}
        self.state = ""
        self.written: set[str] = set()
        with app.app_context():
            upgrade()
            self.tables = [t.name for t in db.metadata.sorted_tables]
            self.counted = [t.name for t in db.metadata.sorted_tables if t.autoincrement_column is not None]
            self.engine = db.engine
        if self.sqlite:
            self.file = Path(self.url.removeprefix("sqlite:///"))
        self.written = set(self.tables)
        event.listen(self.engine, "before_cursor_execute", self._watch)
        self.save("empty")

    def _watch(self, _c: object, _cur: object, statement: str, *_: object) -> None:
        self.written |= _writes(statement)

    def _touched(self) -> set[str]:
        return (self.written | ELSEWHERE) & set(self.tables)

    def save(self, name: str) -> None:
        """Keep the present state under a name."""
        if not self.sqlite:
            self.saved[name] = self.stands = self._copied_out()
            self._stands_at(name)
            return
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()
        self.saved[name] = {"": self.file.read_bytes()}
        self._stands_at(name)

    def _stands_at(self, name: str) -> None:
        self.state, self.written = name, set()

    def untouched(self) -> bool:
        """Has nothing been written since the state was last saved or restored?"""
        return not self.written & set(self.tables)

    def has(self, name: str) -> bool:
        """Was a state kept under this name?"""
        return name in self.saved

    def restore(self, name: str = "empty") -> None:
        """Back to the named state."""
        if not self.sqlite:
            self._copy_in(self.saved[name])
            self._stands_at(name)
            return
        self.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        with self.file.open("r+b") as file:  # in place: a file made anew is flushed to the disc by some file systems
            file.write(self.saved[name][""])
            file.truncate()
        self._stands_at(name)

    def _copied_out(self) -> dict[str, bytes]:
        """What each table that is not empty holds; what was not written since holds what it held."""
        state = dict(self.stands)
        with closing(self.engine.raw_connection()) as raw, closing(_cursor(raw)) as cursor:
            for table in sorted(self._touched()):
                with cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
                    state[table] = b"".join(bytes(part) for part in copy)
        return {table: rows for table, rows in state.items() if rows}

    def _copy_in(self, state: dict[str, bytes]) -> None:
        other = {table for table in self.stands.keys() | state.keys() if self.stands.get(table) != state.get(table)}
        stale = sorted(self._touched() | other)
        with closing(self.engine.raw_connection()) as raw, closing(_cursor(raw)) as cursor:
            # Neither foreign keys nor the triggers of ledgers have a say: a tenth of what TRUNCATE … CASCADE takes.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(";".join(f'DELETE FROM "{table}"' for table in stale))
            for table in stale:
                if table in state:
                    with cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
                        copy.write(state[table])
            cursor.execute(_counters_reset([table for table in stale if table in self.counted]))
            raw.commit()
        self.stands = state


_WRITES = re.compile(r'\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE)\s+"?(\w+)', re.IGNORECASE)


@lru_cache(maxsize=4096)
def _writes(statement: str) -> frozenset[str]:
    """The tables that a statement may write, wherever in it they are named."""
    return frozenset(_WRITES.findall(statement))


def _counters_reset(tables: list[str]) -> str:
    """The next id is 1, or the one after the last."""
    each = (
        f"setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 1) FROM \"{table}\"), "
        f'EXISTS (SELECT FROM "{table}"))'
        for table in tables
    )
    return f"SELECT {', '.join(each) or '1'}"


def _cursor(raw: PoolProxiedConnection) -> Any:
    """psycopg's own, which can COPY."""
    return raw.cursor()

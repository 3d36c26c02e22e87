"""One database per test process, clean before each test, on SQLite or PostgreSQL (TEST_DATABASE_URL)."""

import os
import shutil
from contextlib import closing
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
    """Brings the database back to a saved state: a file copy on SQLite; on PostgreSQL what was written is emptied, and
    what was saved is copied in again.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.url = app.config["SQLALCHEMY_DATABASE_URI"]
        self.sqlite = self.url.startswith("sqlite")
        self.saved: dict[str, dict[str, bytes]] = {}
        self.written: set[str] = set()
        with app.app_context():
            upgrade()
            self.tables = [t.name for t in db.metadata.sorted_tables]
            self.counted = [t.name for t in db.metadata.sorted_tables if t.autoincrement_column is not None]
            self.engine = db.engine
        if self.sqlite:
            self.file = Path(self.url.removeprefix("sqlite:///"))
        else:
            event.listen(self.engine, "before_cursor_execute", self._watch)
        self.save("empty")

    def _watch(self, _c: object, _cur: object, statement: str, *_: object) -> None:
        head = statement.lstrip()[:60].upper()
        if head.startswith(("INSERT INTO ", "UPDATE ")):
            self.written.add(statement.split()[2 if head.startswith("INSERT") else 1].strip('"'))

    def _touched(self) -> set[str]:
        return (self.written | ELSEWHERE) & set(self.tables)

    def save(self, name: str) -> None:
        """Keep the present state under a name."""
        if not self.sqlite:
            self.saved[name] = self._copied_out()
            return
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()
        shutil.copyfile(self.file, self.file.with_suffix(f".{name}"))
        self.saved[name] = {}

    def has(self, name: str) -> bool:
        """Was a state kept under this name?"""
        return name in self.saved

    def restore(self, name: str = "empty") -> None:
        """Back to the named state."""
        if not self.sqlite:
            self._copy_in(self.saved[name])
            return
        self.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self.file.with_suffix(f".{name}"), self.file)

    def _copied_out(self) -> dict[str, bytes]:
        state = {}
        with closing(self.engine.raw_connection()) as raw, closing(_cursor(raw)) as cursor:
            for table in (t for t in self.tables if t in self._touched()):
                with cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
                    rows = b"".join(bytes(part) for part in copy)
                if rows:
                    state[table] = rows
        return state

    def _copy_in(self, state: dict[str, bytes]) -> None:
        with closing(self.engine.raw_connection()) as raw, closing(_cursor(raw)) as cursor:
            if emptied := sorted(self._touched() | state.keys()):
                cursor.execute(f"TRUNCATE {', '.join(emptied)} RESTART IDENTITY CASCADE")
            for table, rows in state.items():
                with cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
                    copy.write(rows)
                if table in self.counted:
                    counter = f"pg_get_serial_sequence('{table}', 'id')"
                    cursor.execute(f'SELECT setval({counter}, (SELECT max(id) FROM "{table}"))')
            raw.commit()
        self.written = set(state)


def _cursor(raw: PoolProxiedConnection) -> Any:
    """psycopg's own, which can COPY."""
    return raw.cursor()

"""Lines: the connections to PostgreSQL that direct statements go by, one at a time and each a transaction by itself.

They come from the engine's pool, so they are made as every other connection is, and never return to it: what the pool
does for a statement (hooks, begin, rollback) cost as much as the statement. Plans are made once for a line instead of
for every execution; statements that are sent so look up single rows, for which no other plan would be better.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import psycopg
from psycopg import pq
from sqlalchemy import Engine, event

from portal.kit import db as kit_db

#: Lines that a process keeps open: as many as it has threads. A few more may be taken for a moment.
KEPT = 8
_GOOD = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
_SETTINGS = "SET plan_cache_mode = force_generic_plan; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'"


_made = 0


def generation() -> int:
    """Another number whenever a line was made: the server behind it may be another one, or a restored one."""
    return _made


class Line:
    """One connection, and the statements that were prepared on it."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        driver.autocommit = True
        driver.execute(_SETTINGS)
        self._driver, self._prepared = driver, dict[object, bytes]()
        self.rests_since = time.monotonic()

    def perform(self, name: object, text: bytes, values: Sequence[Any]) -> pq.abc.PGresult:
        """Execute; ``name`` stands for ``text`` from its first use on. Raises psycopg's errors."""
        prepared = self._prepared.get(name) or self._prepare(name, text)
        return self._checked(self._driver.pgconn.exec_prepared(prepared, values))

    def _prepare(self, name: object, text: bytes) -> bytes:
        known = self._prepared[name] = f"direct_{len(self._prepared)}".encode()
        self._checked(self._driver.pgconn.prepare(known, text))
        return known

    def _checked(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        if result.status in _GOOD:
            return result
        if self._driver.pgconn.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result)

    def lives(self) -> bool:
        """Does the server answer?"""
        return self._driver.pgconn.exec_(b"SELECT 1").status == pq.ExecStatus.TUPLES_OK

    def close(self) -> None:
        """Hang up."""
        self._driver.close()


class Lines:
    """The lines of one engine in one process."""

    _all: dict[Engine, "Lines"] = {}  # noqa: RUF012 - one table for the process

    def __init__(self, engine: Engine) -> None:
        self._engine, self._free, self._process = engine, list[Line](), os.getpid()

    @classmethod
    def of(cls, engine: Engine) -> "Lines":
        """The engine's. After a fork a process makes its own."""
        found = cls._all.get(engine)
        if found is None or found._process != os.getpid():
            found = cls._all[engine] = cls(engine)
        return found

    def perform(self, name: object, text: bytes, values: Sequence[Any]) -> pq.abc.PGresult:
        """Execute by a line of its own. After an error it is hung up, since nothing is known of it; but not after a
        row that may not be there, which is an answer.
        """
        line = self._living() or self._new()
        try:
            result = line.perform(name, text, values)
        except psycopg.IntegrityError:
            self._give_back(line)
            raise
        except BaseException:
            line.close()
            raise
        self._give_back(line)
        return result

    def _give_back(self, line: Line) -> None:
        line.rests_since = time.monotonic()
        if len(self._free) < KEPT:
            self._free.append(line)
        else:
            line.close()

    def _living(self) -> Line | None:
        """The one that was used last; one that has rested is asked first, as the pool asks its connections."""
        while True:
            try:
                line = self._free.pop()
            except IndexError:
                return None
            if time.monotonic() - line.rests_since < kit_db.RESTED or line.lives():
                return line
            line.close()

    def _new(self) -> Line:
        global _made
        _made += 1
        pooled: Any = self._engine.raw_connection()
        driver = pooled.driver_connection
        pooled.detach()
        return Line(driver)

    def close(self) -> None:
        """Hang up all that are free."""
        while self._free:
            self._free.pop().close()


@event.listens_for(Engine, "engine_disposed")
def _disposed(engine: Engine) -> None:
    """Whoever lets go of an engine's connections means these too."""
    lines = Lines._all.pop(engine, None)
    if lines is not None:
        lines.close()


def to_wire(value: Any) -> bytes | None:
    """A parameter as PostgreSQL reads it; a list is an array. Raises DataError for text that no column keeps."""
    if value is None or type(value) is bytes:
        return value
    if isinstance(value, list | tuple):
        value = array([None if each is None else str(each) for each in value])
    text = value if isinstance(value, str) else str(value)
    if "\0" in text:
        raise psycopg.DataError("text cannot hold NUL")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise psycopg.DataError("text cannot hold halves of characters") from error


def array(values: Sequence[str | None]) -> str:
    """A list of texts as PostgreSQL reads an array; numbers and moments may be given as their texts."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"
    joined = '","'.join(values)  # type: ignore[arg-type]
    if joined.count('"') > 2 * (len(values) - 1) or "\\" in joined:
        joined = '","'.join(map(_escaped, values))  # type: ignore[arg-type]
    return '{"' + joined + '"}' if values else "{}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _moment(value: bytes) -> datetime:
    return datetime.fromisoformat(value.decode()).astimezone(UTC)


def _day(value: bytes) -> date:
    return date.fromisoformat(value.decode())


#: By the number of PostgreSQL's type, what the driver would make of it: bool, bigint, smallint, int, json, xid, floats,
#: date, timestamptz, numeric, jsonb.
_READ: dict[int, Callable[[bytes], Any]] = {
    16: b"t".__eq__, 20: int, 21: int, 23: int, 114: json.loads, 28: int, 700: float, 701: float, 1082: _day,
    1184: _moment, 1700: lambda value: Decimal(value.decode()), 3802: json.loads,
}  # fmt: skip


def of_wire(result: pq.abc.PGresult) -> list[list[Any]]:
    """The rows, every value as the driver would give it; what is of no known type is its text."""
    columns, read = range(result.nfields), result.get_value
    if not result.ntuples:
        return []
    readers = _readers(tuple(map(result.ftype, columns)))
    return [
        [None if (value := read(row, place)) is None else readers[place](value) for place in columns]
        for row in range(result.ntuples)
    ]


@cache
def _readers(types: tuple[int, ...]) -> tuple[Callable[[bytes], Any], ...]:
    return tuple(_READ.get(each, bytes.decode) for each in types)

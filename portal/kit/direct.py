"""Statements of the hottest requests, sent by the driver itself.

SQLAlchemy makes the text once; each execution through it, and through the driver's cursors, cost more than the database
needs to answer. So on PostgreSQL a statement is prepared once for each line (kit.lines) and then named to libpq.
Only for statements that name their tenant themselves: the second lock (kit.tenancy) does not see them.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.selectable import ReturnsRows

from portal.kit.db import BigId, db
from portal.kit.lines import Lines, of_wire, to_wire
from portal.kit.unit_of_work import end_reading, unit_of_work


class Stamp(ColumnElement[int]):
    """The number of the transaction that wrote a row: another one after every change of it, by whomever.

    NULL where there is no row, and on SQLite, which keeps no such number.
    """

    inherit_cache = True
    type = BigId

    def __init__(self, table: Table) -> None:
        self.table = table


@compiles(Stamp)
def _no_stamp(*_: Any, **__: Any) -> str:
    return "NULL"


@compiles(Stamp, "postgresql")
def _stamp(element: Stamp, compiler: Any, **_: Any) -> str:
    return f"{compiler.preparer.format_table(element.table)}.xmin"


_NAMED = re.compile(r"%\((\w+)\)s|%%")


@dataclass(frozen=True, slots=True)
class Condition:
    """What must still be true for a statement to do anything: a query that then finds a row, and its parameters.

    ``query`` is one of few texts of ours, never made from what somebody sent. PostgreSQL alone.
    """

    query: str
    told: dict[str, Any]


class Direct:
    """One statement with named parameters, built once for the life of the process. A value that is sent often may be
    given as it goes over the wire (``kit.lines.to_wire``).
    """

    def __init__(self, statement: ReturnsRows) -> None:
        self._statement: Any = statement
        self._text: str | None = None
        self._own: dict[str, bytes | None] = {}

    def __call__(self, told: dict[str, Any]) -> Sequence[Any]:
        """Its rows, by column name. Part of the transaction that is open.

        Without one it is a transaction by itself: on PostgreSQL that saves its begin and its end, a round trip each.
        """
        engine = db.engine
        session = db.session() if db.session.registry.has() else None
        in_transaction = session is not None and session.in_transaction()
        if session is not None and in_transaction:
            session.flush()  # as the session does before a read of its own
        if engine.dialect.name == "sqlite":
            rows: Sequence[Any] = db.session.connection().execute(self._statement, told).all()
            return rows
        text, values = self._made(told)
        for hear in engine.dispatch.before_cursor_execute:
            hear(None, None, text, values, None, False)  # who counts statements counts these too
        try:
            found = _within(session, text, values) if in_transaction else self._sent(Lines.of(engine), values)
        except psycopg.Error as error:
            raise DBAPIError.instance(text, None, error, psycopg.Error, hide_parameters=True) from error
        return [self._row(row) for row in found]

    def by_itself(self, told: dict[str, Any]) -> Sequence[Any]:
        """Its rows, in a transaction of its own that is committed at once; refuses while a unit of work is open."""
        end_reading()
        if db.engine.dialect.name != "sqlite":
            return self(told)
        with unit_of_work():
            return self(told)

    def _sent(self, lines: Lines, told: dict[str, Any]) -> list[list[Any]]:
        """By a line of its own."""
        values = [to_wire(told[name]) for name in self._names]
        return of_wire(lines.perform(self, self._numbered, values))

    def _row(self, values: Sequence[Any]) -> Any:
        if not self._converted:
            return self._shape._make(values)
        listed = list(values)
        for place, convert in self._converted:
            listed[place] = convert(listed[place])
        return self._shape._make(listed)

    def _made(self, told: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text, and the constants that the statement itself names, as they go over the wire; both for ever."""
        if self._text is None:
            compiled: Any = self._statement.compile(dialect=db.engine.dialect)
            made = compiled.construct_expanded_state(told)
            own = {name: value for name, value in made.parameters.items() if name not in told}
            plain = {name: value.value if isinstance(value, Enum) else value for name, value in own.items()}
            self._own = {name: to_wire(value) for name, value in plain.items()}
            self._text = made.statement
        return self._text, {**self._own, **told}

    @cached_property
    def _names(self) -> list[str]:
        """The parameters in the order of their first mention, which numbers them."""
        return list(dict.fromkeys(found[1] for found in _NAMED.finditer(self._text or "") if found[1]))

    @cached_property
    def _numbered(self) -> bytes:
        number = {name: f"${place}" for place, name in enumerate(self._names, 1)}
        return _NAMED.sub(lambda found: number[found[1]] if found[1] else "%", self._text or "").encode()

    @cached_property
    def _shape(self) -> Any:
        return namedtuple("_Row", self._statement.exported_columns.keys())

    @cached_property
    def _converted(self) -> list[tuple[int, Callable[[Any], Any]]]:
        """What the columns' types make of values: moments come in the connection's zone, and leave in UTC."""
        dialect = db.engine.dialect
        types = [column.type.dialect_impl(dialect) for column in self._statement.exported_columns]
        made = [kind.result_processor(dialect, None) for kind in types]
        return [(place, convert) for place, convert in enumerate(made) if convert is not None]


def _within(session: Any, text: str, told: dict[str, Any]) -> list[Any]:
    """In the transaction that is open: its connection is at hand, and sees what it has written."""
    driver: Any = session.connection().connection.driver_connection
    texts = {name: value.decode() if type(value) is bytes else value for name, value in told.items()}
    found: list[Any] = driver.execute(text, texts).fetchall()
    return found

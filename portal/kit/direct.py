"""Statements of the hottest requests, sent by the driver itself.

SQLAlchemy makes the text once; each execution through it cost more than the driver and the database together. Only
for statements that name their tenant themselves: the second lock (kit.tenancy) does not see them.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import ReturnsRows

from portal.kit.db import db


class Direct:
    """One statement with named parameters, built once for the life of the process."""

    def __init__(self, statement: ReturnsRows) -> None:
        self._statement: Any = statement
        self._text: str | None = None
        self._own: dict[str, Any] = {}

    def __call__(self, told: dict[str, Any]) -> Sequence[Any]:
        """Its rows, by column name. Part of the transaction that is open.

        Without one it is a transaction by itself: on PostgreSQL that saves its begin and its end, a round trip each.
        """
        session = db.session()
        if session.in_transaction():
            session.flush()  # as the session does before a read of its own
        if db.engine.dialect.name == "sqlite":
            rows: Sequence[Any] = session.connection().execute(self._statement, told).all()
            return rows
        if session.in_transaction():  # its connection is at hand: a second one would be a waste
            return self._send(session.connection().connection.driver_connection, told)
        pooled = db.engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            driver.autocommit = True
            return self._send(driver, told)
        finally:
            if driver.closed:
                pooled.invalidate()
            else:
                driver.autocommit = False
            pooled.close()

    def _send(self, driver: Any, told: dict[str, Any]) -> Sequence[Any]:
        text, values = self._made(told)
        for hear in db.engine.dispatch.before_cursor_execute:
            hear(None, None, text, values, None, False)  # who counts statements counts these too
        try:
            found = driver.execute(text, values).fetchall()
        except psycopg.Error as error:
            raise DBAPIError.instance(text, None, error, psycopg.Error, hide_parameters=True) from error
        return [self._row(row) for row in found]

    def _row(self, values: Sequence[Any]) -> Any:
        if not self._converted:
            return self._shape._make(values)
        listed = list(values)
        for place, convert in self._converted:
            listed[place] = convert(listed[place])
        return self._shape._make(listed)

    def _made(self, told: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text, and the constants that the statement itself names; both for ever."""
        if self._text is None:
            compiled: Any = self._statement.compile(dialect=db.engine.dialect)
            made = compiled.construct_expanded_state(told)
            own = {name: value for name, value in made.parameters.items() if name not in told}
            self._own = {name: value.value if isinstance(value, Enum) else value for name, value in own.items()}
            self._text = made.statement
        return self._text, {**self._own, **told}

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

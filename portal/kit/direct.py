"""Statements of the hottest requests, sent by the driver itself.

SQLAlchemy makes the text once; each execution through it cost more than the driver and the database together. Only
for statements that name their tenant themselves: the second lock (kit.tenancy) does not see them.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import ReturnsRows

from portal.kit.db import db
from portal.kit.unit_of_work import in_unit_of_work


class Direct:
    """One statement with named parameters, built once for the life of the process."""

    def __init__(self, statement: ReturnsRows) -> None:
        self._statement: Any = statement

    def __call__(self, told: dict[str, Any]) -> Sequence[Any]:
        """Its rows, by column name. Part of the unit of work that is open.

        Without one it is a transaction by itself: on PostgreSQL that saves its begin and its end, a round trip each.
        """
        if db.engine.dialect.name == "sqlite":
            rows: Sequence[Any] = db.session.connection().execute(self._statement, told).all()
            return rows
        if in_unit_of_work():
            return self._send(db.session.connection().connection.driver_connection, told)
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
        for hear in db.engine.dispatch.before_cursor_execute:
            hear(None, None, self._text, told, None, False)  # who counts statements counts these too
        try:
            found = driver.execute(self._text, told).fetchall()
        except psycopg.Error as error:
            raise DBAPIError.instance(self._text, None, error, psycopg.Error, hide_parameters=True) from error
        return [self._row(values) for values in found]

    def _row(self, values: Sequence[Any]) -> Any:
        if not self._converted:
            return self._shape._make(values)
        listed = list(values)
        for place, convert in self._converted:
            listed[place] = convert(listed[place])
        return self._shape._make(listed)

    @cached_property
    def _text(self) -> str:
        return str(self._statement.compile(dialect=db.engine.dialect))

    @cached_property
    def _shape(self) -> Any:
        return namedtuple("_Row", self._statement.selected_columns.keys())

    @cached_property
    def _converted(self) -> list[tuple[int, Callable[[Any], Any]]]:
        """What the columns' types make of values: moments come in the connection's zone, and leave in UTC."""
        dialect = db.engine.dialect
        made = [column.type.result_processor(dialect, None) for column in self._statement.selected_columns]
        return [(place, convert) for place, convert in enumerate(made) if convert is not None]

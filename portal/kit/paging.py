"""Keyset paging: a page is found by the last row of the one before, so page 1,000 costs what page 1 costs."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.engine import Row
from sqlalchemy.orm import InstrumentedAttribute

from portal.kit.db import db
from portal.kit.errors import NotFound

SortKey = tuple[ColumnElement[Any] | InstrumentedAttribute[Any], Literal["asc", "desc"]]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursors of the pages before and after (None at the ends)."""

    rows: Sequence[T]
    previous: str | None
    next: str | None


def encode(backwards: bool, values: Sequence[Any]) -> str:
    """An opaque cursor: direction and the sort values of the row at the edge."""
    plain = [{"at": v.isoformat()} if isinstance(v, datetime) else v for v in values]
    return base64.urlsafe_b64encode(json.dumps([backwards, plain]).encode()).decode().rstrip("=")


def decode(cursor: str, width: int) -> tuple[bool, list[Any]]:
    """Read a cursor back; a mangled one is NotFound, like any address that leads nowhere."""
    try:
        backwards, values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        out = [datetime.fromisoformat(v["at"]) if isinstance(v, dict) else v for v in values]
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise NotFound from error
    if len(out) != width:
        raise NotFound
    return bool(backwards), out


def check(cursor: str | None, kinds: Sequence[type]) -> None:
    """NotFound unless a cursor holds values of these kinds: anybody may send one, and the database must not choke."""
    if cursor is None:
        return
    _, values = decode(cursor[:1000], len(kinds))
    for value, kind in zip(values, kinds, strict=True):
        if type(value) is not kind or not _holds(value):
            raise NotFound


def _holds(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None
    if isinstance(value, int):
        return abs(value) < 2**63
    return "\0" not in value and len(value) <= 200


def _after(keys: Sequence[SortKey], values: Sequence[Any], backwards: bool) -> ColumnElement[bool]:
    """Rows beyond the edge: (a > x) or (a = x and b > y) …, each column in its own direction."""
    alternatives: list[ColumnElement[bool]] = []
    for i, (column, direction) in enumerate(keys):
        ascending = (direction == "asc") != backwards
        beyond = column > values[i] if ascending else column < values[i]
        alternatives.append(and_(*[k[0] == values[j] for j, k in enumerate(keys[:i])], beyond))
    return or_(*alternatives)


def fetch(
    statement: Select[*tuple[Any, ...]], keys: Sequence[SortKey], cursor: str | None, size: int
) -> Page[Row[Any]]:
    """One page of ``statement`` by ``keys`` (the last one unique, none of them NULL); one query, no count.

    The statement must select every key column; its label is how the edge values are found.
    """
    backwards, values = decode(cursor, len(keys)) if cursor else (False, [])
    if values:
        statement = statement.where(_after(keys, values, backwards))
    for column, direction in keys:
        statement = statement.order_by(column.asc() if (direction == "asc") != backwards else column.desc())
    rows = list(db.session.execute(statement.limit(size + 1)))
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    edges = [str(column.key) for column, _ in keys]
    has_previous = more if backwards else bool(values)
    has_next = bool(values) if backwards else more
    return Page(rows, _edge(rows, 0, edges, True, has_previous), _edge(rows, -1, edges, False, has_next))


def _edge(rows: Sequence[Row[Any]], at: int, keys: Sequence[str], backwards: bool, exists: bool) -> str | None:
    if not rows or not exists:
        return None
    return encode(backwards, [rows[at]._mapping[key] for key in keys])

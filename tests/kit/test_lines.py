"""Statements sent by the driver itself, and the lines they go by (PostgreSQL)."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import JSON, Boolean, Date, DateTime, String, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from portal.kit.db import BigId, db
from portal.kit.direct import Direct
from portal.kit.lines import Lines, array, generation
from portal.kit.unit_of_work import unit_of_work

AWKWARD = ["", "NULL", "null", "{}", "a,b", 'say "no"', "back\\slash", '\\"', "ä €", " ", "'; DROP", "%s %(a)s", "\n\t"]
PID = Direct(text("SELECT pg_backend_pid() AS pid").columns(pid=BigId))


@pytest.fixture(autouse=True)
def lines(app: Flask) -> Iterator[Lines]:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no lines")
    yield Lines.of(db.engine)
    Lines.of(db.engine).close()


@pytest.mark.parametrize("values", [AWKWARD, [*AWKWARD, None], ["a"], ['"'], [None], []])
def test_a_list_arrives_as_it_was_sent(values: list[str | None]) -> None:
    """Tried without the escapes: then PostgreSQL refuses, or reads other texts."""
    statement = text("SELECT to_json(CAST(:sent AS text[])) AS read").columns(read=JSON)
    assert Direct(statement)({"sent": array(values)})[0].read == values


def test_values_are_what_their_columns_say_alone_and_in_a_unit_of_work() -> None:
    at, day = datetime(2027, 1, 15, 12, 0, 0, 5, tzinfo=UTC), date(2027, 1, 15)
    told: dict[str, Any] = {"whole": 2**62, "text": "ä ' \\ %", "yes": True, "at": at, "day": day, "none": None}
    statement = Direct(
        text(
            "SELECT CAST(:whole AS bigint) AS whole, CAST(:text AS text) AS text, CAST(:yes AS boolean) AS yes,"
            " CAST(:at AS timestamptz) AS at, CAST(:day AS date) AS day, CAST(:none AS text) AS none,"
            " 7 % 4 AS rest, '{\"a\": [1]}'::jsonb AS json"
        ).columns(whole=BigId, text=String, yes=Boolean, at=DateTime(timezone=True), day=Date, none=String, rest=BigId,
                  json=JSON)
    )  # fmt: skip
    wanted = {**told, "rest": 3, "json": {"a": [1]}}
    assert statement(told)[0]._asdict() == wanted
    with unit_of_work():
        within = statement(told)[0]._asdict()
    assert {**within, "json": wanted["json"]} == wanted


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800"])
def test_text_that_no_column_keeps_is_refused_whole(wrong: str) -> None:
    """libpq would cut it off at the NUL, and two keys would be one."""
    with pytest.raises(DataError):
        Direct(text("SELECT CAST(:sent AS text) AS read").columns(read=String))({"sent": wrong})


def test_statements_by_one_line_keep_to_themselves(lines: Lines) -> None:
    """A refused row leaves nothing and keeps the line; any other error hangs it up, and the next is a new one."""
    insert = Direct(text("INSERT INTO heartbeats (process, kind, seen_at) VALUES (:p, :k, now()) RETURNING process")
                    .columns(process=String))  # fmt: skip
    assert insert({"p": "a", "k": "worker"})[0].process == "a"
    before = PID({})[0].pid
    with pytest.raises(IntegrityError):
        insert({"p": "a", "k": "worker"})
    assert PID({})[0].pid == before
    with pytest.raises(DataError):
        Direct(text("SELECT CAST(:sent AS bigint) AS read").columns(read=BigId))({"sent": "x"})
    assert PID({})[0].pid != before


def test_a_line_that_dies_under_a_statement_is_an_error_once() -> None:
    killed = Direct(text("SELECT pg_terminate_backend(pg_backend_pid()) AS done").columns(done=Boolean))
    with pytest.raises(OperationalError):
        killed({})
    assert PID({})[0].pid > 0


def test_an_engine_that_is_disposed_hangs_its_lines_up(lines: Lines) -> None:
    pid = PID({})[0].pid
    db.engine.dispose()
    count = Direct(text("SELECT count(*) AS n FROM pg_stat_activity WHERE pid = :pid").columns(n=BigId))
    for _ in range(200):  # a server takes a moment to see that a client has gone
        if count({"pid": pid})[0].n == 0:
            return
    pytest.fail("the connection is still there")


def test_a_new_line_begins_a_new_generation(lines: Lines) -> None:
    """What was kept of another server's rows is not taken for this one's."""
    PID({})
    before = generation()
    PID({})
    assert generation() == before
    lines.close()
    PID({})
    assert generation() > before

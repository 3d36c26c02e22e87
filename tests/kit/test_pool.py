"""What every connection to PostgreSQL is, and those that died while they rested."""

from contextlib import closing

import pytest
from flask import Flask
from sqlalchemy import String, text

from portal.kit import db as kit_db
from portal.kit.db import db


@pytest.mark.parametrize("direct", [False, True])
def test_a_connection_that_died_at_rest_is_replaced(app: Flask, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    """Tried with connections that never count as rested: then the next statement fails."""
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connections to lose")
    monkeypatch.setattr(kit_db, "RESTED", 0.0)
    with closing(db.engine.raw_connection()) as other:
        died = _own_number(direct)
        other.driver_connection.execute("SELECT pg_terminate_backend(%s)", (died,))
        assert _own_number(direct) != died


def _own_number(direct: bool) -> int:
    """The server's number of the connection that rests last: a line's, or the pool's."""
    from portal.kit.direct import Direct

    ask = text("SELECT pg_backend_pid() AS pid").columns(pid=kit_db.BigId)
    if direct:
        return int(Direct(ask)({})[0].pid)
    with closing(db.engine.raw_connection()) as raw:
        return int(raw.driver_connection.info.backend_pid)


@pytest.mark.parametrize("direct", [False, True])
def test_no_plan_is_compiled(app: Flask, direct: bool) -> None:
    """Tried without: on tables that were never analysed, finding out who is at the door took a second."""
    from portal.kit.direct import Direct

    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite compiles nothing")
    ask = "SELECT current_setting('jit') AS jit"
    found = Direct(text(ask).columns(jit=String))({})[0].jit if direct else db.session.scalar(text(ask))
    assert found == "off"

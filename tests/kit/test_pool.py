"""Connections that died while they rested (PostgreSQL)."""

import pytest
from flask import Flask
from sqlalchemy import text

from portal.kit import db as kit_db
from portal.kit.db import db


@pytest.mark.parametrize("direct", [False, True])
def test_a_connection_that_died_at_rest_is_replaced(app: Flask, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    """Tried with connections that never count as rested: then the next statement fails."""
    from portal.kit.direct import Direct

    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connections to lose")
    ask = "SELECT pg_backend_pid() AS pid"
    monkeypatch.setattr(kit_db, "RESTED", 0.0)
    resting = db.engine.raw_connection()
    died = resting.driver_connection.info.backend_pid
    with db.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": died})
    resting.close()  # last in, first out: the next one
    now = Direct(text(ask).columns(pid=kit_db.BigId))({})[0].pid if direct else db.session.scalar(text(ask))
    assert now != died

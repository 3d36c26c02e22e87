"""How migrations run, on SQLite (batch mode) and PostgreSQL.

SQLite rebuilds a table to change it; with foreign keys on, dropping the old one would delete its children. So they are
off while migrations run, and checked before the end.
"""

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from portal.kit.db import db

config = context.config


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        raise RuntimeError(f"migration leaves rows without their parents: {broken[:10]}")


def _migrate(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=not sqlite,
    )
    if sqlite:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.rollback()
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")
        connection = connection.execution_options(write=True)
    with context.begin_transaction():
        if not sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(7203411)"))
        context.run_migrations()
        if sqlite:
            _check_foreign_keys(connection)
    if sqlite:
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=ON")


if context.is_offline_mode():
    context.configure(
        url=current_app.config["SQLALCHEMY_DATABASE_URI"],
        target_metadata=db.metadata,
        literal_binds=True,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    given: Connection | None = config.attributes.get("connection")
    if given is not None:
        _migrate(given)
    else:
        with db.engine.connect() as opened:
            _migrate(opened)

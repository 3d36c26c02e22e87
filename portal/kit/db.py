"""The database: declarative base, column types, tenant mixin and what each engine is told when it connects."""

import sqlite3
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import psycopg
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, registry
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; a naive value is a bug and is refused. SQLite keeps it as naive UTC text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values; SQLite has no zones, so strip there."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")
JsonB = JSON().with_variant(postgresql.JSONB(), "postgresql")

Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Code = Annotated[str, mapped_column(String(64))]
StripeId = Annotated[str, mapped_column(String(255))]
Currency = Annotated[str, mapped_column(String(3))]


class Base(DeclarativeBase):
    """Common metadata and the Python-to-column map."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            datetime: UtcDateTime,
            int: BigId,
            str: String(255),
            dict[str, Any]: JsonB,
            list[Any]: JsonB,
        },
    )


db = SQLAlchemy(
    model_class=Base, session_options={"expire_on_commit": False}, engine_options={}, disable_autonaming=True
)

if TYPE_CHECKING:

    class Model(Base):
        """What mypy sees of Flask-SQLAlchemy's model base."""

        __abstract__ = True
        __table__: ClassVar[Table]
else:
    Model = db.Model


class TenantMixin:
    """A row that belongs to a vendor; the session adds ``vendor_id`` to every read of it (see kit.tenancy)."""

    @declared_attr
    def vendor_id(cls) -> Mapped[int]:  # noqa: N805 - SQLAlchemy's declared_attr
        """The vendor this row belongs to."""
        return mapped_column(BigId, ForeignKey("vendors.id"), nullable=False, index=True)


def one_of(column: str, values: type[Any] | tuple[str, ...]) -> CheckConstraint:
    """A CHECK that ``column`` is one of a StrEnum's values (or of the given ones)."""
    words = ", ".join(f"'{value!s}'" for value in values)
    return CheckConstraint(f"{column} IN ({words})", name=column)


def insert_once(model: type[Base], values: dict[str, Any], unique_on: list[str]) -> bool:
    """Insert unless a row with the same unique key stands there; True when this call inserted it.

    Never raises on the duplicate, so a transaction that meets one can go on (PostgreSQL would otherwise abort it).
    """
    db.session.flush()
    connection = db.session.connection()
    statement = _insert_once(model, connection.dialect.name, tuple(unique_on))
    # SQLAlchemy 2.1 keeps the count of an INSERT only when it is asked to.
    result: Any = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    return bool(result.rowcount == 1)


@cache
def _insert_once(model: type[Base], dialect: str, unique_on: tuple[str, ...]) -> Any:
    """Built once: building it anew was two fifths of the time that storing an event takes."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(model.__table__).on_conflict_do_nothing(index_elements=list(unique_on))  # type: ignore[arg-type]
    # Nobody asks for the new row's id: without this, every execution prepares a result for it.
    return statement.inline()


def engine_options(url: str, *, durable: bool) -> dict[str, Any]:
    """Options for ``create_engine``: SQLite transactions are ours (see _begin), PostgreSQL gets one pool a process."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 15, "isolation_level": None}, "execution_options": {"durable": durable}}
    # Last in, first out: few connections stay warm, with their prepared statements.
    return {"pool_use_lifo": True, "pool_size": 5, "max_overflow": 15, "connect_args": {"connect_timeout": 5}}


#: Seconds of rest after which a connection is asked whether it still lives. Asking before each use (pool_pre_ping)
#: took a quarter of a program's request. A database that comes back quicker is met with an error once a connection.
RESTED = 1.0


@event.listens_for(Pool, "checkin")
def _rests(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["rests_since"] = time.monotonic()


@event.listens_for(Pool, "checkout")
def _still_lives(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    since = entry.info.get("rests_since")
    if since is None or time.monotonic() - since < RESTED or not isinstance(connection, psycopg.Connection):
        return
    try:
        connection.autocommit = True
        connection.execute("SELECT 1")
        connection.autocommit = False
    except psycopg.OperationalError as error:
        raise InvalidatePoolError from error


@event.listens_for(Engine, "connect")
def _connect(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        cursor = connection.cursor()
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", "busy_timeout=15000", f"synchronous={_synchronous}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    elif isinstance(connection, psycopg.Connection):
        # Compiling a plan pays for reports. Before tables are analysed, PostgreSQL takes looking up a row for one: it
        # then compiled for a second, at every execution, what takes a millisecond.
        connection.autocommit = True
        connection.execute("SET jit = off")
        connection.autocommit = False


_synchronous = "FULL"


def relax_durability() -> None:
    """For tests alone: SQLite may lose the last commits when the machine (not the process) dies."""
    global _synchronous
    _synchronous = "OFF"


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    """SQLite: a transaction that will write takes its lock at once; a read that turns into a write would fail."""
    if connection.dialect.name == "sqlite":
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

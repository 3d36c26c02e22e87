"""The only place that commits. Stands in doors, flows and jobs; rooms flush."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from portal.kit.db import db

_ACTIVE = "unit_of_work"
_AFTER = "after_commit"


class UnitOfWorkError(RuntimeError):
    """A rule of transactions was broken; always a bug, never the user's fault."""


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """One write transaction: everything in it commits together, once, or nothing does.

    Refuses nesting. What was only read before is ended first, so that the locks taken here see the present. On SQLite
    the write lock is taken at once. Objects stay readable after the commit.
    """
    session = db.session()
    if session.info.get(_ACTIVE):
        raise UnitOfWorkError("units of work do not nest")
    session.rollback()
    session.connection(execution_options={"write": True})
    session.info[_ACTIVE] = True
    try:
        yield session
        session.commit()
        callbacks: list[Callable[[], None]] = session.info.get(_AFTER, [])
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop(_ACTIVE, None)
        session.info.pop(_AFTER, None)
    for callback in callbacks:
        callback()


def in_unit_of_work() -> bool:
    """Is a unit of work open on this session?"""
    return db.session.registry.has() and bool(db.session().info.get(_ACTIVE))


def after_commit(callback: Callable[[], None]) -> None:
    """Run ``callback`` after this unit of work has committed: a hint to others, never part of the effect."""
    callbacks = db.session().info.setdefault(_AFTER, [])
    if callback not in callbacks:
        callbacks.append(callback)


def end_reading() -> None:
    """Close the read transaction, so that no lock or snapshot is held across a network call.

    What was loaded stays readable (a rollback would expire it); a pending write is a bug and is refused.
    """
    if in_unit_of_work():
        raise UnitOfWorkError("a unit of work is open")
    db.session().commit()


def assert_no_transaction() -> None:
    """Gateways call this first: nobody waits for the network with a transaction open."""
    if in_unit_of_work():
        raise UnitOfWorkError("a gateway was called inside a unit of work")
    end_reading()


@event.listens_for(Session, "before_flush")
def _only_in_unit_of_work(session: Session, *_: Any) -> None:
    if not session.info.get(_ACTIVE) and (session.new or session.dirty or session.deleted):
        raise UnitOfWorkError("a write outside a unit of work")

"""Reads that a page can do without: when one fails, its place says "unavailable" and the rest stands (BIL-5)."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from portal.kit import log
from portal.kit.db import db

T = TypeVar("T")
logger = log.get(__name__)


def or_none(read: Callable[[], T]) -> T | None:
    """What ``read`` gives, or None when the database refused it; the failure is logged, the session usable again."""
    try:
        return read()
    except SQLAlchemyError:
        logger.exception("page.part_unavailable", part=getattr(read, "__qualname__", ""))
        db.session.rollback()
        return None

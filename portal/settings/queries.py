"""The settings as they are now, kept for a few seconds by each process."""

import time

from sqlalchemy import select

from portal.kit.db import db
from portal.kit.unit_of_work import in_unit_of_work
from portal.settings.models import Setting
from portal.settings.rules import OperatorSettings, build

#: Seconds (wall) for which another process may still show what was changed here.
FRESH_FOR = 5.0
_kept: tuple[float, OperatorSettings] | None = None


def current() -> OperatorSettings:
    """All settings: at most one query, none while the kept answer is fresh.

    Inside a unit of work nothing is kept, since what it sees may yet be rolled back.
    """
    global _kept
    if _kept and time.monotonic() - _kept[0] < FRESH_FOR:
        return _kept[1]
    rows = db.session.execute(select(Setting.key, Setting.value))
    settings = build({row.key: row.value for row in rows})
    if not in_unit_of_work():
        _kept = (time.monotonic(), settings)
    return settings


def forget() -> None:
    """Drop the kept answer of this process: the next read asks the database."""
    global _kept
    _kept = None

"""Two clocks. ``business()`` rules trials, periods and reminders and can be moved in demos and tests;
``wall()`` rules leases, retries, cookies, signed links and webhook signatures and never moves.

The offset (seconds, as text) lives in a file that the portal and its Stripe sandbox share; production refuses it.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_offset_file: Path | None = None
_seen: tuple[int, int] | None = None
_offset = timedelta()
#: A file written twice within one tick of the file system's clock keeps its stamp, so a fresh one is read again.
_FRESH_NS = 50_000_000


def configure(offset_file: str | os.PathLike[str] | None) -> None:
    """Name the offset file, or None for a clock that cannot be moved (production)."""
    global _offset_file, _seen
    _offset_file = Path(offset_file) if offset_file else None
    _seen = None


def wall() -> datetime:
    """The real time, aware, UTC."""
    return datetime.now(UTC)


def offset() -> timedelta:
    """How far business time is ahead of the wall; zero where no file is named or it does not exist yet."""
    global _seen, _offset
    if _offset_file is None:
        return timedelta()
    try:
        found = _offset_file.stat()
    except FileNotFoundError:
        return timedelta()
    stamp = (found.st_mtime_ns, found.st_ino)
    if stamp != _seen or time.time_ns() - found.st_mtime_ns < _FRESH_NS:
        _seen, _offset = stamp, timedelta(seconds=float(_offset_file.read_text() or 0))
    return _offset


def business() -> datetime:
    """The time by which vendors' trials and periods run: wall plus offset, aware, UTC."""
    return wall() + offset()


def move_to(moment: datetime) -> None:
    """Set the offset so that business time is ``moment`` now. Only ever forwards; atomic for readers.

    Raises RuntimeError where the clock cannot be moved, ValueError on a step back.
    """
    if _offset_file is None:
        raise RuntimeError("this clock cannot be moved: no offset file is configured")
    if moment < business():
        raise ValueError("business time never runs backwards")
    beside = _offset_file.with_suffix(".new")
    beside.write_text(str((moment - wall()).total_seconds()))
    beside.replace(_offset_file)

"""The sandbox's business clock: the wall clock moved by an offset that the portal shares through a file."""

import os
import time
from pathlib import Path


class Clock:
    """Business time = wall time + offset. The file holds the offset in seconds as text; a missing file is 0.

    Without a file the offset is kept here alone (a sandbox used on its own).
    """

    def __init__(self, offset_file: str | None) -> None:
        self._file = Path(offset_file) if offset_file else None
        self._stamp: tuple[int, int] | None = None
        self._offset = 0.0

    def offset(self) -> float:
        """Seconds between wall and business time; the file is read again only when it changed."""
        if self._file is None:
            return self._offset
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return 0.0
        stamp = (found.st_mtime_ns, found.st_ino)
        # A file written twice within one tick of the file system's clock keeps its stamp, so a fresh one is read again.
        if stamp != self._stamp or time.time_ns() - found.st_mtime_ns < 50_000_000:
            self._offset, self._stamp = float(self._file.read_text().strip() or 0), stamp
        return self._offset

    def now(self) -> int:
        """Business time in whole seconds, as Stripe counts."""
        return int(time.time() + self.offset())

    def advance(self, seconds: float) -> None:
        """Move the business clock forward; with a file, the file is replaced in one step."""
        target = self.offset() + seconds
        if self._file is None:
            self._offset = target
            return
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        part.write_text(repr(target))
        part.replace(self._file)

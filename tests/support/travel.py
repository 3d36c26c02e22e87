"""Moving business time in tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from portal.kit import clock

#: So little after a test's beginning, business time is what it was in the others.
A_MOMENT = timedelta(minutes=1)


class Travel:
    """Business time starts at noon UTC on 15 January 2027 in every test and moves only when a test says so.

    Between moves it runs on with the wall clock, as in life.
    """

    START = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)

    def __init__(self, file: Path) -> None:
        self.file = file

    def to_the_start(self) -> "Travel":
        """As each test begins."""
        self.to(self.START)
        return self

    def to(self, moment: datetime) -> datetime:
        """Set business time."""
        self.file.write_text(str((moment - clock.wall()).total_seconds()))
        clock.configure(self.file)
        return moment

    def on(self, **delta: float) -> datetime:
        """Move on by days=…, hours=… and so on; gives the new time."""
        return self.to(clock.business() + timedelta(**delta))

    def is_at_the_start(self) -> bool:
        """Has it not moved since the test began?"""
        return clock.business() - self.START < A_MOMENT

    @property
    def now(self) -> datetime:
        """Business time."""
        return clock.business()

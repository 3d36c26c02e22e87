"""Do the files that are there agree with the bytes that were counted? Compared for every vendor, and put right."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select

from portal.entitlements import files
from portal.gateways import storage
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.usage import service as usage
from portal.usage.models import UsageCounter, UsageEvent
from portal.usage.rules import EPOCH

#: A file is counted a moment before it is stored: what is this young may still be on its way.
ON_ITS_WAY = timedelta(hours=1)
PREFIX, SUFFIX = "file:", ":back"


@dataclass(slots=True)
class Book:
    """One vendor's files: bytes as ``counted`` and as ``stored``; what is there uncounted, what is counted and gone."""

    vendor_id: int
    counted: int = 0
    stored: int = 0
    uncounted: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Nothing to put right."""
        return self.counted == self.stored and not self.uncounted and not self.gone


def books() -> list[Book]:
    """Every vendor with files or counted bytes, by id. Asks the store; what changed within the hour is left out of the
    lists, since it may be on its way.
    """
    lately = clock.wall() - ON_ITS_WAY
    stored: dict[int, dict[str, tuple[int, bool]]] = defaultdict(dict)
    for key, size, written_at in storage.listing():
        if vendor_id := files.owner_of(key):
            stored[vendor_id][key] = (size, written_at > lately)
    with tenancy.unscoped("storage verify looks at every vendor's files"):
        counters = _counters()
        counted = _counted()
    end_reading()
    return [
        _book(vendor_id, counters.get(vendor_id, 0), stored[vendor_id], counted[vendor_id])
        for vendor_id in sorted({*counters, *stored, *counted})
    ]


def _book(vendor_id: int, sum_: int, stored: dict[str, tuple[int, bool]], counted: dict[str, bool]) -> Book:
    book = Book(vendor_id, sum_, sum(size for size, _ in stored.values()))
    book.uncounted = {key: size for key, (size, young) in stored.items() if key not in counted and not young}
    book.gone = sorted(key for key, young in counted.items() if key not in stored and not young)
    return book


def _counters() -> dict[int, int]:
    statement = select(UsageCounter.vendor_id, UsageCounter.used).where(
        UsageCounter.metric == files.METRIC, UsageCounter.period_start == EPOCH, UsageCounter.used != 0
    )
    return {row.vendor_id: row.used for row in db.session.execute(statement)}


def _counted() -> dict[int, dict[str, bool]]:
    """For each vendor the keys that count now, and whether they were counted within the hour."""
    plain = func.replace(UsageEvent.key, SUFFIX, "")
    statement = (
        select(UsageEvent.vendor_id, plain.label("key"), func.max(UsageEvent.at).label("at"))
        .where(UsageEvent.metric == files.METRIC, UsageEvent.key.startswith(PREFIX))
        .group_by(UsageEvent.vendor_id, plain)
        .having(func.sum(UsageEvent.quantity) > 0)
    )
    lately = clock.business() - ON_ITS_WAY
    found: dict[int, dict[str, bool]] = defaultdict(dict)
    for row in db.session.execute(statement):
        found[row.vendor_id][row.key.removeprefix(PREFIX)] = row.at > lately
    return found


def put_right(book: Book, *, now: datetime) -> None:
    """Count what is there uncounted (never refused: it is there), and give back what is gone. Can be repeated.

    A file whose bytes were given back belongs to nobody: the store kept it after saying that it failed. It is deleted.
    """
    for key, size in book.uncounted.items():
        with tenancy.scoped(book.vendor_id), unit_of_work():
            new = usage.record(book.vendor_id, files.METRIC, size, key=PREFIX + key, at=now, period_start=EPOCH)
        if not new:
            storage.delete(key)
    for key in book.gone:
        with tenancy.scoped(book.vendor_id), unit_of_work():
            files.give_back(book.vendor_id, key, now=now)

"""How many requests a program may send: counted per key and minute in Redis, in this process while Redis is away.

A process takes its share in small lots, so that most requests ask nobody; all processes together let through at most
one lot each more than the limit. Minutes are the wall's.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from portal.kit.errors import TooMany
from portal.kit.text import N_

SECONDS = 60
#: Requests that one question to Redis answers: a fiftieth of the limit, between these two, and never more than a tenth.
LOT, LARGEST_LOT = 20, 200
#: Keys that a process counts at a time.
KEPT = 10_000


@dataclass(slots=True)
class Count:
    """One key's minute in this process: what was taken from Redis, what of it is used, what the others have."""

    window: int
    taken: int = 0
    used: int = 0
    elsewhere: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What the answer's headers say; ``reset`` in seconds."""

    limit: int
    remaining: int
    reset: int


class Rates:
    """The counts of one process. ``redis`` None counts here alone."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def hit(self, name: str, limit: int, *, at: float | None = None) -> Standing:
        """Count one request of ``name``. TooMany, with the seconds to wait, above ``limit`` a minute."""
        moment = time.time() if at is None else at
        count = self._count(name, int(moment // SECONDS))
        reset = SECONDS - int(moment % SECONDS)
        if count.used >= count.taken and not count.full:
            self._take(name, count, limit)
        if count.used >= count.taken:
            raise TooMany(N_("Too many requests. Wait a little, then go on."), retry_after=reset)
        count.used += 1
        return Standing(limit, max(0, limit - count.elsewhere - count.used), reset)

    def _count(self, name: str, window: int) -> Count:
        count = self._counts.get(name)
        if count is None or count.window != window:
            count = self._counts[name] = Count(window)
            while len(self._counts) > KEPT:
                self._counts.popitem(last=False)
        self._counts.move_to_end(name)
        return count

    def _take(self, name: str, count: Count, limit: int) -> None:
        lot = max(1, min(limit // 10, LARGEST_LOT, max(LOT, limit // 50)))
        before = self._asked(f"portal:rate:{name}:{count.window}", lot, count)
        given = max(0, min(lot, limit - before))
        count.elsewhere = max(0, before - count.taken)
        count.taken += given
        count.full = given < lot

    def _asked(self, key: str, lot: int, count: Count) -> int:
        """How much all processes took before this lot."""
        if self._redis is None:
            return count.taken
        try:
            both = self._redis.pipeline(transaction=False)
            both.incrby(key, lot)
            both.expire(key, 2 * SECONDS)
            return int(both.execute()[0]) - lot
        except RedisError:
            return count.taken

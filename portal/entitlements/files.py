"""Files of vendors: stored and deleted through here alone, so that their bytes count against the plan's storage.

A file's key is ``<kind>/<vendor's id>/<name>``: from it alone can be told whose it is. Its bytes are counted before it
is stored, and given back after it is deleted or when it could not be stored. What dies in between is found and put
right by ``flask storage verify``.
"""

import re
import uuid
from datetime import datetime

from sqlalchemy import select

from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.gateways import storage
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import Forbidden
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.usage import service as usage
from portal.usage.models import UsageEvent
from portal.usage.rules import EPOCH

METRIC = Metric.STORAGE_GB
FULL = N_("There is not enough storage left for this file.")
_OURS = re.compile(r"[a-z-]+/([1-9][0-9]{0,17})/[^/]+")


def keep(
    vendor_id: int, kind: str, data: bytes, ending: str, *, field: str, now: datetime, may_refuse: bool = True
) -> str:
    """Store a vendor's file privately; gives its key. Opens its own transactions, with the network between them.

    LimitReached, with a message at ``field``, when the storage is full. With ``may_refuse`` False the bytes are
    counted whatever the limit says: for what a vendor must be able to hand in, such as the proof that it has paid.
    Unavailable when the store does not answer: then nothing is counted.
    """
    key = f"{kind}/{vendor_id}/{uuid.uuid4().hex}.{ending}"
    with tenancy.scoped(vendor_id), unit_of_work():
        try:
            _count(vendor_id, key, len(data), now, may_refuse=may_refuse)
        except Forbidden as full:
            full.fields = {field: FULL, **full.fields}
            raise
    try:
        storage.put(key, data)
    except BaseException:
        with tenancy.scoped(vendor_id), unit_of_work():
            give_back(vendor_id, key, now=now)
        raise
    return key


def forget(key: str, *, now: datetime) -> None:
    """Delete a vendor's file and give its bytes back, once, however often this is called."""
    storage.delete(key)
    if vendor_id := owner_of(key):
        with tenancy.scoped(vendor_id), unit_of_work():
            give_back(vendor_id, key, now=now)


def _count(vendor_id: int, key: str, size: int, now: datetime, *, may_refuse: bool) -> None:
    if may_refuse:
        gate.admit(vendor_id, METRIC, size, key=f"file:{key}", now=now)
    else:
        usage.record(vendor_id, METRIC, size, key=f"file:{key}", at=now, period_start=EPOCH)


def give_back(vendor_id: int, key: str, *, now: datetime) -> None:
    """Count a file no longer, with as many bytes as were counted for it. Inside a unit of work; the second time, and
    for a file that was never counted, nothing happens.
    """
    event = f"file:{key}"
    size = select(UsageEvent.quantity).where(UsageEvent.vendor_id == vendor_id, UsageEvent.key == event)
    if counted := db.session.scalar(size):
        gate.give_back(vendor_id, METRIC, counted, key=event, now=now)


def owner_of(key: str) -> int | None:
    """Whose file it is; None for a file of the operator's own."""
    found = _OURS.fullmatch(key)
    return int(found[1]) if found else None

"""Reading rights. Callers have set the tenancy scope."""

from datetime import datetime

from portal.entitlements.rules import Frame, Rights
from portal.entitlements.state import state


def rights(vendor_id: int, now: datetime) -> Rights:
    """What the vendor may do at ``now`` (business time), in one query; version 0 and nothing where none was granted."""
    return state(vendor_id, now).rights


def frame(vendor_id: int, now: datetime) -> Frame:
    """What the gate knows of the vendor's subscription; one query."""
    return state(vendor_id, now, metrics=()).frame

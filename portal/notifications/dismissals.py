"""What a person does not want to see again: upsells and hints, each for the period that its name carries."""

from datetime import datetime

from sqlalchemy import select

from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.notifications.models import Dismissal

#: The longest name of what is dismissed.
LONGEST = 120


def dismiss(vendor_id: int, user_id: int, what: str, *, now: datetime) -> bool:
    """Remember it for this person at this vendor, inside the caller's unit of work; False when it was remembered.

    ``what`` names the thing and, where it may come back, the period: ``upsell:orders:2027-01-15``. Raises Invalid
    (field ``what``) for an empty or overlong name, or one with control characters.
    """
    if not 1 <= len(what) <= LONGEST or not what.isprintable():
        raise Invalid(fields={"what": N_("There is nothing of that name.")})
    values = {"vendor_id": vendor_id, "user_id": user_id, "what": what, "at": now}
    return insert_once(Dismissal, values, ["vendor_id", "user_id", "what"])


def of(vendor_id: int, user_id: int) -> set[str]:
    """Everything this person has dismissed at this vendor; one query."""
    mine = select(Dismissal.what).where(Dismissal.vendor_id == vendor_id, Dismissal.user_id == user_id)
    return set(db.session.scalars(mine))

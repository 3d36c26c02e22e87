"""Vendors for tests of rooms that know them only by id."""

from portal.identity.models import Vendor
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work


def make_vendor(code: str = "kilim-house") -> int:
    """A vendor with nobody in it; gives its id."""
    with unit_of_work() as session:
        vendor = Vendor(code=code, name=code.replace("-", " ").title(), created_at=clock.business())
        session.add(vendor)
        session.flush()
        return vendor.id

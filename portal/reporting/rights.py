"""Why a vendor may do what it may, with the names of its add-ons: the rights room knows them only by number."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.addons.models import VendorAddon
from portal.catalog.models import AddonProduct
from portal.entitlements.explain import Part, Right, explain
from portal.entitlements.rules import Source
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class AddonName:
    """An add-on of the vendor; ``name`` is a message id."""

    name: str
    variant: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Rights:
    """Every limit and feature with its reasons, and the add-ons that they refer to, by their ``ref``."""

    rights: list[Right]
    addons: dict[str, AddonName]


def read(vendor_id: int, now: datetime) -> Rights:
    """In two queries at most, however many there are."""
    found = explain(vendor_id, now)
    refs = {part.ref for right in found for part in right.parts if part.source == Source.ADDON}
    return Rights(found, _names(vendor_id, refs) if refs else {})


def _names(vendor_id: int, refs: set[str]) -> dict[str, AddonName]:
    ids = {int(number): ref for ref in refs if (number := ref.rpartition(":")[2]).isdigit()}
    rows = db.session.execute(
        select(VendorAddon.id, AddonProduct.name, VendorAddon.variant, VendorAddon.quantity)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .where(VendorAddon.vendor_id == vendor_id, VendorAddon.id.in_(ids))
    )
    return {ids[row.id]: AddonName(row.name, row.variant or "", row.quantity) for row in rows}


def name_of(part: Part, addons: dict[str, AddonName]) -> AddonName | None:
    """The add-on that a part comes from, if it does and is known."""
    return addons.get(part.ref) if part.source == Source.ADDON else None

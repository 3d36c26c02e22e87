"""Reads of who is who."""

from dataclasses import dataclass

from sqlalchemy import select

from portal.identity.models import Membership, User, Vendor
from portal.identity.rules import Role
from portal.kit import tenancy
from portal.kit.db import db


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be written to; ``locale`` is their language."""

    user_id: int
    email: str
    name: str
    locale: str


@dataclass(frozen=True, slots=True)
class VendorRef:
    """Enough of a vendor to name it and to link to it."""

    id: int
    code: str
    name: str


def vendors_of(user_id: int) -> list[VendorRef]:
    """Every vendor that a person belongs to, by name."""
    with tenancy.unscoped("a person's own vendors"):
        rows = db.session.execute(
            select(Vendor.id, Vendor.code, Vendor.name)
            .join(Membership, Membership.vendor_id == Vendor.id)
            .where(Membership.user_id == user_id)
            .order_by(Vendor.name, Vendor.id)
        )
    return [VendorRef(row.id, row.code, row.name) for row in rows]


def vendor(vendor_id: int) -> Vendor | None:
    """The vendor's row."""
    return db.session.get(Vendor, vendor_id)


def vendor_by_customer(stripe_customer_id: str) -> VendorRef | None:
    """Whose Stripe customer this is."""
    row = db.session.execute(
        select(Vendor.id, Vendor.code, Vendor.name).where(Vendor.stripe_customer_id == stripe_customer_id)
    ).first()
    return VendorRef(row.id, row.code, row.name) if row else None


def owner(vendor_id: int) -> Person:
    """The vendor's owner: mails about money go there. Every vendor has exactly one."""
    row = db.session.execute(
        select(User.id, User.email, User.name, User.locale)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.vendor_id == vendor_id, Membership.role == Role.OWNER)
    ).one()
    return Person(row.id, row.email, row.name, row.locale)

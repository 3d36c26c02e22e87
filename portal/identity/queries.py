"""Reads of who is who."""

from dataclasses import dataclass

from sqlalchemy import func, select

from portal.identity.models import Membership, User, UserSession, Vendor
from portal.identity.rules import Role
from portal.kit import clock, tenancy
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
    """Enough of a vendor to name it and to link to it; ``role`` is what the person in question is to it."""

    id: int
    code: str
    name: str
    role: Role | None = None


def vendors_of(user_id: int) -> list[VendorRef]:
    """Every vendor that a person belongs to, by name, with their role there."""
    with tenancy.unscoped("a person's own vendors"):
        rows = db.session.execute(
            select(Vendor.id, Vendor.code, Vendor.name, Membership.role)
            .join(Membership, Membership.vendor_id == Vendor.id)
            .where(Membership.user_id == user_id)
            .order_by(Vendor.name, Vendor.id)
        )
    return [VendorRef(row.id, row.code, row.name, Role(row.role)) for row in rows]


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


def vendors_with_customer() -> list[int]:
    """Every vendor that Stripe knows, by id."""
    return list(db.session.scalars(select(Vendor.id).where(Vendor.stripe_customer_id.is_not(None)).order_by(Vendor.id)))


def user(user_id: int) -> User | None:
    """A person's row."""
    return db.session.get(User, user_id)


def user_by_key(email_key: str) -> User | None:
    """The person whose address compares as this (rules.email_key)."""
    return db.session.scalar(select(User).where(User.email_key == email_key))


def open_sessions(user_id: int) -> int:
    """In how many browsers a person is signed in."""
    return int(
        db.session.scalar(
            select(func.count())
            .select_from(UserSession)
            .where(
                UserSession.user_id == user_id,
                UserSession.revoked_at.is_(None),
                UserSession.expires_at > clock.wall(),
            )
        )
        or 0
    )


def owned_by(user_id: int) -> list[int]:
    """The vendors that a person owns."""
    with tenancy.unscoped("a person's own vendors"):
        return list(
            db.session.scalars(
                select(Membership.vendor_id).where(Membership.user_id == user_id, Membership.role == Role.OWNER)
            )
        )

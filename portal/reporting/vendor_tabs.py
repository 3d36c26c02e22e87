"""What stands behind the tabs of a vendor in the back office: how many rows each has, and those that no room lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, select

from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus, Origin
from portal.audit.models import AuditEntry
from portal.billing.models import Invoice
from portal.billing.rules import InvoiceStatus
from portal.catalog.models import AddonPrice, AddonProduct
from portal.catalog.rules import Cycle
from portal.checkout.models import Purchase
from portal.identity.models import Invitation, Membership, User, Vendor
from portal.identity.rules import Role
from portal.kit.db import Model, db
from portal.kit.money import Money
from portal.support.models import SupportTicket

#: A count is a subquery on the vendor of the outer statement, so that all of them cost no statement of their own.
Count = ScalarSelect[Any]


def rows_of(model: type[Model], *conditions: ColumnElement[bool]) -> Count:
    """How many rows of a tenant's table the vendor of the outer statement has."""
    mine = select(func.count()).select_from(model).where(model.vendor_id == Vendor.id, *conditions)  # type: ignore[attr-defined]
    return mine.correlate(Vendor).scalar_subquery()


INVOICES = rows_of(Invoice, Invoice.status != InvoiceStatus.DRAFT)
ADDONS = rows_of(VendorAddon, VendorAddon.status != AddonStatus.CANCELLED)
TEAM = rows_of(Membership)
PURCHASES = rows_of(Purchase)
TICKETS = rows_of(SupportTicket)
ACTS = rows_of(AuditEntry)


@dataclass(frozen=True, slots=True)
class AddonRow:
    """An add-on of the vendor; ``amount`` is for all pieces and a whole cycle, None where nothing is paid for it."""

    id: int
    name: str
    variant: str
    origin: Origin
    status: AddonStatus
    quantity: int
    config: dict[str, Any]
    amount: Money | None
    cycle: Cycle | None
    provider: str
    next_at: datetime | None
    ends_at: datetime | None
    since: datetime


def addons(vendor_id: int) -> list[AddonRow]:
    """Every add-on that the vendor has or had: those that live first, then the newest; one query."""
    row = VendorAddon
    statement = (
        select(
            row.id, AddonProduct.name, row.variant, row.origin, row.status, row.quantity, row.config,
            AddonPrice.amount_minor, AddonPrice.currency, AddonPrice.cycle, row.provider, row.period_end, row.ends_at,
            row.created_at,
        )
        .join(AddonProduct, AddonProduct.id == row.addon_id)
        .outerjoin(AddonPrice, AddonPrice.id == row.price_id)
        .where(row.vendor_id == vendor_id)
        .order_by(row.status == AddonStatus.CANCELLED, row.created_at.desc(), row.id.desc())
        .limit(100)
    )  # fmt: skip
    return [
        AddonRow(
            r.id, r.name, r.variant, Origin(r.origin), AddonStatus(r.status), r.quantity, r.config,
            Money(r.amount_minor * r.quantity, r.currency) if r.amount_minor is not None else None,
            Cycle(r.cycle) if r.cycle else None, r.provider, r.period_end, r.ends_at, r.created_at,
        )
        for r in db.session.execute(statement)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TeamRow:
    """Somebody of the team, or (``invited``) somebody who was asked to join and has not answered."""

    name: str
    email: str
    role: Role
    since: datetime
    invited: bool
    until: datetime | None = None


def team(vendor_id: int, now: datetime) -> list[TeamRow]:
    """The people of a vendor, owner first, then who is invited; two queries."""
    return [*_members(vendor_id), *_invited(vendor_id, now)]


def _members(vendor_id: int) -> Iterator[TeamRow]:
    statement = (
        select(User.name, User.email, Membership.role, Membership.created_at)
        .join(User, User.id == Membership.user_id)
        .where(Membership.vendor_id == vendor_id)
        .order_by(Membership.role != Role.OWNER, Membership.id)
    )
    return (TeamRow(r.name, r.email, Role(r.role), r.created_at, False) for r in db.session.execute(statement))


def _invited(vendor_id: int, now: datetime) -> Iterator[TeamRow]:
    statement = (
        select(Invitation.email, Invitation.role, Invitation.created_at, Invitation.expires_at)
        .where(Invitation.vendor_id == vendor_id, Invitation.ended_at.is_(None), Invitation.expires_at > now)
        .order_by(Invitation.id)
    )
    found = db.session.execute(statement)
    return (TeamRow("", r.email, Role(r.role), r.created_at, True, r.expires_at) for r in found)

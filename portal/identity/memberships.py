"""Who belongs to which vendor, as what: the rows. Callers hold the vendor's lock, so that two never decide at once."""

from datetime import datetime

from sqlalchemy import select, update

from portal.identity.models import Membership, RefreshToken, User
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import NotFound


def add(vendor_id: int, user_id: int, role: Role, *, now: datetime) -> Membership:
    """Somebody joins. The caller knows that they are not in the team yet."""
    membership = Membership(vendor_id=vendor_id, user_id=user_id, role=role, created_at=now)
    db.session.add(membership)
    db.session.flush()
    return membership


def of(vendor_id: int, user_id: int) -> Membership | None:
    """A person's membership of a vendor under a lock, read anew."""
    return db.session.scalar(
        select(Membership)
        .where(Membership.vendor_id == vendor_id, Membership.user_id == user_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def locked(member_id: int, vendor_id: int) -> tuple[Membership, User]:
    """A membership of the vendor with its person, read anew; NotFound for another vendor's."""
    row = db.session.execute(
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.id == member_id, Membership.vendor_id == vendor_id)
        .with_for_update(of=Membership)
        .execution_options(populate_existing=True)
    ).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


def set_role(membership: Membership, role: Role) -> None:
    """Another role, from the person's next request on."""
    membership.role = role
    db.session.flush()


def hand_over(owner: Membership, heir: Membership) -> None:
    """The heir owns the vendor, the owner becomes a manager. Both in one transaction: nobody ever sees two or none."""
    owner.role = Role.MANAGER
    db.session.flush()  # the index of one owner looks at every statement, so the old one goes first
    heir.role = Role.OWNER
    db.session.flush()


def remove(membership: Membership) -> None:
    """Out of the team: pages are closed at the next request, and the person's tokens for this vendor end."""
    db.session.execute(
        update(RefreshToken)
        .where(
            RefreshToken.user_id == membership.user_id,
            RefreshToken.vendor_id == membership.vendor_id,
            RefreshToken.revoked_at.is_(None),
        )
        .values(revoked_at=clock.wall())
        .execution_options(synchronize_session=False)
    )
    db.session.delete(membership)
    db.session.flush()

"""Reads of mailboxes and of the packages that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select

from portal.addons.models import Domain, Mailbox, VendorAddon
from portal.addons.provisioning_rules import granted
from portal.addons.rules import AddonStatus, DomainState, MailboxState
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Metric
from portal.kit import tenancy
from portal.kit.db import db

#: More than one vendor's page would show.
MOST = 500


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox as its page shows it; ``changing``: the host does not have its newest password yet."""

    id: int
    address: str
    name: str
    state: MailboxState
    changing: bool
    error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MailDomain:
    """A domain that there is a package for: mailboxes can be made when it is ``ready``, which takes a package that is
    ``set_up`` and a name that works.
    """

    domain_id: int
    name: str
    shown: str
    set_up: bool
    ready: bool
    addon_id: int


def of_vendor(vendor_id: int) -> list[MailboxRow]:
    """All that are not gone, by address. One statement."""
    rows = db.session.execute(
        select(
            Mailbox.id, Mailbox.address, Mailbox.name, Mailbox.state, Mailbox.password.is_not(None).label("changing"),
            Mailbox.error, Mailbox.created_at,
        )
        .where(Mailbox.vendor_id == vendor_id, Mailbox.removed_at.is_(None))
        .order_by(Mailbox.address)
        .limit(MOST)
    )  # fmt: skip
    return [
        MailboxRow(r.id, r.address, r.name, MailboxState(r.state), bool(r.changing), r.error, r.created_at)
        for r in rows
    ]


def _packages(vendor_id: int) -> Sequence[VendorAddon]:
    mine = (VendorAddon.vendor_id == vendor_id, VendorAddon.status != AddonStatus.CANCELLED)
    return db.session.scalars(
        select(VendorAddon)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .where(*mine, AddonProduct.provisioning == "mailboxes")
        .order_by(VendorAddon.id)
    ).all()


def domains(vendor_id: int) -> list[MailDomain]:
    """The domains that there are packages for, the first package of each. Two statements."""
    by_domain = {int(p.config["domain_id"]): p for p in reversed(_packages(vendor_id)) if p.config.get("domain_id")}
    if not by_domain:
        return []
    mine = (Domain.vendor_id == vendor_id, Domain.id.in_(by_domain), Domain.removed_at.is_(None))
    rows = db.session.execute(select(Domain.id, Domain.name, Domain.shown, Domain.state).where(*mine))
    works = (DomainState.ACTIVE, DomainState.FAILING)
    found = []
    for row in sorted(rows, key=lambda row: row.name):
        package = by_domain[row.id]
        set_up = package.status == AddonStatus.ACTIVE
        found.append(MailDomain(row.id, row.name, row.shown, set_up, set_up and row.state in works, package.id))
    return found


def package_of(vendor_id: int, domain_id: int) -> int | None:
    """The package of this domain that is ready and has the fewest mailboxes; None when there is none."""
    ready = [
        p.id for p in _packages(vendor_id) if p.config.get("domain_id") == domain_id and p.status == AddonStatus.ACTIVE
    ]
    rows = db.session.execute(
        select(Mailbox.vendor_addon_id, func.count().label("number"))
        .where(Mailbox.vendor_id == vendor_id, Mailbox.removed_at.is_(None))
        .group_by(Mailbox.vendor_addon_id)
    )
    used: dict[int, int] = {row.vendor_addon_id: row.number for row in rows}
    return min(ready, key=lambda addon_id: (used.get(addon_id, 0), addon_id), default=None)


def room_for(vendor_id: int, domain_id: int, *, without: int | None = None) -> int:
    """How many mailboxes of a domain the host must have room for: what its packages bring, or what there are.

    ``without`` leaves an add-on out that is being removed; 0: no package is left.
    """
    packages = [p for p in _packages(vendor_id) if p.config.get("domain_id") == domain_id and p.id != without]
    places = 0
    for package in packages:
        places += granted(package.addon.grants, package.variant, package.quantity).get(Metric.MAILBOXES, 0)
    return max(places, live(vendor_id, domain_id)) if packages else 0


def live(vendor_id: int, domain_id: int) -> int:
    """How many mailboxes a domain has."""
    mine = (Mailbox.vendor_id == vendor_id, Mailbox.domain_id == domain_id, Mailbox.removed_at.is_(None))
    return db.session.scalar(select(func.count()).select_from(Mailbox).where(*mine)) or 0


def addresses(vendor_id: int, addon_id: int) -> list[str]:
    """What a package has at the host, or may have there still."""
    mine = (Mailbox.vendor_id == vendor_id, Mailbox.vendor_addon_id == addon_id)
    there = or_(Mailbox.removed_at.is_(None), Mailbox.error.is_not(None))
    return list(db.session.scalars(select(Mailbox.address).where(*mine, there).order_by(Mailbox.id)))


def others_at(vendor_id: int, name: str) -> bool:
    """Does another vendor have mailboxes at this name, which it held before?"""
    with tenancy.unscoped("mailboxes of whoever held a name before"):
        theirs = (Domain.name == name, Mailbox.vendor_id != vendor_id, Mailbox.removed_at.is_(None))
        statement = select(Mailbox.id).join(Domain, Domain.id == Mailbox.domain_id).where(*theirs).limit(1)
        return db.session.scalar(statement) is not None


def get(vendor_id: int, mailbox_id: int) -> Mailbox | None:
    """A mailbox, also one that is gone."""
    mine = (Mailbox.id == mailbox_id, Mailbox.vendor_id == vendor_id)
    return db.session.scalar(select(Mailbox).where(*mine).execution_options(populate_existing=True))

"""Reads of domains."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

from portal.addons import domain_names, domain_rules, platform_address
from portal.addons.domain_names import DomainName
from portal.addons.domain_rules import Checked
from portal.addons.models import Domain, Mailbox, VendorAddon
from portal.addons.rules import AddonStatus, DomainKind, DomainState
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import NotFound

#: More than one vendor's page would show; the limit is what a vendor may have.
MOST = 200


@dataclass(frozen=True, slots=True)
class DomainRow:
    """A domain as its page shows it."""

    id: int
    name: str
    shown: str
    kind: DomainKind
    state: DomainState
    is_primary: bool
    addon_id: int | None
    token: str
    checks: Mapping[str, Any]
    checked_at: datetime | None
    next_check_at: datetime | None
    failing_since: datetime | None
    registered_until: datetime | None
    mailboxes: int

    @property
    def parsed(self) -> DomainName:
        """The name with its parts."""
        return domain_names.known(self.name)

    @property
    def held(self) -> bool:
        """Proven, and another vendor has it."""
        return bool(self.checks.get("held"))

    @property
    def lost(self) -> bool:
        """Another vendor has proven it since."""
        return bool(self.checks.get("lost"))

    def records(self, vendor_code: str) -> list[Checked]:
        """What is to be set, with what the last look found."""
        target = platform_address.of(vendor_code)
        wanted = domain_rules.wanted(self.parsed, self.token, platform_address.current(), target)
        wanted += domain_rules.mail_records(self.parsed, self.checks.get("mail"))
        return domain_rules.restored(wanted, self.checks)


def of_vendor(vendor_id: int) -> list[DomainRow]:
    """All that are not gone: the one that is shown first, then by name. One statement."""
    boxes = (
        select(func.count())
        .where(Mailbox.vendor_id == vendor_id, Mailbox.domain_id == Domain.id, Mailbox.removed_at.is_(None))
        .correlate(Domain)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(
            Domain.id, Domain.name, Domain.shown, Domain.kind, Domain.state, Domain.is_primary, Domain.vendor_addon_id,
            Domain.token, Domain.checks, Domain.checked_at, Domain.next_check_at, Domain.failing_since,
            Domain.registered_until, boxes.label("mailboxes"),
        )
        .where(Domain.vendor_id == vendor_id, Domain.removed_at.is_(None))
        .order_by(Domain.is_primary.desc(), Domain.name)
        .limit(MOST)
    )  # fmt: skip
    return [
        DomainRow(
            r.id, r.name, r.shown, DomainKind(r.kind), DomainState(r.state), r.is_primary, r.vendor_addon_id, r.token,
            r.checks or {}, r.checked_at, r.next_check_at, r.failing_since, r.registered_until, r.mailboxes,
        )
        for r in rows
    ]  # fmt: skip


def one(vendor_id: int, domain_id: int) -> DomainRow:
    """One of them; NotFound for another vendor's and for one that is gone."""
    found = next((row for row in of_vendor(vendor_id) if row.id == domain_id), None)
    if found is None:
        raise NotFound
    return found


def to_renew(before: datetime) -> list[tuple[int, int, datetime]]:
    """Vendor, add-on and end of registered names whose year ends before that, and whose add-on goes on beyond."""
    with tenancy.unscoped("registered names that end soon"):
        rows = db.session.execute(
            select(Domain.vendor_id, VendorAddon.id, Domain.registered_until)
            .join(VendorAddon, VendorAddon.id == Domain.vendor_addon_id)
            .where(Domain.kind == DomainKind.REGISTERED, Domain.state.in_((DomainState.ACTIVE, DomainState.FAILING)))
            .where(Domain.registered_until <= before, VendorAddon.status == AddonStatus.ACTIVE)
            .where(or_(VendorAddon.ends_at.is_(None), VendorAddon.ends_at > Domain.registered_until))
            .order_by(Domain.registered_until)
            .limit(500)
        )
        return [(row.vendor_id, row.id, row.registered_until) for row in rows]

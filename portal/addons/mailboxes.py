"""Mailboxes of an email package: made one by one, given new passwords, deleted (ADD-4).

A verb writes the row and the job; the host is asked by the job. The password that the vendor types is sealed into the
row until the host has it, and is never shown again. A mailbox takes a place of the ``mailboxes`` limit while it is in
the list. Locks: vendor, then mailbox.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.addons import mailbox_queries
from portal.addons.models import Domain, Mailbox
from portal.addons.rules import DomainState, MailboxState
from portal.audit import service as audit
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.gateways import mailboxes as gateway
from portal.identity import passwords
from portal.identity.models import Vendor
from portal.kit import crypto, outbox
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.text import N_

NAME_MAX = 120
#: What stands in a removed row's ``error`` until the host has deleted it: its address is not free before.
LEAVING = "leaving"
_LOCAL = re.compile(r"[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9])?")
NO_HOST = N_("We make the addresses of your package by hand. Write to us which ones you need.")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the vendor typed, checked: ``local`` is what stands before the @."""

    local: str
    name: str
    password: str


def wish(local: str, name: str, password: str, domain: str = "") -> Wish:
    """Check it, before any transaction is opened (judging a password takes its time). Invalid at the fields."""
    fields: dict[str, str] = {}
    local, name = local.strip().lower(), " ".join(name.split())
    if not _LOCAL.fullmatch(local) or ".." in local:
        fields["local"] = N_("Use letters, digits, dots and hyphens, such as info or anna.berg.")
    if len(name) > NAME_MAX or not name.isprintable():
        fields["name"] = N_("Use at most 120 characters.")
    if (fault := passwords.fault(password, (local, name, domain))) is not None:
        fields["password"] = fault
    if fields:
        raise Invalid(fields=fields)
    return Wish(local, name, password)


def create(vendor_id: int, domain_id: int, wanted: Wish, *, actor: Actor, now: datetime) -> Mailbox:
    """Write the mailbox and the job that makes it. LimitReached when the package is full.

    Invalid (field ``local``) for an address that is there; Conflict where mail for the domain is not set up.
    """
    _lock_vendor(vendor_id)
    domain = db.session.scalar(select(Domain).where(Domain.id == domain_id, Domain.vendor_id == vendor_id))
    if domain is None or domain.state not in (DomainState.ACTIVE, DomainState.FAILING):
        raise NotFound
    package = mailbox_queries.package_of(vendor_id, domain_id)
    if package is None:
        raise Conflict(N_("There is no email package for this domain that is ready."), code="no_package")
    if gateway.current() is None:
        raise Conflict(NO_HOST, code="no_mail_host")
    address = f"{wanted.local}@{domain.name}"
    _refuse_known(vendor_id, address)
    mailbox = Mailbox(
        vendor_id=vendor_id,
        vendor_addon_id=package,
        domain_id=domain_id,
        address=address,
        name=wanted.name,
        state=MailboxState.PENDING,
        created_at=now,
    )
    db.session.add(mailbox)
    db.session.flush()
    gate.admit(vendor_id, Metric.MAILBOXES, key=_key(mailbox), now=now)
    _give_password(mailbox, wanted.password, now)
    _audit(mailbox, "mailbox.created", actor, now)
    return mailbox


def _refuse_known(vendor_id: int, address: str) -> None:
    """Addresses are unique among all vendors, as domains that mail is set up for are."""
    same = (Mailbox.vendor_id == vendor_id, Mailbox.address == address)
    known = db.session.execute(
        select(Mailbox.state, Mailbox.error).where(*same).order_by(Mailbox.id.desc()).limit(1)
    ).first()
    if known is None:
        return
    if known.state != MailboxState.REMOVED:
        raise Invalid(code="mailbox_known", fields={"local": N_("There is this address already.")})
    if known.error == LEAVING:
        words = N_("This address is still being deleted. Try again in a minute.")
        raise Invalid(code="mailbox_leaving", fields={"local": words})


def new_password(vendor_id: int, mailbox_id: int, password: str, *, actor: Actor, now: datetime) -> None:
    """Another password, also for one that could not be made; checked as in ``wish``. NotFound for another vendor's."""
    mailbox = locked(mailbox_id, vendor_id)
    if gateway.current() is None:
        raise Conflict(NO_HOST, code="no_mail_host")
    if mailbox.state == MailboxState.FAILED:
        mailbox.state = MailboxState.PENDING
    _give_password(mailbox, password, now)
    _audit(mailbox, "mailbox.password", actor, now)


def remove(vendor_id: int, mailbox_id: int, *, actor: Actor, now: datetime) -> None:
    """Delete it, with the mails in it; its place is free at once, its address when the host has deleted it."""
    _remove(locked(mailbox_id, vendor_id), actor, now)


def remove_all(vendor_id: int, addon_id: int, *, now: datetime) -> list[int]:
    """The package is over: its mailboxes go. Gives their ids; safe to repeat."""
    _lock_vendor(vendor_id)
    mine = (Mailbox.vendor_id == vendor_id, Mailbox.vendor_addon_id == addon_id, Mailbox.removed_at.is_(None))
    rows = db.session.scalars(select(Mailbox).where(*mine).order_by(Mailbox.id).with_for_update()).all()
    for row in rows:
        _remove(row, SYSTEM, now)
    return [row.id for row in rows]


def _remove(mailbox: Mailbox, actor: Actor, now: datetime) -> None:
    mailbox.state, mailbox.removed_at, mailbox.password, mailbox.error = MailboxState.REMOVED, now, None, LEAVING
    db.session.flush()
    gate.give_back(mailbox.vendor_id, Metric.MAILBOXES, key=_key(mailbox), now=now)
    outbox.enqueue(
        "addons.drop_mailbox",
        dedupe_key=f"addons.drop_mailbox:{mailbox.id}",
        vendor_id=mailbox.vendor_id,
        mailbox_id=mailbox.id,
    )
    _audit(mailbox, "mailbox.removed", actor, now)


def _give_password(mailbox: Mailbox, password: str, now: datetime) -> None:
    mailbox.password, mailbox.error = crypto.seal(password, bound_to=_place(mailbox.id)), None
    db.session.flush()
    outbox.enqueue(
        "addons.make_mailbox",
        dedupe_key=f"addons.make_mailbox:{mailbox.id}:{now.isoformat()}",
        vendor_id=mailbox.vendor_id,
        mailbox_id=mailbox.id,
    )


def made(mailbox_id: int, vendor_id: int, sealed: str) -> None:
    """The host has it with the password of ``sealed``; a newer one that was typed meanwhile stays for its own job."""
    mailbox = _found(mailbox_id, vendor_id)
    if mailbox is None or mailbox.state == MailboxState.REMOVED:
        return
    mailbox.state, mailbox.error = MailboxState.ACTIVE, None
    if mailbox.password == sealed:
        mailbox.password = None
    db.session.flush()


def not_made(mailbox_id: int, vendor_id: int, sealed: str, why: str) -> None:
    """The host said no; the password is forgotten, the vendor types another one or writes to us."""
    mailbox = _found(mailbox_id, vendor_id)
    if mailbox is None or mailbox.state == MailboxState.REMOVED or mailbox.password != sealed:
        return
    mailbox.password, mailbox.error = None, why
    if mailbox.state == MailboxState.PENDING:
        mailbox.state = MailboxState.FAILED
    db.session.flush()


def dropped(mailbox_id: int, vendor_id: int) -> None:
    """The host has deleted it: its address is free."""
    mailbox = _found(mailbox_id, vendor_id)
    if mailbox is not None:
        mailbox.error = None
        db.session.flush()


def password_of(mailbox: Mailbox) -> str | None:
    """The password that the host does not have yet, open."""
    return crypto.unseal(mailbox.password, bound_to=_place(mailbox.id)) if mailbox.password else None


def reseal(after: int, limit: int) -> tuple[int, int | None]:
    """Seal waiting passwords anew that are under an old key, of ids above ``after``: how many, and where to go on."""
    rows = db.session.scalars(
        select(Mailbox).where(Mailbox.id > after, Mailbox.password.is_not(None)).order_by(Mailbox.id).limit(limit)
        .with_for_update()
    ).all()  # fmt: skip
    old = [row for row in rows if row.password and crypto.is_outdated(row.password)]
    for row in old:
        row.password = crypto.resealed(row.password or "", bound_to=_place(row.id))
    db.session.flush()
    return len(old), rows[-1].id if len(rows) == limit else None


def locked(mailbox_id: int, vendor_id: int) -> Mailbox:
    """The vendor's mailbox, with vendor and mailbox locked; NotFound for another vendor's and for one that is gone."""
    _lock_vendor(vendor_id)
    mailbox = _found(mailbox_id, vendor_id)
    if mailbox is None or mailbox.state == MailboxState.REMOVED:
        raise NotFound
    return mailbox


def _found(mailbox_id: int, vendor_id: int) -> Mailbox | None:
    mine = (Mailbox.id == min(mailbox_id, 2**63 - 1), Mailbox.vendor_id == vendor_id)
    return db.session.scalar(select(Mailbox).where(*mine).with_for_update().execution_options(populate_existing=True))


def _lock_vendor(vendor_id: int) -> None:
    db.session.execute(select(Vendor.id).where(Vendor.id == vendor_id).with_for_update())


def _key(mailbox: Mailbox) -> str:
    return f"mailbox:{mailbox.id}"


def _place(mailbox_id: int) -> str:
    return f"mailboxes.password:{mailbox_id}"


def _audit(mailbox: Mailbox, action: str, actor: Actor, now: datetime) -> None:
    data: Mapping[str, Any] = {"address": mailbox.address}
    audit.record(actor, action, vendor_id=mailbox.vendor_id, data=data, now=now)

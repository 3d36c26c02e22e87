"""Certificates that staff obtain: requests and their keys, the chains that came back, and renewing them in time.

A private key is sealed to its row, leaves it for the vendor's owner alone, and each time that is written down.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from portal.addons import certificate_rules as rules
from portal.addons import provisioning, provisioning_book, provisioning_mails, provisioning_rules
from portal.addons.models import Certificate, ProvisioningRun, VendorAddon
from portal.addons.rules import AddonStatus, RunKind
from portal.audit import service as audit
from portal.catalog.models import AddonProduct
from portal.kit import crypto
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.text import N_

NOT_NOW = N_("This certificate is not waiting for that. Look at it again, then decide.")


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A certificate without its key; ``chain_pem`` None: still being issued."""

    id: int
    name: str
    request_pem: str
    has_key: bool
    chain_pem: str | None
    serial: str | None
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime


def of_addon(vendor_id: int, addon_id: int) -> list[CertificateView]:
    """The add-on's requests and certificates, the newest first; replaced ones left out."""
    rows = db.session.execute(
        select(
            Certificate.id, Certificate.name, Certificate.request_pem, Certificate.private_key.is_not(None),
            Certificate.chain_pem, Certificate.serial, Certificate.valid_from, Certificate.valid_until,
            Certificate.created_at,
        )
        .where(Certificate.vendor_id == vendor_id, Certificate.vendor_addon_id == addon_id)
        .where(Certificate.replaced_at.is_(None))
        .order_by(Certificate.id.desc())
    )  # fmt: skip
    return [CertificateView(*row) for row in rows]


def newer_than(vendor_id: int, addon_id: int, before: int) -> CertificateView | None:
    """The add-on's newest one after the one of id ``before`` (0: any)."""
    return next((each for each in of_addon(vendor_id, addon_id) if each.id > before), None)


def write_request(addon_id: int, vendor_id: int, name: str, company: str, country: str, *, now: datetime) -> None:
    """Make key and request and keep them, the key sealed."""
    request, key = rules.make(name, company, country)
    row = _add(vendor_id, addon_id, name, request, now)
    row.private_key = crypto.seal(key, bound_to=_place(row.id))
    db.session.flush()


def take_details(
    vendor_id: int, addon_id: int, name: str, shown: str, company: str, country: str, *, now: datetime
) -> None:
    """The vendor says for whom and for which domain; the request is made from it. Conflict when that was done."""
    addon = _waiting_for_request(vendor_id, addon_id)
    addon.config = {**addon.config, "name": name, "shown": shown, "company": company, "country": country}
    provisioning.wake(vendor_id, addon_id, now=now)


def take_request(vendor_id: int, addon_id: int, text: str, name: str, *, now: datetime) -> None:
    """The vendor's own request; its key stays with the vendor. Invalid (field ``request``), Conflict as above."""
    request = rules.read_request(text, name)
    addon = _waiting_for_request(vendor_id, addon_id)
    addon.config = {**addon.config, "name": name, "shown": addon.config.get("shown", name)}
    _add(vendor_id, addon_id, name, request, now)
    provisioning.wake(vendor_id, addon_id, now=now)


def _waiting_for_request(vendor_id: int, addon_id: int) -> VendorAddon:
    addon = of_vendor(vendor_id, addon_id)
    newest = newer_than(vendor_id, addon_id, 0)
    if addon.status == AddonStatus.CANCELLED or (newest is not None and newest.chain_pem is None):
        raise Conflict(NOT_NOW)
    if newest is not None and _renews(addon) != newest.id:
        raise Conflict(NOT_NOW)
    return addon


def _renews(addon: VendorAddon) -> int | None:
    run = provisioning_book.newest_run(addon, only_open=True)
    return run.input.get("renews") if run else None


def of_vendor(vendor_id: int, addon_id: int) -> VendorAddon:
    """The vendor's add-on, locked with its vendor, when it is one that is set up as a certificate; else NotFound."""
    addon = provisioning_book.lock_addon(addon_id)
    if addon.vendor_id != vendor_id or addon.addon.provisioning != "certificate":
        raise NotFound
    return addon


def deliver(run_id: int, text: str, *, actor: Actor, now: datetime) -> None:
    """Staff hands in the chain: checked against request, domain and dates, kept, and the run goes on.

    The one before it is replaced. Invalid (field ``chain``); Conflict when no request waits for one.
    """
    held = provisioning_book.hold(run_id)
    waiting = newer_than(held.addon.vendor_id, held.addon.id, 0)
    if held.addon.addon.provisioning != "certificate" or waiting is None or waiting.chain_pem is not None:
        raise Conflict(NOT_NOW)
    chain = rules.read_chain(text, waiting.request_pem, waiting.name, now)
    for row in _live(held.addon):
        if row.id == waiting.id:
            row.chain_pem, row.serial = chain.pem, chain.serial
            row.valid_from, row.valid_until = chain.valid_from, chain.valid_until
        else:
            row.replaced_at, row.private_key = now, None
    data = {"addon": held.addon.id, "name": waiting.name, "serial": chain.serial}
    audit.record(actor, "certificate.delivered", vendor_id=held.addon.vendor_id, data=data, now=now)
    provisioning_book.log(held.run, provisioning_rules.CHAIN_TAKEN, actor=actor, now=now, step=held.current)
    provisioning.wake(held.addon.vendor_id, held.addon.id, now=now)


def private_key(vendor_id: int, addon_id: int, certificate_id: int, *, actor: Actor, now: datetime) -> str:
    """The key as PEM, for the vendor's owner; that it was taken is written down. NotFound where we have none."""
    row = db.session.scalar(
        select(Certificate).where(
            Certificate.id == certificate_id, Certificate.vendor_id == vendor_id,
            Certificate.vendor_addon_id == addon_id, Certificate.replaced_at.is_(None),
        )
    )  # fmt: skip
    if row is None or row.private_key is None:
        raise NotFound
    data = {"addon": addon_id, "certificate": row.id, "name": row.name}
    audit.record(actor, "certificate.key_taken", vendor_id=vendor_id, data=data, now=now)
    return crypto.unseal(row.private_key, bound_to=_place(row.id))


def forget_keys(vendor_id: int, addon_id: int) -> None:
    """The add-on is gone, and so are its keys; certificates are public and stay."""
    statement = select(Certificate).where(Certificate.vendor_id == vendor_id, Certificate.vendor_addon_id == addon_id)
    for row in db.session.scalars(statement):
        row.private_key = None
    db.session.flush()


def expiring(now: datetime) -> Iterator[tuple[int, int, int]]:
    """(vendor, add-on, certificate) of every one that runs out within 30 days and that nothing renews yet."""
    newer = aliased(Certificate)
    replaced = exists().where(newer.vendor_addon_id == Certificate.vendor_addon_id, newer.id > Certificate.id)
    rows = db.session.execute(
        select(Certificate.vendor_id, Certificate.vendor_addon_id, Certificate.id)
        .join(VendorAddon, VendorAddon.id == Certificate.vendor_addon_id)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .where(Certificate.valid_until <= now + rules.RENEW_AHEAD, VendorAddon.status == AddonStatus.ACTIVE)
        .where(Certificate.replaced_at.is_(None), ~replaced)
        .order_by(Certificate.id)
    )
    yield from ((row[0], row[1], row[2]) for row in rows)


def renew(addon_id: int, certificate_id: int, *, now: datetime) -> ProvisioningRun:
    """Begin to renew a certificate and tell the vendor, once; asking again gives the run that does it."""
    addon = provisioning_book.lock_addon(addon_id)
    row = db.session.scalars(
        select(Certificate).where(Certificate.id == certificate_id, Certificate.vendor_id == addon.vendor_id)
    ).one()
    if row.valid_until is not None:
        provisioning_mails.certificate_renewed(addon, row.id, row.name, row.valid_until, now=now)
    return provisioning.begin(addon, RunKind.CHANGE, input={"renews": certificate_id}, actor=SYSTEM, now=now)


def reseal(after: int, limit: int) -> tuple[int, int | None]:
    """Seal keys anew that are under an old key, of rows above ``after``: how many, and where to go on (or None)."""
    rows = db.session.scalars(
        select(Certificate).where(Certificate.id > after).order_by(Certificate.id).limit(limit).with_for_update()
    ).all()
    old = [row for row in rows if row.private_key and crypto.is_outdated(row.private_key)]
    for row in old:
        row.private_key = crypto.resealed(str(row.private_key), bound_to=_place(row.id))
    db.session.flush()
    return len(old), rows[-1].id if len(rows) == limit else None


def _add(vendor_id: int, addon_id: int, name: str, request: str, now: datetime) -> Certificate:
    row = Certificate(
        vendor_id=vendor_id, vendor_addon_id=addon_id, name=name, request_pem=request, created_at=now
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row


def _live(addon: VendorAddon) -> list[Certificate]:
    statement = select(Certificate).where(
        Certificate.vendor_id == addon.vendor_id,
        Certificate.vendor_addon_id == addon.id,
        Certificate.replaced_at.is_(None),
    )
    return list(db.session.scalars(statement.with_for_update().execution_options(populate_existing=True)))


def _place(certificate_id: int) -> str:
    return f"certificates.private_key:{certificate_id}"

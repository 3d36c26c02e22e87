"""A vendor's domains: claimed, proven and active, given up, chosen as the one that is shown (ADD-7).

A name that the vendor adds here takes a place of its ``domains`` limit at once and gives it back when it is removed.
A name that an add-on brings takes its place when the add-on is ready, since its place comes with it; it goes with the
add-on. Locks: vendor, then domain.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from portal.addons import domain_mails as mails
from portal.addons.domain_names import DomainName
from portal.addons.domain_rules import Standing
from portal.addons.models import Domain, Mailbox
from portal.addons.rules import DomainKind, DomainState
from portal.audit import service as audit
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.identity.models import Vendor
from portal.kit import log, outbox, tenancy
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Forbidden, Invalid, NotFound, PaymentRequired
from portal.kit.text import N_
from portal.notifications import webhooks

logger = log.get(__name__)
#: What ``checks`` holds beside the last look: mail's host and key, whether the name takes a place at the gate, and
#: whether it was lost to another vendor.
_STAYS = frozenset({"mail", "counted", "lost"})
#: States in which one vendor holds a name against all others.
HOLDING = (DomainState.REGISTERING, DomainState.ACTIVE, DomainState.FAILING)


def add_own(vendor_id: int, name: DomainName, *, actor: Actor, now: datetime) -> Domain:
    """The vendor adds a name that it has elsewhere; what is to be set in DNS follows from the row.

    LimitReached where no place is left, Invalid (field ``domain``) for a name that is there already.
    """
    _lock_vendor(vendor_id)
    if _of_vendor(vendor_id, name.ascii) is not None:
        raise Invalid(code="domain_known", fields={"domain": N_("This name is in your list already.")})
    domain = _insert(vendor_id, name, DomainKind.OWN, None, now)
    gate.admit(vendor_id, Metric.DOMAINS, key=_key(domain), now=now)
    domain.checks = {"counted": True}
    _audit(domain, "domain.added", actor, now)
    look_soon(domain, now=now)
    return domain


def claim(vendor_id: int, addon_id: int, name: DomainName, kind: DomainKind, *, now: datetime) -> Domain:
    """The name that an add-on is for: the row is made, or the one that the vendor added before becomes the add-on's.

    The same again gives the same row. Conflict when it is another add-on's.
    """
    _lock_vendor(vendor_id)
    domain = _of_vendor(vendor_id, name.ascii)
    if domain is None:
        domain = _insert(vendor_id, name, kind, addon_id, now)
        look_soon(domain, now=now)
    elif domain.vendor_addon_id not in (None, addon_id):
        raise Conflict(N_("Another add-on is for this name."), code="domain_known")
    else:
        domain.vendor_addon_id, domain.kind = addon_id, kind
    db.session.flush()
    return domain


def hold_for_registering(domain_id: int, vendor_id: int) -> None:
    """From now on nobody else can have the name here: it is about to be bought. Conflict when somebody holds it."""
    domain = locked(domain_id, vendor_id)
    if domain.state in HOLDING:
        return
    if _holder(domain) is not None:
        raise Conflict(N_("This name is held by another vendor here."), code="domain_held")
    domain.state, domain.next_check_at = DomainState.REGISTERING, None
    db.session.flush()


def mail_comes(domain_id: int, vendor_id: int, mail: Mapping[str, str] | None) -> None:
    """Mail for this name arrives at a host with this key (host, selector, text), or at none of ours any more."""
    domain = locked(domain_id, vendor_id)
    kept = {key: value for key, value in (domain.checks or {}).items() if key != "mail"}
    domain.checks = {**kept, "mail": dict(mail)} if mail else kept
    db.session.flush()


def registered(domain_id: int, vendor_id: int, until: datetime | None) -> None:
    """The registrar has it in our account, until then."""
    domain = locked(domain_id, vendor_id)
    domain.registered_until = until or domain.registered_until
    db.session.flush()


def record_look(
    domain_id: int,
    vendor_id: int,
    records: list[dict[str, Any]],
    was: DomainState,
    standing: Standing,
    *,
    now: datetime,
) -> Domain:
    """What DNS said of a name that was in the state ``was``, and the state that follows; nothing when it has moved on.

    A name that another vendor holds stays pending, and says so. A holder whose own name leads here no more loses it to
    the one who has just proven it.
    """
    domain = locked(domain_id, vendor_id)
    if domain.state != was:
        return domain
    kept: dict[str, Any] = {"records": records, "looks": standing.looks, "misses": standing.misses}
    kept |= {key: value for key, value in (domain.checks or {}).items() if key in _STAYS}
    domain.checked_at, domain.checks = now, kept
    domain.failing_since = standing.failing_since
    domain.next_check_at = now + standing.next_check if standing.next_check else None
    if standing.state == DomainState.ACTIVE and was not in (DomainState.ACTIVE, DomainState.FAILING):
        _prove(domain, kept, now)
    else:
        domain.state = standing.state
        _tell(domain, was, standing, now)
    db.session.flush()
    return domain


def _prove(domain: Domain, kept: Mapping[str, Any], now: datetime) -> None:
    holder = _holder(domain)
    if holder is not None and not (holder.state == DomainState.FAILING and holder.kind == DomainKind.OWN):
        domain.state, domain.checks = DomainState.PENDING, {**kept, "held": True}
        domain.next_check_at = now + timedelta(days=1)
        return
    if holder is not None:
        _lose(holder, now)
    _become_active(domain, now)
    if domain.vendor_addon_id is None:
        mails.active(domain, now)


def _lose(holder: Domain, now: datetime) -> None:
    with tenancy.unscoped("who holds a name loses it to another vendor"):
        holder.state, holder.is_primary, holder.next_check_at = DomainState.FAILED, False, None
        holder.checks = {**(holder.checks or {}), "lost": True}
        db.session.flush()
        _audit(holder, "domain.lost", SYSTEM, now)
        _publish(holder, "lost", now)
        mails.lost(holder, now)


def _become_active(domain: Domain, now: datetime) -> None:
    domain.state, domain.verified_at, domain.failing_since = DomainState.ACTIVE, now, None
    domain.checks = {key: value for key, value in (domain.checks or {}).items() if key != "lost"}
    domain.next_check_at = domain.next_check_at or now
    domain.is_primary = domain.is_primary or not _has_primary(domain.vendor_id)
    db.session.flush()
    _audit(domain, "domain.active", SYSTEM, now)
    _publish(domain, "active", now)
    if domain.vendor_addon_id is not None:
        outbox.enqueue(
            "addons.domain_active",
            dedupe_key=f"addons.domain_active:{domain.id}:{now.isoformat()}",
            vendor_id=domain.vendor_id,
            domain_id=domain.id,
        )


def _tell(domain: Domain, was: DomainState, standing: Standing, now: datetime) -> None:
    if standing.tell and standing.failing_since is not None:
        mails.failing(domain, standing.failing_since, now)
        _publish(domain, "failing", now)
    elif was == DomainState.FAILING and standing.state == DomainState.ACTIVE:
        mails.back(domain, now)
        _publish(domain, "back", now)


def take_place(domain_id: int, *, now: datetime) -> bool:
    """Count a name that an add-on brought, now that its place is there; False when none is left.

    It was paid for, so it works in any case: the vendor then has a place less for names of its own.
    """
    domain = _by_id(domain_id)
    if domain is None or domain.state == DomainState.REMOVED:
        return False
    try:
        gate.admit(domain.vendor_id, Metric.DOMAINS, key=_key(domain), now=now)
    except (Forbidden, PaymentRequired) as error:
        logger.warning("domain.not_counted", domain_id=domain_id, code=error.code)
        return False
    domain.checks = {**(domain.checks or {}), "counted": True}
    db.session.flush()
    return True


def choose_primary(vendor_id: int, domain_id: int | None, *, actor: Actor, now: datetime) -> None:
    """The name that is shown for the shop; None: the platform's address. Conflict for one that does not work."""
    _lock_vendor(vendor_id)
    domain = locked(domain_id, vendor_id) if domain_id is not None else None
    if domain is not None and domain.state != DomainState.ACTIVE:
        raise Conflict(N_("Only a domain that works can be the main one."), code="domain_not_active")
    mine = (Domain.vendor_id == vendor_id, Domain.is_primary)
    db.session.execute(update(Domain).where(*mine).values(is_primary=False))
    if domain is not None:
        db.session.refresh(domain)
        domain.is_primary = True
    db.session.flush()
    told = {"change": "primary", "domain": domain.name if domain else "", "state": DomainState.ACTIVE, "primary": True}
    webhooks.publish("domain.changed", vendor_id=vendor_id, event_id=f"domain:primary:{vendor_id}:{now.isoformat()}",
                     data=told, now=now)  # fmt: skip
    chosen = domain.name if domain is not None else None
    audit.record(actor, "domain.chosen", vendor_id=vendor_id, data={"domain": chosen}, now=now)


def of_addon(vendor_id: int, addon_id: int) -> Domain | None:
    """The name that an add-on brings, while there is one."""
    mine = (Domain.vendor_id == vendor_id, Domain.vendor_addon_id == addon_id, Domain.removed_at.is_(None))
    return db.session.scalar(select(Domain).where(*mine).order_by(Domain.id).limit(1))


def remove(vendor_id: int, domain_id: int, *, actor: Actor, now: datetime) -> None:
    """The vendor gives a name of its own up: the shop is not found under it any more, its place is free.

    Conflict for one that an add-on brings, and while mailboxes use it. Again: nothing.
    """
    domain = locked(domain_id, vendor_id)
    if domain.state == DomainState.REMOVED:
        return
    if domain.vendor_addon_id is not None:
        raise Conflict(N_("This domain comes with an add-on. Cancel the add-on instead."), code="domain_of_addon")
    refuse_while_in_use(domain)
    _remove(domain, actor, now)


def refuse_while_in_use(domain: Domain) -> None:
    """Conflict while mailboxes are at this name."""
    boxes = select(Mailbox.id).where(
        Mailbox.vendor_id == domain.vendor_id, Mailbox.domain_id == domain.id, Mailbox.removed_at.is_(None)
    )
    if db.session.scalar(boxes.limit(1)) is not None:
        raise Conflict(N_("Mailboxes use this domain. Delete them first."), code="domain_in_use")


def release(vendor_id: int, domain_id: int, *, now: datetime) -> None:
    """The add-on that brought the name is over, and the name with it; a registration lasts until it was paid for.

    Safe to repeat.
    """
    domain = locked(domain_id, vendor_id)
    if domain.state != DomainState.REMOVED:
        _remove(domain, SYSTEM, now)


def _remove(domain: Domain, actor: Actor, now: datetime) -> None:
    domain.state, domain.removed_at, domain.is_primary, domain.next_check_at = DomainState.REMOVED, now, False, None
    db.session.flush()
    if (domain.checks or {}).get("counted"):
        gate.give_back(domain.vendor_id, Metric.DOMAINS, key=_key(domain), now=now)
    _audit(domain, "domain.removed", actor, now)
    _publish(domain, "removed", now)


def look_soon(domain: Domain, *, now: datetime) -> None:
    """Let DNS be asked at once, by a job."""
    domain.next_check_at = now
    db.session.flush()
    outbox.enqueue(
        "addons.check_domain",
        dedupe_key=f"addons.check_domain:{domain.id}:{now.isoformat()}",
        vendor_id=domain.vendor_id,
        domain_id=domain.id,
    )


def locked(domain_id: int, vendor_id: int) -> Domain:
    """The vendor's domain, read anew, with vendor and domain locked; NotFound for another vendor's."""
    _lock_vendor(vendor_id)
    mine = (Domain.id == min(domain_id, 2**63 - 1), Domain.vendor_id == vendor_id)
    found = db.session.scalar(select(Domain).where(*mine).with_for_update().execution_options(populate_existing=True))
    if found is None:
        raise NotFound
    return found


def _lock_vendor(vendor_id: int) -> None:
    db.session.execute(select(Vendor.id).where(Vendor.id == vendor_id).with_for_update())


def _by_id(domain_id: int) -> Domain | None:
    return db.session.get(Domain, domain_id)


def _of_vendor(vendor_id: int, name: str) -> Domain | None:
    mine = (Domain.vendor_id == vendor_id, Domain.name == name, Domain.removed_at.is_(None))
    return db.session.scalar(select(Domain).where(*mine).execution_options(populate_existing=True))


def _holder(domain: Domain) -> Domain | None:
    """Who else holds this name: a unique index lets it be one."""
    with tenancy.unscoped("one name, one holder among all vendors"):
        held = (Domain.name == domain.name, Domain.state.in_(HOLDING), Domain.vendor_id != domain.vendor_id)
        return db.session.scalar(select(Domain).where(*held).with_for_update())


def _has_primary(vendor_id: int) -> bool:
    mine = (Domain.vendor_id == vendor_id, Domain.is_primary)
    return db.session.scalar(select(Domain.id).where(*mine).limit(1)) is not None


def _insert(vendor_id: int, name: DomainName, kind: DomainKind, addon_id: int | None, now: datetime) -> Domain:
    domain = Domain(
        vendor_id=vendor_id,
        name=name.ascii,
        shown=name.shown,
        kind=kind,
        state=DomainState.PENDING,
        is_primary=False,
        token=secrets.token_hex(20),
        vendor_addon_id=addon_id,
        created_at=now,
    )
    db.session.add(domain)
    db.session.flush()
    return domain


def _key(domain: Domain) -> str:
    """How the place that a domain takes is named; a name that is added again takes a new one."""
    return f"domain:{domain.id}"


def _publish(domain: Domain, change: str, now: datetime) -> None:
    """Tell the systems that lead visitors to the shop."""
    told = {"change": change, "domain": domain.name, "state": domain.state, "primary": domain.is_primary}
    webhooks.publish("domain.changed", vendor_id=domain.vendor_id, data=told, now=now,
                     event_id=f"domain:{domain.id}:{change}:{now.isoformat()}")  # fmt: skip


def _audit(domain: Domain, action: str, actor: Actor, now: datetime) -> None:
    audit.record(actor, action, vendor_id=domain.vendor_id, data={"domain": domain.name}, now=now)

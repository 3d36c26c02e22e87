"""Looking at a domain in DNS, and keeping what was seen: by the vendor's click, by a step, and over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.addons import domain_names, domain_rules, domains, platform_address
from portal.addons.domain_rules import Ask, Checked, Heard, Purpose, RecordType, Standing, Verdict, Wanted
from portal.addons.models import Domain
from portal.addons.rules import DomainState
from portal.gateways import dns
from portal.identity.models import Vendor
from portal.kit import outbox, tenancy
from portal.kit.db import db
from portal.kit.errors import NotFound, TooMany
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work

#: The vendor's own clicks, per name.
AT_MOST_EVERY = timedelta(seconds=15)
#: Names taken up per minute by the periodic look.
BATCH = 200
_WATCHED = (DomainState.PENDING, DomainState.ACTIVE, DomainState.FAILING)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found, and the state that it led to."""

    state: DomainState
    checks: list[Checked]
    held: bool = False


@dataclass(frozen=True, slots=True)
class _Watched:
    """A domain as it was when the look began."""

    id: int
    vendor_id: int
    name: str
    token: str
    target: str
    was: Standing
    created_at: datetime
    mail: Mapping[str, Any] | None


def look(vendor_id: int, domain_id: int, *, now: datetime) -> Looked:
    """Ask DNS with no transaction open, then record what it said. NotFound for another vendor's.

    Two vendors who prove one name in the same moment: the database lets one hold it, the other one's look is recorded
    once more, and then sees the holder.
    """
    watched = _read(vendor_id, domain_id)
    platform = platform_address.current()
    name = domain_names.known(watched.name)
    records = domain_rules.wanted(name, watched.token, platform, watched.target)
    records += domain_rules.mail_records(name, watched.mail)
    checks = domain_rules.check(records, platform, _asked(records))
    standing = _standing(watched, checks, now)
    try:
        domain = _record(watched, checks, standing, now)
    except IntegrityError:
        domain = _record(watched, checks, standing, now)
    return Looked(DomainState(domain.state), checks, bool((domain.checks or {}).get("held")))


def look_by_hand(vendor_id: int, domain_id: int, *, now: datetime) -> Looked:
    """The same for a click. TooMany when the last look was a moment ago."""
    checked_at = db.session.scalar(
        select(Domain.checked_at).where(Domain.id == min(domain_id, 2**63 - 1), Domain.vendor_id == vendor_id)
    )
    if checked_at is not None and now - checked_at < AT_MOST_EVERY:
        seconds = int((AT_MOST_EVERY - (now - checked_at)).total_seconds()) + 1
        raise TooMany(N_("We looked a moment ago. Look again in %(seconds)s seconds."), code="looked_lately",
                      retry_after=seconds, seconds=seconds)  # fmt: skip
    return look(vendor_id, domain_id, now=now)


def enqueue_due(*, now: datetime) -> int:
    """Write one job per domain whose time has come; returns how many. Inside a unit of work, across vendors."""
    with tenancy.unscoped("domains that are to be looked at"):
        due = db.session.execute(
            select(Domain.id, Domain.vendor_id, Domain.next_check_at)
            .where(Domain.state.in_(_WATCHED), Domain.next_check_at <= now)
            .order_by(Domain.next_check_at)
            .limit(BATCH)
        ).all()
    return sum(
        outbox.enqueue(
            "addons.check_domain",
            dedupe_key=f"addons.check_domain:{row.id}:{row.next_check_at.isoformat()}",
            vendor_id=row.vendor_id,
            domain_id=row.id,
        )
        for row in due
    )


def _read(vendor_id: int, domain_id: int) -> _Watched:
    row = db.session.execute(
        select(Domain, Vendor.code)
        .join(Vendor, Vendor.id == Domain.vendor_id)
        .where(Domain.id == min(domain_id, 2**63 - 1), Domain.vendor_id == vendor_id, Domain.removed_at.is_(None))
    ).first()
    if row is None:
        raise NotFound
    domain, kept = row.Domain, row.Domain.checks or {}
    was = Standing(DomainState(domain.state), None, kept.get("looks", 0), kept.get("misses", 0), domain.failing_since)
    target = platform_address.of(row.code)
    return _Watched(
        domain.id, domain.vendor_id, domain.name, domain.token, target, was, domain.created_at, kept.get("mail")
    )


def _standing(watched: _Watched, checks: list[Checked], now: datetime) -> Standing:
    proof = domain_rules.verdict(checks, Purpose.PROOF)
    point = domain_rules.verdict(checks, Purpose.POINT)
    if watched.was.state == DomainState.REGISTERING:  # ours at the registrar, which is proof enough
        proof = Verdict.FOUND
    return domain_rules.after(watched.was, proof, point, created_at=watched.created_at, now=now)


def _record(watched: _Watched, checks: list[Checked], standing: Standing, now: datetime) -> Domain:
    with unit_of_work():
        kept: list[dict[str, Any]] = domain_rules.stored(checks)
        return domains.record_look(watched.id, watched.vendor_id, kept, watched.was.state, standing, now=now)


def _asked(records: list[Wanted]) -> Ask:
    """What DNS says to all that a look needs, asked at the same time, in the words of the rules."""
    known = dns.current().ask_all(domain_rules.questions(records))

    def ask(name: str, kind: RecordType) -> list[Heard]:
        return [Heard(None if a.word == dns.Word.SILENT else a.values, a.why) for a in known[name, kind]]

    return ask

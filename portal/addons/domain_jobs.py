"""What runs in the background for domains and mailboxes: looks at DNS at their time, renewals, the host of mail."""

from datetime import timedelta

from sqlalchemy import select

from portal.addons import domain_checks, domain_queries, domains, mailbox_flows, provisioning
from portal.addons.models import Domain, Mailbox, VendorAddon
from portal.addons.rules import AddonStatus, DomainState, RunKind
from portal.kit import clock, outbox
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.tasks import periodic, task

#: Registered names are renewed so long before their year ends, so that a person has time to look when it fails.
RENEW_AHEAD = timedelta(days=30)


@periodic("addons.watch_domains", every=timedelta(minutes=1))
@task("addons.watch_domains")
def watch() -> None:
    """Write one job per domain that is to be looked at."""
    domain_checks.enqueue_due(now=clock.business())


@periodic("addons.renew_domains", every=timedelta(days=1))
@task("addons.renew_domains")
def renew() -> None:
    """Begin a run for each registered name whose year ends soon and whose add-on goes on."""
    now = clock.business()
    for vendor_id, addon_id, until in domain_queries.to_renew(now + RENEW_AHEAD):
        outbox.enqueue(
            "addons.renew_domain",
            dedupe_key=f"addons.renew_domain:{addon_id}:{until.isoformat()}",
            vendor_id=vendor_id,
            addon_id=addon_id,
            until=until.isoformat(),
        )


@task("addons.renew_domain")
def renew_one(addon_id: int, until: str) -> None:
    """Begin the run that renews one name, which is paid for ``until`` then."""
    addon = db.session.scalar(select(VendorAddon).where(VendorAddon.id == addon_id))
    if addon is not None and addon.status == AddonStatus.ACTIVE:
        provisioning.begin(addon, RunKind.CHANGE, input={"until": until}, actor=SYSTEM, now=clock.business())


@task("addons.check_domain", kind="flow")
def check(domain_id: int) -> None:
    """Look at one domain; a name that was removed meanwhile needs none."""
    row = _alive(domain_id)
    if row is not None:
        domain_checks.look(row.vendor_id, domain_id, now=clock.business())


@task("addons.domain_active")
def active(domain_id: int) -> None:
    """A name that belongs to an add-on works: what waits for it goes on at once."""
    row = _alive(domain_id)
    if row is not None and row.vendor_addon_id is not None:
        provisioning.wake(row.vendor_id, row.vendor_addon_id, now=clock.business())


@task("addons.count_domain")
def count(domain_id: int) -> None:
    """The add-on that brought the name is ready, and with it the place that the name takes."""
    domains.take_place(domain_id, now=clock.business())


@task("addons.make_mailbox", kind="flow")
def make_mailbox(mailbox_id: int) -> None:
    """Make one mailbox, or give it its newest password."""
    vendor_id = _vendor_of(mailbox_id)
    if vendor_id is not None:
        mailbox_flows.make(vendor_id, mailbox_id)


@task("addons.drop_mailbox", kind="flow")
def drop_mailbox(mailbox_id: int) -> None:
    """Delete one mailbox at its host."""
    vendor_id = _vendor_of(mailbox_id)
    if vendor_id is not None:
        mailbox_flows.drop(vendor_id, mailbox_id)


def _vendor_of(mailbox_id: int) -> int | None:
    return db.session.scalar(select(Mailbox.vendor_id).where(Mailbox.id == mailbox_id))


def count_soon(domain: Domain) -> None:
    """Count a name once the run that it ends has brought its place."""
    outbox.enqueue(
        "addons.count_domain",
        dedupe_key=f"addons.count_domain:{domain.id}",
        vendor_id=domain.vendor_id,
        domain_id=domain.id,
    )


def _alive(domain_id: int) -> Domain | None:
    alive = (Domain.id == domain_id, Domain.state != DomainState.REMOVED)
    return db.session.scalar(select(Domain).where(*alive))

"""Who is told about a domain: by mail and in the portal, each once for its cause."""

from datetime import datetime
from typing import Any

from portal.addons.models import Domain
from portal.identity import queries as identity
from portal.notifications import notes
from portal.notifications import service as notifications
from portal.notifications.service import Recipient


def active(domain: Domain, now: datetime) -> None:
    """A name that the vendor added itself works; of an add-on's its own mail tells."""
    _tell("domain_active", domain, now.isoformat(), now)


def failing(domain: Domain, since: datetime, now: datetime) -> None:
    """It has led elsewhere or nowhere for two days."""
    _tell("domain_failing", domain, since.isoformat(), now, since_at=since.isoformat())


def back(domain: Domain, now: datetime) -> None:
    """It works again."""
    _tell("domain_back", domain, now.isoformat(), now)


def lost(domain: Domain, now: datetime) -> None:
    """Another vendor has proven to own it, while it led here no more."""
    _tell("domain_lost", domain, now.isoformat(), now)


def _tell(kind: str, domain: Domain, cause: str, now: datetime, **params: Any) -> None:
    vendor = identity.vendor(domain.vendor_id)
    if vendor is None:
        return
    owner = identity.owner(domain.vendor_id)
    key = f"{kind}:{domain.id}:{cause}"
    notifications.send(
        kind,
        Recipient(owner.email, owner.name, owner.locale),
        dedupe_key=key,
        vendor_id=vendor.id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        domain=domain.shown,
        **params,
    )
    notes.tell(vendor.id, kind, {"domain": domain.shown}, dedupe_key=key, now=now)

"""The mail about an endpoint of outgoing webhooks that takes nothing any more."""

from datetime import datetime
from urllib.parse import urlsplit

from portal.identity import queries as identity
from portal.kit.db import db
from portal.notifications import service as notifications
from portal.notifications.models import WebhookEndpoint
from portal.notifications.service import Recipient
from portal.settings import queries as settings


def failing(endpoint_id: int, *, now: datetime) -> bool:
    """Tell the vendor's owner, or the operator's support address for the platform's endpoints; once for each outage.

    False when it was told before, nobody can be told, or the endpoint works again.
    """
    endpoint = db.session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None or endpoint.removed_at is not None or endpoint.failing_since is None:
        return False
    to, whose = _to(endpoint.vendor_id)
    if to is None:
        return False
    return notifications.send(
        "webhook_failing" if endpoint.vendor_id else "webhook_failing_staff",
        to,
        dedupe_key=f"webhook_failing:{endpoint.id}:{endpoint.failing_since.timestamp():.6f}",
        vendor_id=endpoint.vendor_id,
        now=now,
        host=urlsplit(endpoint.url).hostname or "",
        since_at=endpoint.failing_since.isoformat(),
        **whose,
    )


def _to(vendor_id: int | None) -> tuple[Recipient | None, dict[str, str]]:
    if vendor_id is None:
        operator = settings.current()
        address = operator.support_email
        return (Recipient(address, operator.name, "en") if address else None), {}
    vendor, owner = identity.vendor(vendor_id), identity.owner(vendor_id)
    named = {"vendor_code": vendor.code, "vendor_name": vendor.name} if vendor else {}
    return Recipient(owner.email, owner.name, owner.locale), named

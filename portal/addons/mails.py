"""Which mails an add-on's life sends to the vendor's owner. Each names its cause, so each goes out once."""

from datetime import datetime
from typing import Any

from portal.addons.models import VendorAddon
from portal.identity import queries as identity
from portal.kit.money import Money
from portal.notifications import service as notifications
from portal.notifications.service import Recipient


def detail(addon: VendorAddon) -> str:
    """What tells this one from others of its kind: the domain's name, the size of the package, how many."""
    name = str(addon.config.get("shown") or addon.config.get("name") or "")
    size = addon.variant or (f"{addon.quantity} ×" if addon.quantity > 1 else "")
    return ", ".join(part for part in (name, size) if part)


def _send(kind: str, vendor_id: int, key: str, now: datetime, **params: Any) -> None:
    vendor = identity.vendor(vendor_id)
    if vendor is None:
        return
    owner = identity.owner(vendor_id)
    notifications.send(
        kind,
        Recipient(owner.email, owner.name, owner.locale),
        dedupe_key=f"{kind}:{vendor_id}:{key}",
        vendor_id=vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        **params,
    )


def _about(addon: VendorAddon) -> dict[str, Any]:
    return {"addon": addon.addon.name, "detail": detail(addon)}


def added(addon: VendorAddon, by: str, now: datetime) -> None:
    """Bought, or given by the operator: its setting up has begun."""
    _send("addon_added", addon.vendor_id, str(addon.id), now, **_about(addon), by=by)


def changed(addon: VendorAddon, before: str, after: str, by: str, at: datetime, now: datetime) -> None:
    """Another size or number, from a day on."""
    _send("addon_changed", addon.vendor_id, f"{addon.id}:{addon.version}", now, addon=addon.addon.name, before=before,
          after=after, by=by, from_at=at.isoformat())  # fmt: skip


def ending(addon: VendorAddon, by: str, ends: datetime, now: datetime) -> None:
    """It is cancelled for the end of what is paid; ``by`` empty: in Stripe itself, or with the plan."""
    _send("addon_ending", addon.vendor_id, f"{addon.id}:{addon.version}", now, **_about(addon), by=by,
          ends_at=ends.isoformat())  # fmt: skip


def resumed(addon: VendorAddon, by: str, continues: datetime | None, now: datetime) -> None:
    """The cancellation was taken back."""
    _send("addon_resumed", addon.vendor_id, f"{addon.id}:{addon.version}", now, **_about(addon), by=by,
          continues_at=continues.isoformat() if continues else None)  # fmt: skip


def ended(addon: VendorAddon, cause: str, now: datetime) -> None:
    """It is over; ``cause`` is asked, unpaid, suspended, plan or staff."""
    _send("addon_ended", addon.vendor_id, str(addon.id), now, **_about(addon), cause=cause, ended_at=now.isoformat())


def unpaid(addon: VendorAddon, amount: Money | None, ends: datetime, now: datetime) -> None:
    """Its own payment failed; the plan is not touched."""
    since = addon.past_due_since or now
    told = {"minor": amount.minor, "currency": amount.currency} if amount else None
    _send("addon_unpaid", addon.vendor_id, f"{addon.id}:{since.isoformat()}", now, **_about(addon), amount=told,
          ends_at=ends.isoformat())  # fmt: skip


def closing(vendor_id: int, names: str, ends: datetime, key: str, now: datetime) -> None:
    """The vendor is suspended, and its add-ons are about to end."""
    _send("addons_closing", vendor_id, key, now, addons=names, ends_at=ends.isoformat())

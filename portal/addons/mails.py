"""Which mails an add-on's life sends to the vendor's owner. Each names its cause, so each goes out once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from portal.addons import rules
from portal.addons.models import VendorAddon
from portal.identity import queries as identity
from portal.kit.money import Money
from portal.notifications import service as notifications
from portal.notifications.service import Recipient


def detail(addon: VendorAddon) -> str:
    """What tells this one from others of its kind, as invoices and histories keep it: the domain's name, the size of
    the package, how many.
    """
    number = addon.variant or (f"{addon.quantity} ×" if addon.quantity > 1 else "")
    return ", ".join(part for part in (_shown(addon), number) if part)


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


def size(addon: VendorAddon) -> list[Any]:
    """How much of it, as the mail's template says it in the recipient's language: unit and number."""
    return list(rules.size(addon.addon.provisioning, addon.variant, addon.quantity, addon.addon.grants))


def _shown(addon: VendorAddon) -> str:
    return str(addon.config.get("shown") or addon.config.get("name") or "")


def _about(addon: VendorAddon) -> dict[str, Any]:
    return {"addon": addon.addon.name, "detail": _shown(addon), "size": size(addon)}


def added(addon: VendorAddon, by: str, now: datetime) -> None:
    """Bought, or given by the operator: its setting up has begun."""
    _send("addon_added", addon.vendor_id, str(addon.id), now, **_about(addon), by=by)


def changed(addon: VendorAddon, before: list[Any], by: str, at: datetime, now: datetime) -> None:
    """Another size or number, from a day on; ``before`` is the size that it had."""
    _send("addon_changed", addon.vendor_id, f"{addon.id}:{addon.version}", now, addon=addon.addon.name,
          detail=_shown(addon), before=before, after=size(addon), by=by, from_at=at.isoformat())  # fmt: skip


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


def closing(vendor_id: int, addons: Iterable[VendorAddon], ends: datetime, key: str, now: datetime) -> None:
    """The vendor is suspended, and its add-ons are about to end."""
    named = [[addon.addon.name, _shown(addon), size(addon)] for addon in addons]
    _send("addons_closing", vendor_id, key, now, addons=named, ends_at=ends.isoformat())

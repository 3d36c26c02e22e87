"""The life of a vendor's add-on: it is added, set up, cancelled, kept after all, and over.

The verbs flush, inside the caller's unit of work; ``locked`` takes vendor, subscription and add-on in that order. Who
takes the money is the business of ``mirror`` (Stripe) and ``transfers`` (our own papers).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from portal.addons import mails, provisioning
from portal.addons.models import VendorAddon
from portal.addons.purchase import Product
from portal.addons.rules import AddonStatus, Origin, RunKind
from portal.audit import service as audit
from portal.entitlements import service as entitlements
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound
from portal.kit.text import N_
from portal.notifications import webhooks
from portal.subscriptions.history import lock_if_any, note

#: Lines of the history that programs are told of; that it is ready, failed or over has kinds of its own.
TOLD = frozenset(
    f"addon_{what}" for what in ("added", "changed", "cancelled", "resumed", "change_planned", "change_undone",
                                 "kept", "unpaid", "paid")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paid:
    """How it is paid for: by whom, at which price, for which period. Stripe's ids where it is Stripe."""

    provider: str = "none"
    price_id: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    anchor_at: datetime | None = None
    stripe_subscription_id: str | None = None
    stripe_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class New:
    """An add-on to be written; ``order_item_id`` is what was ordered, and can become one add-on only."""

    vendor_id: int
    product: Product
    origin: Origin
    variant: str = ""
    quantity: int = 1
    config: dict[str, Any] = field(default_factory=dict)
    paid: Paid = field(default_factory=Paid)
    order_item_id: int | None = None
    reason: str | None = None
    ends_at: datetime | None = None


def locked(addon_id: int, vendor_id: int) -> VendorAddon:
    """The vendor's add-on, read anew, with vendor, subscription and add-on locked; NotFound for another vendor's."""
    lock_if_any(vendor_id)
    found = db.session.scalar(
        select(VendorAddon)
        .where(VendorAddon.id == min(addon_id, 2**63 - 1), VendorAddon.vendor_id == vendor_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return found


def add(new: New, *, actor: Actor, now: datetime, tell: bool = True) -> VendorAddon:
    """Write the add-on and begin to set it up. The caller holds the vendor's lock and has checked that it may.

    Once per ``order_item_id``: the same again gives the row that is there.
    """
    if new.order_item_id is not None:
        known = db.session.scalar(
            select(VendorAddon).where(
                VendorAddon.vendor_id == new.vendor_id, VendorAddon.order_item_id == new.order_item_id
            )
        )
        if known is not None:
            return known
    addon = _row(new, now)
    db.session.add(addon)
    db.session.flush()
    _note(addon, "addon_added", actor, now, reason=new.reason, origin=str(new.origin))
    provisioning.begin(addon, RunKind.SETUP, input={}, actor=actor, now=now)
    if tell:
        mails.added(addon, actor.label if actor.kind in ("user", "staff") else "", now)
    db.session.flush()
    return addon


def _row(new: New, now: datetime) -> VendorAddon:
    return VendorAddon(
        vendor_id=new.vendor_id,
        addon_id=new.product.id,
        variant=new.variant,
        price_id=new.paid.price_id,
        origin=new.origin,
        provider=new.paid.provider,
        status=AddonStatus.PENDING_SETUP,
        quantity=new.quantity,
        config=new.config,
        order_item_id=new.order_item_id,
        stripe_subscription_id=new.paid.stripe_subscription_id,
        stripe_item_id=new.paid.stripe_item_id,
        period_start=new.paid.period_start,
        period_end=new.paid.period_end,
        anchor_at=new.paid.anchor_at,
        cancel_at_period_end=new.ends_at is not None,
        ends_at=new.ends_at,
        promised_at=now + timedelta(hours=new.product.promised_hours),
        reason=new.reason,
        version=1,
        created_at=now,
    )


def _note(addon: VendorAddon, kind: str, actor: Actor, now: datetime, reason: str | None = None, **data: Any) -> None:
    """A line in the vendor's history, and in the audit log where a person did it."""
    told = {"addon": addon.addon.name, "detail": mails.detail(addon), "id": addon.id, **data}
    subscription = lock_if_any(addon.vendor_id)
    if subscription is not None:
        note(subscription, kind, actor=actor, now=now, reason=reason, **told)
    if kind in TOLD:
        facts = {"change": kind.removeprefix("addon_"), "addon": addon.id, "product": addon.addon.code,
                 "variant": addon.variant, "quantity": addon.quantity, "status": addon.status,
                 "ends_at": addon.ends_at.isoformat() if addon.ends_at else None}  # fmt: skip
        webhooks.publish("addon.changed", vendor_id=addon.vendor_id, data=facts, now=now,
                         event_id=f"addon_changed:{addon.id}:{addon.version}:{kind}")  # fmt: skip
    if actor.kind in ("user", "staff", "api_key"):
        audit.record(actor, kind.replace("addon_", "addon."), vendor_id=addon.vendor_id,
                     data={**told, "reason": reason}, now=now)  # fmt: skip


def ends_with(addon: VendorAddon, ends: datetime | None, *, actor: Actor, now: datetime, tell: bool = True) -> bool:
    """It ends on that day (None: it goes on after all); False when that was so before.

    A change that was planned for the next period goes with it.
    """
    if (addon.cancel_at_period_end, addon.ends_at) == (ends is not None, ends) or addon.status == AddonStatus.CANCELLED:
        return False
    addon.cancel_at_period_end, addon.ends_at = ends is not None, ends
    addon.version += 1
    by = actor.label if actor.kind in ("user", "staff") else ""
    if ends is not None:
        addon.next_price_id = addon.next_quantity = None
        _note(addon, "addon_cancelled", actor, now, ends=ends.isoformat())
    else:
        _note(addon, "addon_resumed", actor, now)
    if tell and ends is not None:
        mails.ending(addon, by, ends, now)
    elif tell:
        mails.resumed(addon, by, addon.period_end, now)
    db.session.flush()
    return True


def end(addon: VendorAddon, cause: str, *, actor: Actor, now: datetime, tell: bool = True) -> bool:
    """It is over: rights go at once, what was set up is taken down by its own steps. False when it was over before.

    ``cause`` is asked, unpaid, suspended, plan or staff. Money is not touched.
    """
    if addon.status == AddonStatus.CANCELLED:
        return False
    addon.status, addon.cancelled_at = AddonStatus.CANCELLED, now
    addon.past_due_since, addon.next_price_id, addon.next_quantity = None, None, None
    addon.version += 1
    entitlements.end_addon(addon.vendor_id, f"addon:{addon.id}", now=now)
    _note(addon, "addon_ended", actor, now, cause=cause)
    provisioning.begin(addon, RunKind.TEARDOWN, input={"cause": cause}, actor=actor, now=now)
    if tell:
        mails.ended(addon, cause, now)
    db.session.flush()
    return True


def resize(addon: VendorAddon, price_id: int | None, variant: str, quantity: int, *, actor: Actor, now: datetime,
           tell: bool = True) -> bool:  # fmt: skip
    """It has another size or number from now on; False when nothing differs. Rights follow by its own steps."""
    if (addon.variant, addon.quantity) == (variant, quantity):
        addon.price_id, addon.next_price_id, addon.next_quantity = price_id, None, None
        return False
    before = mails.detail(addon) or f"{addon.quantity} ×"
    was, had = {"variant": addon.variant, "quantity": addon.quantity}, mails.size(addon)
    addon.price_id, addon.variant, addon.quantity = price_id, variant, quantity
    addon.next_price_id = addon.next_quantity = None
    addon.version += 1
    after = mails.detail(addon) or f"{addon.quantity} ×"
    _note(addon, "addon_changed", actor, now, before=before, after=after)
    provisioning.begin(addon, RunKind.CHANGE, input={"before": was}, actor=actor, now=now)
    if tell:
        mails.changed(addon, had, actor.label, now, now)
    db.session.flush()
    return True


def explain(addon: VendorAddon, reason: str, *, actor: Actor, now: datetime) -> None:
    """Why staff are about to take it away; kept with it, in the history and the audit log."""
    addon.reason = reason
    _note(addon, "addon_removal", actor, now, reason=reason)


def note_kept(addon: VendorAddon, actor: Actor, now: datetime) -> None:
    """History: what the tier included is paid for from now on."""
    _note(addon, "addon_kept", actor, now)


def plan(addon: VendorAddon, price_id: int | None, quantity: int | None, *, actor: Actor, now: datetime) -> None:
    """Another size or number from the next period on; (None, None) takes a plan back."""
    if addon.cancel_at_period_end:
        raise Conflict(N_("This add-on is cancelled. Take the cancellation back first."), code="already_cancelled")
    addon.next_price_id, addon.next_quantity = price_id, quantity
    addon.version += 1
    at = addon.period_end.isoformat() if addon.period_end else None
    kind = "addon_change_planned" if quantity is not None else "addon_change_undone"
    _note(addon, kind, actor, now, quantity=quantity, at=at)
    db.session.flush()


def fell_behind(addon: VendorAddon, *, since: datetime, now: datetime) -> bool:
    """Its own payment is late; False when that was known. The plan is not touched."""
    if addon.past_due_since is not None or addon.status == AddonStatus.CANCELLED:
        return False
    addon.past_due_since = since
    addon.version += 1
    _note(addon, "addon_unpaid", SYSTEM, now, since=since.isoformat())
    return True


def caught_up(addon: VendorAddon, *, now: datetime) -> bool:
    """What was late is paid; False when nothing was."""
    if addon.past_due_since is None:
        return False
    addon.past_due_since = None
    addon.version += 1
    _note(addon, "addon_paid", SYSTEM, now)
    return True

"""Add-ons that staff give to a vendor without payment, and take away again with a reason (ADM-3)."""

from datetime import datetime

from portal.addons import flows, purchase, queries, service
from portal.addons.models import VendorAddon
from portal.addons.purchase import Wish
from portal.addons.rules import Origin
from portal.addons.service import New
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock

REASON_MAX = 500


def give(vendor_id: int, wish: Wish, *, reason: str, tell: bool, actor: Actor, now: datetime) -> VendorAddon:
    """Give it for free: it is set up like a bought one, and ends when staff end it or the plan ends.

    ``wish.price_id`` names product and size. Invalid at ``reason`` without one, else what ``purchase.check`` raises;
    Conflict for a product that is retired.
    """
    check_reason(reason)
    lock(vendor_id)
    found = purchase.offer(wish.price_id)
    if not found.product.is_sold:
        raise Conflict(N_("This add-on is retired; it is not sold any more."))
    purchase.check(vendor_id, found, wish)
    new = New(vendor_id, found.product, Origin.GIVEN, found.variant, wish.quantity, dict(wish.config),
              reason=reason)  # fmt: skip
    return service.add(new, actor=actor, now=now, tell=tell)


def check_reason(reason: str) -> None:
    """Invalid at the field ``reason`` unless there is one of at most 500 characters."""
    if not reason.strip():
        raise Invalid(fields={"reason": N_("Say why, so that colleagues understand it later.")})
    if len(reason) > REASON_MAX:
        raise Invalid(fields={"reason": N_("Use at most 500 characters.")})


def remove(vendor_id: int, addon_id: int, *, at_once: bool, reason: str, tell: bool, actor: Actor) -> datetime | None:
    """Take it away at once, or when what is paid for ends; gives when (None: now). Money is not given back by this.

    Invalid at ``reason`` without one, Conflict when it is over. Repeatable.
    """
    check_reason(reason)
    had = queries.one(vendor_id, addon_id)
    if had.is_over:
        raise Conflict(N_("This add-on has ended."), code="ended")
    with unit_of_work():
        service.explain(service.locked(addon_id, vendor_id), reason, actor=actor, now=clock.business())
    if at_once or had.total is None:
        flows.end_now(addon_id, vendor_id, "staff", actor=actor, tell=tell)
        return None
    return flows.cancel(addon_id, vendor_id, actor=actor)

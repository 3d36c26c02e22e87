"""Add-ons that a tier brings along: there for the setting up, without payment; kept or ended when the tier changes.

A row is written when the vendor sets one up; storage needs no setting up and is there at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from portal.addons import purchase, service, transfers
from portal.addons.models import VendorAddon
from portal.addons.providers.own_domain import wants_registration
from portal.addons.purchase import Offer
from portal.addons.rules import AddonStatus, Origin
from portal.addons.service import New, Paid
from portal.catalog.models import AddonProduct, TierAddon
from portal.kit import outbox
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound, PaymentRequired
from portal.kit.text import N_
from portal.subscriptions.history import lock_if_any
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.rules import ChangeState, Provider, Status, is_open


@dataclass(frozen=True, slots=True)
class Brought:
    """What a tier brings of one product: the largest size, and how many."""

    product_id: int
    code: str
    provisioning: str
    variant: str
    quantity: int


def brought(tier_id: int | None) -> dict[int, Brought]:
    """What a tier brings, by product; where it names several sizes, the largest."""
    rows = db.session.execute(
        select(TierAddon.addon_id, AddonProduct.code, AddonProduct.provisioning, TierAddon.variant, TierAddon.included)
        .join(AddonProduct)
        .where(TierAddon.tier_id == tier_id, TierAddon.included > 0)
        .order_by(TierAddon.id)
    )
    found: dict[int, Brought] = {}
    for row in rows:
        known = found.get(row.addon_id)
        if known is None or _size(row.variant) > _size(known.variant):
            found[row.addon_id] = Brought(row.addon_id, row.code, row.provisioning, row.variant, row.included)
    return found


def _size(variant: str) -> int:
    return int(variant) if variant.isdigit() else 0


def of_vendor(vendor_id: int, product_id: int | None = None) -> list[VendorAddon]:
    """The vendor's included add-ons that are not over."""
    return [row for row in purchase.had(vendor_id, product_id) if row.origin == Origin.INCLUDED]


def set_up(vendor_id: int, product_id: int, config: dict[str, Any], *, actor: Actor, now: datetime) -> VendorAddon:
    """Set up what the tier includes. Once for each product: the same again gives what is there.

    NotFound for what the tier does not bring; PaymentRequired where the plan is closed, and for a name that is to be
    registered in a trial without any way to pay: it costs us money for a year. Conflict for a name that is there.
    """
    subscription = lock_if_any(vendor_id)
    if subscription is None or not is_open(Status(subscription.status)):
        raise PaymentRequired(N_("Add-ons come on top of a plan. Choose one first."), code="no_plan")
    plan = brought(subscription.tier_id).get(product_id)
    if plan is None:
        raise NotFound
    known = of_vendor(vendor_id, product_id)
    if known:
        return known[0]
    if plan.provisioning == "domain" and subscription.provider == Provider.NONE and wants_registration(config):
        raise PaymentRequired(
            N_(
                "Your plan includes a domain. It is registered as soon as there is a way to pay for the plan; one that "
                "you have already can be pointed here now."
            ),
            code="trial",
        )
    product = purchase.product(product_id)
    if config.get("name") and any(r.config.get("name") == config["name"] for r in purchase.had(vendor_id, product_id)):
        raise Conflict(N_("You have this for that domain already."), code="had_already")
    return service.add(_new(vendor_id, product, plan, config), actor=actor, now=now)


def _new(vendor_id: int, product: purchase.Product, plan: Brought, config: dict[str, Any]) -> New:
    return New(vendor_id, product, Origin.INCLUDED, plan.variant, plan.quantity, config)


def follow(vendor_id: int, *, now: datetime) -> None:
    """Make the included add-ons fit the tier as it is now; again changes nothing.

    Storage that the tier brings is there at once. What it does not bring any more is kept at its list price where that
    was chosen when the change was confirmed, and ends otherwise; another size takes the place of the one before. While
    nothing is open (unpaid, say) all waits: only the end of the plan ends them.
    """
    subscription = lock_if_any(vendor_id)
    if subscription is None or subscription.status == Status.CANCELLED or not is_open(Status(subscription.status)):
        return
    plans = brought(subscription.tier_id)
    for row in of_vendor(vendor_id):
        addon = service.locked(row.id, vendor_id)
        plan = plans.get(addon.addon_id)
        if plan is None:
            _lose(addon, subscription, now)
        elif (addon.variant, addon.quantity) != (plan.variant, plan.quantity):
            service.resize(addon, None, plan.variant, plan.quantity, actor=SYSTEM, now=now)
    had = {row.addon_id for row in of_vendor(vendor_id)}
    for plan in plans.values():
        if plan.provisioning == "storage" and plan.product_id not in had:
            product = purchase.product(plan.product_id)
            service.add(_new(vendor_id, product, plan, {}), actor=SYSTEM, now=now, tell=False)


def _lose(addon: VendorAddon, subscription: VendorSubscription, now: datetime) -> None:
    kept = _kept(addon, subscription)
    if kept is None:
        service.end(addon, "plan", actor=SYSTEM, now=now)
        return
    if subscription.provider == Provider.TRANSFER:
        _keep_by_transfer(addon, kept, subscription, now)
        return
    addon.version += 1
    outbox.enqueue("addons.keep", dedupe_key=f"keep-addon:{addon.id}", vendor_id=addon.vendor_id,
                   vendor=addon.vendor_id, addon_id=addon.id, price_id=kept.price_id)  # fmt: skip


def _kept(addon: VendorAddon, subscription: VendorSubscription) -> Offer | None:
    """The price at which it was decided to keep it, by the newest change of the tier that happened."""
    change = db.session.scalar(
        select(TierChange)
        .where(TierChange.subscription_id == subscription.id, TierChange.state == ChangeState.APPLIED)
        .order_by(TierChange.finished_at.desc(), TierChange.id.desc())
        .limit(1)
    )
    if change is None or change.to_price_id != subscription.price_id:
        return None
    for decided in _decisions(change.choices):
        if decided.get("keep") and decided["code"] == addon.addon.code and decided.get("price_id"):
            return purchase.offer(int(decided["price_id"]))
    return None


def _decisions(choices: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return list((choices or {}).get("addons", []))


def _keep_by_transfer(addon: VendorAddon, found: Offer, subscription: VendorSubscription, now: datetime) -> None:
    """It is bought from now on. The running period is asked for on an invoice of its own; later ones as usual."""
    line = transfers.first(subscription, found, addon.quantity, found.variant, now)
    starts = line.period_start or now
    becomes_bought(addon, found, Paid("transfer", found.price_id, starts, starts, starts), now=now)
    transfers.renew_as(addon, line, now)


def becomes_bought(addon: VendorAddon, found: Offer, paid: Paid, *, now: datetime) -> None:
    """What was included is paid for from now on: the same add-on, nothing is set up again."""
    addon.origin, addon.provider, addon.price_id = Origin.BOUGHT, paid.provider, found.price_id
    addon.variant = found.variant
    addon.stripe_subscription_id, addon.stripe_item_id = paid.stripe_subscription_id, paid.stripe_item_id
    addon.period_start, addon.period_end, addon.anchor_at = paid.period_start, paid.period_end, paid.anchor_at
    addon.version += 1
    service.note_kept(addon, SYSTEM, now)
    db.session.flush()


def waits_to_be_kept(addon_id: int, vendor_id: int) -> bool:
    """Is it still included, not over, and not brought by the tier any more?"""
    row = db.session.get(VendorAddon, addon_id, populate_existing=True)
    subscription = lock_if_any(vendor_id)
    if row is None or subscription is None or row.status == AddonStatus.CANCELLED:
        return False
    return row.origin == Origin.INCLUDED and row.addon_id not in brought(subscription.tier_id)

"""The tiers as the plans page and the modal show them."""

from collections.abc import Sequence
from typing import Any

from flask import request
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Tier
from portal.kit import clock
from portal.reporting.vendor_detail import agreed_price
from portal.subscriptions import meters as usage
from portal.subscriptions.queries import Overview
from portal.web.public import offers
from portal.web.vendor import plan_cards
from portal.web.vendor.reading import or_none


def asked_cycle(held: Overview | None) -> Cycle:
    """The cycle in the address, or the vendor's own."""
    named = request.args.get("cycle", "")
    if named in list(Cycle):
        return Cycle(named)
    return held.cycle if held and held.cycle else Cycle.MONTHLY


def shelf(vendor: VendorAtDoor, held: Overview | None, cycle: Cycle) -> dict[str, Any]:
    """The cards in this cycle, the switch between cycles, and what the yearly price saves."""
    tiers = catalog.tiers()
    agreed = agreed_price(vendor.id)
    choosable = _with_own(tiers, held.tier_id if held else None, agreed.tier_id if agreed else None)
    counted = or_none(lambda: usage.meters(vendor.id, held.period_start, clock.business())) if held else None
    return {
        "choices": plan_cards.choices(choosable, held, cycle, counted or (), agreed),
        "cycle": cycle,
        "months_free": offers.saving(tiers),
    }


def _with_own(tiers: Sequence[Tier], *own: int | None) -> list[Tier]:
    """The public tiers, and the vendor's own and agreed ones where they are not (any more) among them."""
    public = {tier.id for tier in tiers}
    hidden = [catalog.tier_by_id(tier_id) for tier_id in dict.fromkeys(own) if tier_id and tier_id not in public]
    return sorted([*tiers, *(tier for tier in hidden if tier)], key=lambda tier: tier.position)


def reasons() -> dict[str, str]:
    """Why somebody was led to the plan choice, by the word in the address (signed_in.closed_because)."""
    return {
        "no_plan": _("Choose a plan to open the portal."),
        "trial_ended": _("Your trial has ended. Choose a plan and pay for it to go on; everything is kept."),
        "trial_used": _("You have had a trial before, so this account starts with a paid plan. Nothing is charged "
                        "until you pay."),
        "pending_payment": _("We are waiting for your payment. Your plan opens as soon as it has arrived."),
        "suspended": _("Your subscription is suspended because an invoice is unpaid. Pay it, and everything opens."),
        "cancelled": _("Your subscription has ended. Choose a plan to open everything again; your data is kept."),
        "unverified": _("Please confirm your email address first: we sent you a link."),
    }  # fmt: skip

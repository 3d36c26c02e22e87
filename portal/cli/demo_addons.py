"""What the demo's vendors have on top of their tiers: bought by card, included, cancelled. Repeatable."""

from flask import current_app

from portal.addons import flows, included, queries
from portal.addons.purchase import Wish
from portal.addons.queries import Had
from portal.checkout import addon_flows
from portal.checkout.flows import Addresses
from portal.cli import demo_acts, demo_stripe
from portal.cli.conduct import ConductorError
from portal.cli.demo_cast import Extra, Vendor
from portal.kit import clock, tenancy
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import queries as subscriptions


def add(vendor: Vendor, extra: Extra) -> None:
    """Set up what the tier includes, or buy it: as an item at once, else on Stripe's page."""
    vendor_id, owner = demo_acts.found(vendor)
    with tenancy.scoped(vendor_id):
        if _had(vendor_id, extra) is not None:
            return
        card = _card(vendor_id, extra)
        config = {"name": extra.name, "shown": extra.name} if extra.name else {}
        if extra.included:
            with unit_of_work():
                included.set_up(vendor_id, card.id, config, actor=owner, now=clock.business())
            return
        options = {option.variant: option.price_id for option in card.options}
        wish = Wish(options[extra.variant], extra.quantity, config)
        shown = addon_flows.prospect(vendor_id, wish)
        back = current_app.extensions["portal_config"].base_url
        started = addon_flows.buy(vendor_id, wish, Addresses(back, back), shown=shown.due, at=shown.at, actor=owner)
        end_reading()
    if started.url:
        demo_stripe.pay(started.url, vendor.card, vendor.owner)


def leave(vendor: Vendor, extra: Extra) -> None:
    """Cancel it for the end of what is paid."""
    vendor_id, owner = demo_acts.found(vendor)
    with tenancy.scoped(vendor_id):
        had = _had(vendor_id, extra)
        if had is not None and not had.cancel_at_period_end:
            flows.cancel(had.id, vendor_id, actor=owner)


def _had(vendor_id: int, extra: Extra) -> Had | None:
    mine = queries.of_vendor(vendor_id, clock.business())
    end_reading()
    return next((had for had in mine if had.code == extra.code and not had.is_over), None)


def _card(vendor_id: int, extra: Extra) -> queries.Card:
    held = subscriptions.held(vendor_id)
    shelf = queries.shelf(held.tier_id, "EUR")
    end_reading()
    found = next((card for card in shelf if card.code == extra.code), None)
    if found is None:
        raise ConductorError(f"The demo needs the add-on {extra.code} of the marketplace catalog.")
    return found

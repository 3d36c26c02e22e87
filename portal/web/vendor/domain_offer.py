"""The add-on for a name of one's own, offered where a vendor has none (S4 §4.1 B)."""

from dataclasses import dataclass

from flask import url_for

from portal.accounts.queries import VendorAtDoor
from portal.addons import queries
from portal.addons.queries import Card
from portal.identity.rules import Role, at_least
from portal.notifications import dismissals
from portal.subscriptions import queries as subscriptions
from portal.web.vendor import addon_words

#: What a person dismisses: for good, since the page itself still says how to get one.
WHAT = "upsell:domain"


@dataclass(frozen=True, slots=True)
class Offer:
    """``price`` in words (€15 per year); ``included``: the plan brings one that nobody has set up yet; ``had``: the one
    that it brings is set up already, or on its way. ``href``: where it is had.
    """

    price: str
    included: bool
    had: bool
    href: str
    dismissed: bool


def of(vendor: VendorAtDoor, user_id: int) -> Offer | None:
    """What can be offered to this person, or nothing: three statements, four where the plan brings one."""
    held = subscriptions.overview(vendor.id)
    currency = held.amount.currency if held and held.amount else "EUR"
    cards = queries.shelf(held.tier_id if held else None, currency)
    card = next((c for c in cards if c.provisioning == "domain" and (c.is_sold or c.included)), None)
    if card is None or not at_least(vendor.role, Role.MANAGER):
        return None
    had = bool(card.included) and card.code in queries.included_had(vendor.id)
    waits = bool(card.included) and not had
    dismissed = WHAT in dismissals.of(vendor.id, user_id)
    return Offer(_price(card), waits, had, _href(vendor, card, waits), dismissed)


def _price(card: Card) -> str:
    return addon_words.price_of(card) if card.options else ""


def _href(vendor: VendorAtDoor, card: Card, waits: bool) -> str:
    if waits:
        return url_for("vendor_addons.included_form", code=vendor.code, product_id=card.id)
    if not card.is_sold:
        return url_for("vendor_addons.index", code=vendor.code)
    return url_for("vendor_addons.add", code=vendor.code, product_id=card.id)

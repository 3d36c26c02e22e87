"""What a vendor has of add-ons and what it can add, as the billing page and the page of add-ons show it (ADD-1)."""

from dataclasses import dataclass
from typing import Any

from portal.accounts.queries import VendorAtDoor
from portal.addons import queries
from portal.addons.queries import Card, Had
from portal.kit import clock
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import is_open
from portal.web.vendor import addon_words as words
from portal.web.vendor.reading import or_none


def shown(vendor: VendorAtDoor, held: Overview | None = None) -> dict[str, Any]:
    """What the cards need: two statements besides the plan's own."""
    held = held or subscriptions.overview(vendor.id)
    mine = or_none(lambda: queries.of_vendor(vendor.id, clock.business()))
    currency = held.amount.currency if held and held.amount else "EUR"
    cards = or_none(lambda: queries.shelf(held.tier_id if held else None, currency))
    return {
        "mine": words.rows(mine) if mine is not None else None,
        "shelf": _cards(cards, mine or []) if cards is not None else None,
        "plan_is_open": held is not None and is_open(held.status),
        "plan_name": held.tier_name if held else "",
        "words": words,
    }


@dataclass(frozen=True, slots=True)
class Shown:
    """A card with what this vendor has of it. ``waits``: the plan includes it and nobody has set it up yet;
    ``more``: the add-on whose number is changed instead of buying it again.
    """

    card: Card
    owned: int
    waits: bool
    included: str
    more: int | None


def _cards(cards: list[Card], mine: list[Had]) -> list[Shown]:
    return [_shown(card, [had for had in mine if had.product_id == card.id and not had.is_over]) for card in cards]


def _shown(card: Card, mine: list[Had]) -> Shown:
    has_included = any(had.origin == "included" for had in mine)
    brings = max(card.included.items(), key=lambda i: int(i[0]) if i[0].isdigit() else 0, default=None)
    text = words.size(card.provisioning, brings[0], brings[1], card.grants) if brings else ""
    more = next((had.id for had in mine if card.provisioning == "storage" and had.origin == "bought"), None)
    return Shown(card, len(mine), bool(brings) and not has_included, text, more)

"""Add-ons on the tier's subscription in few words: what is added, what stands there, what is to come."""

import requests

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import clock
from portal.kit.db import db
from portal.kit.money import Money
from portal.subscriptions import change_flows, item_flows, queries
from portal.subscriptions.item_flows import ItemOutcome
from portal.subscriptions.models import TierChange
from portal.subscriptions.rules import When
from tests.subscriptions.conftest import ADMIN
from tests.subscriptions.test_item_table import STORAGE, addon_price
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    stripe_get,
    stripe_post,
)

FAILS, CHALLENGE, GOOD = "pm_card_chargeCustomerFail", "pm_card_authenticationRequired", "pm_card_visa"


def price(tier: str) -> int:
    found = catalog.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


def adds(who: Somebody, addon=STORAGE, quantity: int = 2, key: str = "k", shown: Money | None = None) -> ItemOutcome:
    now = clock.business()
    at = now.replace(microsecond=0)
    return item_flows.add_item(who.id, addon_price(addon), quantity, key=key, at=at, shown=shown, now=now)


def switches(who: Somebody, tier: str, when: When) -> None:
    version = queries.held(who.id).version
    change_flows.change_tier(who.id, price(tier), when, actor=ADMIN, base_version=version)


def at_stripe(sandbox: Sandbox, who: Somebody) -> dict:
    return stripe_get(sandbox, f"subscriptions/{queries.held(who.id).stripe_subscription_id}")


def stands(sandbox: Sandbox, who: Somebody) -> list[tuple[int, int]]:
    return [(i["price"]["unit_amount"], i["quantity"]) for i in at_stripe(sandbox, who)["items"]["data"]]


def amount_of(sandbox: Sandbox, price_id: str) -> int:
    return stripe_get(sandbox, f"prices/{price_id}")["unit_amount"]


def to_come(sandbox: Sandbox, who: Somebody) -> list[list[tuple[int, int]]]:
    """The items of every phase that is to come (cents of one, how many)."""
    held = at_stripe(sandbox, who)
    if held["schedule"] is None:
        return []
    schedule = stripe_get(sandbox, f"subscription_schedules/{held['schedule']}")
    begun = schedule["current_phase"]["start_date"]
    later = [p for p in schedule["phases"] if p["start_date"] > begun]
    return [[(amount_of(sandbox, i["price"]), i["quantity"]) for i in phase["items"]] for phase in later]


def last_invoice(sandbox: Sandbox, who: Somebody) -> list[int]:
    customer = str(queries.held(who.id).stripe_customer_id)
    newest = stripe_get(sandbox, "invoices", customer=customer, limit="1")["data"][0]
    return [line["amount"] for line in newest["lines"]["data"]]


def card(sandbox: Sandbox, who: Somebody, method: str) -> None:
    held = queries.held(who.id)
    made = stripe_post(sandbox, f"payment_methods/{method}/attach", customer=str(held.stripe_customer_id))["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=made)


def tier_of(who: Somebody) -> tuple[str, bool, list[str]]:
    """Tier, is its end planned, and where its changes stand."""
    db.session.rollback()
    held = queries.overview(who.id)
    assert held is not None
    changes = db.session.query(TierChange).populate_existing().order_by(TierChange.id)
    return held.tier_code, held.cancel_at_period_end, [str(c.state) for c in changes]


def faults(sandbox: Sandbox, **fault: object) -> None:
    assert requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).status_code == 200

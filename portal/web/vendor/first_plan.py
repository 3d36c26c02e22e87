"""The first tier of a vendor that signed up without one."""

from portal.accounts.queries import VendorAtDoor
from portal.catalog.rules import Price, Tier
from portal.identity import queries as identity
from portal.identity.rules import email_key
from portal.kit import clock, tenancy
from portal.kit.actor import Actor
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import service
from portal.subscriptions.history import lock_if_any


def ensure(vendor: VendorAtDoor, price_id: int, *, actor: Actor) -> bool | None:
    """Give a vendor without any subscription one for this price: a trial (SUB-1), or a closed one to be paid for.

    True when a trial began, False when this person had one before, None when there was a subscription already (two
    clicks at once: the second finds the first one's). Invalid for a price that is not on offer.
    """
    if vendor.standing is not None:
        return None
    price, tier = subscriptions.offered(price_id, vendor.id)
    return _begin(vendor.id, tier, price, actor)


def _begin(vendor_id: int, tier: Tier, price: Price, actor: Actor) -> bool | None:
    with tenancy.unscoped("a person may have had a trial with another vendor"), unit_of_work():
        if lock_if_any(vendor_id) is not None:
            return None
        key = email_key(identity.owner(vendor_id).email)
        now = clock.business()
        started = service.start(vendor_id, tier, email_key=key, actor=actor, now=now, cycle=price.cycle)
        return not started.trial_refused

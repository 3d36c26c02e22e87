"""Buying add-ons in few words."""

from typing import Any

from portal.addons import queries
from portal.addons.models import VendorAddon
from portal.addons.purchase import Wish
from portal.addons.queries import Had
from portal.catalog.models import AddonPrice, AddonProduct
from portal.checkout import addon_flows
from portal.checkout.addon_flows import Prospect, Started
from portal.checkout.flows import Addresses
from portal.kit import clock, jobs
from portal.kit.db import db
from tests.support.stories import Somebody

BACK = "http://localhost/vendor/x/addons"
ADDRESSES = Addresses(f"{BACK}/done?session_id={{CHECKOUT_SESSION_ID}}", BACK)
MYSHOP = {"name": "www.myshop.de", "shown": "www.myshop.de"}


def price_of(code: str, variant: str = "") -> int:
    """The live price of an add-on."""
    found = db.session.scalar(
        db.select(AddonPrice.id)
        .join(AddonProduct)
        .where(AddonProduct.code == code, AddonPrice.variant == variant, AddonPrice.valid_until.is_(None))
    )
    assert found is not None
    return found


def wish(code: str, variant: str = "", quantity: int = 1, config: dict[str, Any] | None = None) -> Wish:
    """What somebody wants; a domain is www.myshop.de unless said otherwise."""
    given = config if config is not None else dict(MYSHOP) if code == "custom-domain" else {}
    return Wish(price_of(code, variant), quantity, given)


def buys(who: Somebody, wanted: Wish) -> Started:
    """Look at what it costs, and confirm exactly that."""
    shown = addon_flows.prospect(who.id, wanted)
    return confirms(who, wanted, shown)


def confirms(who: Somebody, wanted: Wish, shown: Prospect) -> Started:
    """Confirm what was shown."""
    started = addon_flows.buy(who.id, wanted, ADDRESSES, shown=shown.due, at=shown.at, actor=who.actor)
    jobs.run_all()
    return started


def had(who: Somebody) -> list[Had]:
    """What the vendor has, as committed now; what is over at the end."""
    db.session.rollback()
    return queries.of_vendor(who.id, clock.business())


def live(who: Somebody) -> list[Had]:
    """What of it is not over."""
    return [found for found in had(who) if not found.is_over]


def row(addon_id: int) -> Had:
    """An add-on as committed now."""
    db.session.rollback()
    vendor_id = db.session.scalar(db.select(VendorAddon.vendor_id).where(VendorAddon.id == addon_id))
    assert vendor_id is not None
    return queries.one(vendor_id, addon_id)

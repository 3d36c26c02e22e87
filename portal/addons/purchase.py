"""What a vendor asks to buy, checked before anybody is asked for money; no network, nothing written.

An add-on's ``config``, by how it is set up: domain ``name`` (as DNS writes it) and ``shown``; mailboxes ``domain_id``,
``name`` and ``shown`` of their domain; certificate ``name``, ``shown``, ``company`` and ``country``; manual ``note``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from portal.addons.models import Domain, VendorAddon
from portal.addons.rules import AddonStatus, DomainState, Origin
from portal.catalog import queries as catalog
from portal.catalog.models import AddonPrice, AddonProduct, TierAddon
from portal.catalog.rules import Cycle
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, PaymentRequired, PortalError
from portal.kit.money import Money
from portal.kit.text import N_
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.queries import Held
from portal.subscriptions.rules import Provider, Restriction, Status
from portal.subscriptions.rules import restrictions as restricted

COMPANY_MAX, NOTE_MAX = 64, 500


class Way(StrEnum):
    """How money is taken for an add-on: on the tier's subscription, on one of its own, or by bank transfer."""

    ITEM = "item"
    OWN = "own"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants: a price of the list, how many, and what it is to be set up with."""

    price_id: int
    quantity: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Product:
    """An add-on product as values."""

    id: int
    code: str
    name: str
    provisioning: str
    grants: Mapping[str, Any]
    max_quantity: int
    promised_hours: int
    is_sold: bool

    def limits(self, variant: str) -> dict[str, int]:
        """What one of this size adds to the limits."""
        return dict(self.grants.get("limits", {}).get(variant, {}))


@dataclass(frozen=True, slots=True)
class Offer:
    """A price of an add-on with its product; ``each`` is for one and a whole cycle."""

    price_id: int
    product: Product
    variant: str
    cycle: Cycle
    each: Money
    stripe_price_id: str | None
    is_live: bool

    def total(self, quantity: int) -> Money:
        """For so many and a whole cycle."""
        return Money(self.each.minor * quantity, self.each.currency)


def offer(price_id: int) -> Offer:
    """A price of an add-on, closed ones too; NotFound when there is none."""
    row = db.session.execute(
        select(AddonPrice, AddonProduct).join(AddonProduct).where(AddonPrice.id == min(price_id, 2**63 - 1))
    ).first()
    if row is None:
        raise NotFound
    price, product = row
    return Offer(
        price.id, _product(product), price.variant, Cycle(price.cycle), Money(price.amount_minor, price.currency),
        price.stripe_price_id, price.valid_until is None,
    )  # fmt: skip


def _product(row: AddonProduct) -> Product:
    return Product(
        row.id, row.code, row.name, row.provisioning, row.grants, row.max_quantity, row.promised_hours,
        row.retired_at is None,
    )  # fmt: skip


def product(product_id: int) -> Product:
    """A product, retired ones too; NotFound when there is none."""
    row = db.session.get(AddonProduct, min(product_id, 2**63 - 1))
    if row is None:
        raise NotFound
    return _product(row)


def by_stripe_price(stripe_price_id: str) -> Offer | None:
    """The offer that Stripe knows by this price."""
    found = db.session.scalar(select(AddonPrice.id).where(AddonPrice.stripe_price_id == stripe_price_id))
    return offer(found) if found is not None else None


def offered(held: Held, price_id: int) -> Offer:
    """A price that this vendor may buy at now; NotFound for one that is not on sale to its tier."""
    found = offer(price_id)
    sold = select(TierAddon.id).where(
        TierAddon.tier_id == held.tier_id, TierAddon.addon_id == found.product.id, TierAddon.variant == found.variant
    )
    if not found.is_live or not found.product.is_sold or db.session.scalar(sold.limit(1)) is None:
        raise NotFound
    return found


def refuse_while_closed(held: Held, past_due_since: datetime | None, now: datetime) -> None:
    """PaymentRequired with what to do first, where money stands in the way of buying."""
    shut = restricted(held.status, past_due_since, now)
    if held.status == Status.PAST_DUE or (shut and held.status == Status.SUSPENDED):
        raise PaymentRequired(N_("An invoice is unpaid. Pay it first, then add to your plan."), code="past_due")
    if shut & {Restriction.CREATE, Restriction.UPGRADE}:
        raise PaymentRequired(N_("Add-ons come on top of a plan. Choose one first."), code="no_plan")
    if held.cancel_at_period_end:
        raise Conflict(
            N_("Your subscription is cancelled. Take the cancellation back first, then add to your plan."),
            code="already_cancelled",
        )


def check(vendor_id: int, found: Offer, wish: Wish, *, beside: int | None = None) -> None:
    """Invalid at the field ``quantity`` or ``domain`` for more than may be had, or what the vendor has already.

    ``beside`` is an add-on of the vendor's own that does not count, because it is what is being changed.
    """
    mine = [row for row in had(vendor_id, found.product.id) if row.id != beside]
    if wish.quantity < 1:
        raise Invalid(fields={"quantity": N_("Please enter a number of at least 1.")})
    taken = sum(row.quantity for row in mine if row.origin != Origin.INCLUDED)
    if taken + wish.quantity > found.product.max_quantity:
        most = found.product.max_quantity
        raise too_many(most, taken) if beside is None else too_many(most - taken, 0)
    if found.product.provisioning == "storage" and any(row.origin == Origin.BOUGHT for row in mine):
        raise Conflict(N_("You have this add-on already. Change its quantity instead."), code="had_already")
    name = wish.config.get("name")
    if name and any(row.config.get("name") == name for row in mine):
        raise Invalid(fields={"domain": N_("You have this for that domain already.")}, code="had_already")


def too_many(most: int, taken: int) -> PortalError:
    """More than one vendor may have, beside the ``taken`` that it has: says how many are left."""
    left = most - taken
    words = N_("You can have at most %(left)s more of it.") if taken else N_("You can have at most %(most)s of it.")
    if left <= 0:
        words = N_("You can have at most %(most)s of it, and you have as many already.")
    return Invalid(words, fields={"quantity": words}, most=most, left=left)


def had(vendor_id: int, product_id: int | None = None) -> list[VendorAddon]:
    """The vendor's add-ons that are not over, oldest first."""
    wanted = select(VendorAddon).where(VendorAddon.vendor_id == vendor_id, VendorAddon.status != AddonStatus.CANCELLED)
    if product_id is not None:
        wanted = wanted.where(VendorAddon.addon_id == product_id)
    return list(db.session.scalars(wanted.order_by(VendorAddon.id).execution_options(populate_existing=True)))


def way(held: Held, found: Offer, payment_method: bool, now: datetime) -> Way:
    """How this vendor pays for it.

    An item of the tier's subscription needs the same interval, a card that is being charged, and that the price is no
    item of it yet: Stripe allows each price once.
    """
    if held.provider == Provider.TRANSFER:
        return Way.TRANSFER
    in_trial = held.trial_ends_at is not None and held.trial_ends_at > now
    if held.provider != Provider.STRIPE or held.status != Status.ACTIVE or in_trial or not payment_method:
        return Way.OWN
    taken = any(row.stripe_item_id and row.price_id == found.price_id and row.stripe_subscription_id is None
                for row in had(held.vendor_id, found.product.id))  # fmt: skip
    return Way.OWN if taken or cycle_of(held) != found.cycle else Way.ITEM


def cycle_of(held: Held) -> Cycle | None:
    """How often the tier is paid for."""
    present = catalog.price(held.price_id) if held.price_id else None
    return present.cycle if present else None


@dataclass(frozen=True, slots=True)
class OwnDomain:
    """A domain that mail or a certificate can be ordered for."""

    id: int
    name: str
    shown: str


def domains(vendor_id: int) -> list[OwnDomain]:
    """The vendor's domains that are not gone, the first one first."""
    rows = db.session.execute(
        select(Domain.id, Domain.name, Domain.shown)
        .where(Domain.vendor_id == vendor_id, Domain.removed_at.is_(None), Domain.state != DomainState.FAILED)
        .order_by(Domain.id)
    )
    return [OwnDomain(row.id, row.name, row.shown) for row in rows]


def configured(vendor_id: int, provisioning: str, sent: Mapping[str, str]) -> dict[str, Any]:
    """What the vendor entered, as an add-on's ``config``; Invalid at the fields for what does not do."""
    if provisioning == "domain":
        return {**_named(sent.get("domain", "")), **_how(sent.get("how", ""))}
    if provisioning == "mailboxes":
        return _of_domain(vendor_id, sent.get("domain_id", ""))
    if provisioning == "certificate":
        return _certified(sent)
    if provisioning == "manual":
        return _noted(sent.get("note", ""))
    return {}


def _named(text: str) -> dict[str, Any]:
    from portal.addons import domain_names

    if not text.strip():
        raise Invalid(fields={"domain": N_("Enter the domain, such as www.myshop.com.")})
    found = domain_names.parse(text)
    return {"name": found.ascii, "shown": found.shown}


def _how(chosen: str) -> dict[str, Any]:
    """Registered for the vendor, or pointed here by it; nothing chosen is left to what this installation can do."""
    return {"how": chosen} if chosen in ("register", "own") else {}


def _of_domain(vendor_id: int, chosen: str) -> dict[str, Any]:
    mine = {str(domain.id): domain for domain in domains(vendor_id)}
    if chosen not in mine:
        raise Invalid(fields={"domain_id": N_("Choose the domain that the addresses belong to.")})
    domain = mine[chosen]
    return {"domain_id": domain.id, "name": domain.name, "shown": domain.shown}


def _certified(sent: Mapping[str, str]) -> dict[str, Any]:
    company = " ".join(sent.get("company", "").split())
    country = sent.get("country", "").strip().upper()
    fields = {}
    if not company or len(company) > COMPANY_MAX or not company.isprintable():
        fields["company"] = N_("Enter the company's name as it is registered.")
    if len(country) != 2 or not country.isascii() or not country.isalpha():
        fields["country"] = N_("Choose the country.")
    try:
        name = _named(sent.get("domain", ""))
    except Invalid as error:
        fields |= error.fields
    if fields:
        raise Invalid(fields=fields)
    return {**name, "company": company, "country": country}


def _noted(text: str) -> dict[str, Any]:
    note = " ".join(text.split())
    if len(note) > NOTE_MAX or not note.isprintable():
        raise Invalid(fields={"note": N_("Use at most 500 characters.")})
    return {"note": note} if note else {}


def subscription_of(vendor_id: int) -> VendorSubscription | None:
    """The vendor's live subscription, to be read only: no lock is taken."""
    return db.session.scalar(
        select(VendorSubscription)
        .where(VendorSubscription.vendor_id == vendor_id, VendorSubscription.ended_at.is_(None))
        .execution_options(populate_existing=True)
    )


def held_with_card(vendor_id: int) -> tuple[Held, bool, datetime | None]:
    """The subscription, whether a card is known for it, and since when something is owed."""
    row = subscription_of(vendor_id)
    if row is None:
        raise PaymentRequired(N_("Add-ons come on top of a plan. Choose one first."), code="no_plan")
    return subscriptions.held(vendor_id), row.payment_method is not None, row.past_due_since
